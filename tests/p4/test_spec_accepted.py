"""Valid programs without an architecture: what the specification allows, section by section."""

from __future__ import annotations

import pytest

from weft.p4.compiler import Diagnostics, check_all

PROGRAMS = {
    "own arch": (
        "control c(inout bit<32> x) { apply { x = x + 1; } } control proto(inout bit<32> x); "
        "package top(proto p); top(c()) main;"
    ),
    "own arch generic": (
        "struct M {bit<8> a;} parser Pr<H>(packet_in p, out H h); control Ig<H>(inout H h); "
        "package S<H>(Pr<H> p, Ig<H> i);\n header h_t { bit<8> a; } struct hs { h_t h; }\n "
        "parser MP(packet_in p, out hs h) { state start { p.extract(h.h); transition accept; "
        "} }\n control MC(inout hs h) { apply {} } S(MP(), MC()) main;"
    ),
    "tuple expr index": (
        "const bit<32> v = { 32w1, 32w2 }[1]; struct S { bit<32> a; bit<32> b; } const "
        "bit<32> w = ((S){1,2}).b;"
    ),
    "match_kind const": (
        "match_kind { fuzzy } const bool same = exact == fuzzy; const match_kind k = fuzzy;"
    ),
    "generic header_union": (
        "header H<T> { T t; } header_union U<A,B> { H<A> a; H<B> b; } struct S { U<bit<8>, "
        "bit<16>> u; H<bit<8>>[3] s; }"
    ),
    "typedef stack": ("header H { bit<8> a; } typedef H[3] Hs; struct S { Hs hs; }"),
    "typedef union stack": (
        "header H { bit<8> a; } header_union U { H h; } typedef U[3] Us; parser p(packet_in "
        "b, out Us u) { state start { b.extract(u.next.h); transition accept; } }"
    ),
    "abstract": (
        "extern Balancer { Balancer(); bit<32> getFlowCount(); abstract bit<4> on_new_flow(in "
        "bit<32> address); }\n control c(inout bit<32> x) { Balancer() b = { bit<4> "
        "on_new_flow(in bit<32> address) { bit<32> count = this.getFlowCount(); return "
        "(address + count)[3:0]; } }; apply { x = (bit<32>)b.on_new_flow(x); } }"
    ),
    "abstract2": (
        "extern V { V(); void run(in bit<16> ix); abstract bit<16> f(in bit<16> ix); } extern "
        "S { S(); bit<16> size(); }\n control c(inout bit<16> p) { V() cntr = { S() state; "
        "bit<16> f(in bit<16> ix) { return ix + state.size(); } }; apply { cntr.run(6); } }"
    ),
    "string": (
        'extern void log(string message); void foo(in int<8> v) { log("my log message " ++ '
        '"continuation"); }'
    ),
    "list ctor": (
        "struct pair_t { bit<16> a; bit<32> b; } extern E { E(list<pair_t> data); void run(); "
        "} control c() { E((list<pair_t>) {{2, 3}, {4, 5}}) e; apply { e.run(); } }"
    ),
    "extern tuple": (
        "extern LP<T> { LP(); void learn(in T data); } LP<tuple<bit<48>, bit<32>>>() lp; "
        "control c(inout bit<48> a, inout bit<32> b) { apply { lp.learn({a, b}); } }"
    ),
    "int slice": ("const bit<8> x = 0x1234[11:4]; const int k = 5; const bit<3> y = k[2:0];"),
    "int shift": ("const int a = 1 << 3w2; const int b = -5 >> 1; const int c = 2 * 3 / 4 % 5;"),
    "concat signed": (
        "control c(inout int<16> a, inout bit<8> b, inout int<8> d) { apply { a = d ++ b; } }"
    ),
    "mixed concat enum": (
        "enum bit<8> E { a = 5 } control c(inout bit<16> x) { apply { x = E.a ++ 8w0; x = "
        "16w11 << E.a; x = (bit<16>)(x[E.a:0]); } }"
    ),
    "enum implicit": (
        "enum bit<8> E { a = 5, b = 6 } enum bit<8> F { c = 1 } control c(inout bit<8> x, "
        "inout bool y) { apply { x = E.a; x = E.a << 3; x = E.a + E.b; x = E.a + F.c; y = E.a "
        "> F.c; x = x + E.a; E e = (E)(E.a + 1); e = (E)F.c; x = ~E.a; x = -E.a; } }"
    ),
    "default values": (
        "struct S { bit<32> b32; bool b; } enum int<8> N0 { one = 1, zero = 0, two = 2 } enum "
        "N1 { A, B, C, F } struct T { S s; N0 n0; N1 n1; } header H { bit<16> f1; bit<8> f2; "
        "}\n control c() { apply { N0 n0 = ...; N1 n1 = ...; S s0 = ...; S s1 = { 1, ... }; S "
        "s2 = { b = true, ... }; T t0 = ...; T t1 = { s = ..., ... }; tuple<N0, N1> p = { ... "
        "}; H h1 = ...; H h2 = { f2=5, ... }; H h3 = { ... }; bit<8> x = ...; bool q = ...; } "
        "}"
    ),
    "stack exprs": (
        "header H<T> { bit<32> b; T t; } control c() { apply { H<bit<32>>[3] s = "
        "(H<bit<32>>[3]){ {0, 1}, {2, 3}, (H<bit<32>>){#} }; H<bit<32>>[3] s1 = { {0, 1}, {2, "
        "3}, (H<bit<32>>){#} }; H<bit<32>>[3] s2 = { {0, 1}, {2, 3}, ... }; } }"
    ),
    "sizes": (
        "header H { bit<8> a; varbit<32> v; } header_union U { H h; } struct S { H h; H[3] "
        "hs; U u; } typedef H HT; const int a = H.minSizeInBits(); const bit<32> b = "
        "S.maxSizeInBytes(); control c(inout S s) { apply { bit<32> x = s.h.minSizeInBytes(); "
        "x = s.hs.maxSizeInBits(); x = s.maxSizeInBits(); x = HT.minSizeInBits(); } }"
    ),
    "kv in calls": (
        "struct S { bit<8> a; bit<8> b; } extern void f<T>(in T data); control c() { apply { "
        "f((S){ 10, 20 }); f((S){a=1,b=2}); f({1w1, true}); f({a = 8w1, b = 8w2}); } }"
    ),
    "dup bool compare": (
        "struct S { bit<32> a; bit<32> b; } control c(inout S s, inout bool b) { apply { b = "
        "s == (S) { a = 1, b = 2 }; b = s == { 1, 2 }; b = { 1, 2 } == s; b = s == { a = 1, b "
        "= 2 }; } }"
    ),
    "type ops": (
        "type bit<32> U32; control c(inout bit<32> z) { apply { U32 x = (U32)0; U32 y = "
        "(U32)((bit<32>)x + 1); bool b0 = x == (U32)z; bool b1 = (bit<32>)x == z; bool b2 = x "
        "== y; } }"
    ),
    "type of type": (
        "type bit<8> A; type A B; type bool C; type int<8> D; control c(inout bit<8> z) { "
        "apply { A a = (A)z; B b = (B)a; z = (bit<8>)(A)b; C d = (C)true; if ((bool)d) {} } }"
    ),
    "select type": (
        "type bit<8> A; header H { A a; } struct S { H h; } parser p(packet_in b, out S s) { "
        "state start { b.extract(s.h); transition select(s.h.a) { (A)1: accept; _: reject; } "
        "} }"
    ),
    "select enum noint": (
        "enum E { X, Y } parser p(packet_in b, in E e) { state start { transition select(e) { "
        "E.X: accept; E.Y: reject; } } }"
    ),
    "spec select": (
        "parser p(packet_in b, inout bit<4> ihl, inout bit<8> pr) { state start { transition "
        "select(ihl, pr) { (4w0x5, 8w0x1): accept; (4w0x5, 8w0x6): accept; (_, _): accept; } "
        "} }"
    ),
    "constructor bool select": (
        "parser G(packet_in b)(bool udp) { state start { transition select(udp) { false: "
        "accept; true: more; } } state more { transition accept; } } parser T(packet_in b) { "
        "G(false) g; G(udp = true) k; state start { g.apply(b); k.apply(b); transition "
        "accept; } }"
    ),
    "nested package": (
        "parser Parser<IH>(packet_in b, out IH parsedHeaders); struct InControl { bit<8> a; } "
        "struct OutControl { bit<8> b; }\n control IPipe<T, IH, OH>(in IH inputHeaders, in "
        "InControl inCtrl, out OH outputHeaders, out T toEgress, out OutControl outCtrl);\n "
        "control EPipe<T, IH, OH>(in IH inputHeaders, in InControl inCtrl, in T fromIngress, "
        "out OH outputHeaders, out OutControl outCtrl);\n control Deparser<OH>(in OH "
        "outputHeaders, packet_out b);\n package Ingress<T, IH, OH>(Parser<IH> p, IPipe<T, "
        "IH, OH> map, Deparser<OH> d);\n package Egress<T, IH, OH>(Parser<IH> p, EPipe<T, IH, "
        "OH> map, Deparser<OH> d);\n package Switch<T>(Ingress<T, _, _> ingress, Egress<T, _, "
        "_> egress);\n header H { bit<8> a; } struct Hs { H h; } struct M { bit<8> m; }\n "
        "parser PP(packet_in b, out Hs h) { state start { b.extract(h.h); transition accept; "
        "} }\n control II(in Hs i, in InControl ic, out Hs o, out M m, out OutControl oc) { "
        "apply { o = i; } }\n control EE(in Hs i, in InControl ic, in M m, out Hs o, out "
        "OutControl oc) { apply { o = i; } }\n control DD(in Hs h, packet_out b) { apply { "
        "b.emit(h); } }\n Ingress(PP(), II(), DD()) ig; Egress(PP(), EE(), DD()) eg; "
        "Switch(ig, eg) main;"
    ),
    "factory": (
        "extern widget<T> {} extern widget<T> createWidget<T, U>(U a, T b); header hdr_t {} "
        "struct local_metadata_t {}\n parser P(packet_in pkt, out hdr_t hdr, inout "
        "local_metadata_t meta)(widget<bit<8>> w) { state start { transition accept; } }\n "
        "parser PT<H,M>(packet_in pkt, out H hdr, inout M meta); package S<H,M>(PT<H,M> p);\n "
        "S(P(createWidget(16w0, 8w0))) main;"
    ),
    "optional ctor": (
        "extern E { E(@optional bit<32> size); void f(@optional in bit<8> x, in bit<8> y); } "
        "control c() { E() e; E(5) f; apply { e.f(y = 3); f.f(1, 2); } }"
    ),
    "optional package": (
        "control C1(); control C2(); package top(C1 a, @optional C2 b); control X() { apply "
        "{} } top(X()) main;"
    ),
    "package default named": (
        "control C1(); package top(C1 a, C1 b); control X() { apply {} } control Y() { apply "
        "{} } top(b = Y(), a = X()) main;"
    ),
    "void method": (
        "extern X { X(); void f(); bit<8> g(in bit<8> a); bit<8> g(in bit<8> a, in bit<8> b); "
        "} control c() { X() x; apply { x.f(); bit<8> v = x.g(1) + x.g(1, 2); x.g(3); } }"
    ),
    "generic method": (
        "extern X<T> { X(T t); T f<U>(in U u); } X<bit<8>>(3) x; control c() { X(16w2) y; "
        "apply { bit<8> a = x.f(true); bit<16> b = y.f<bit<8>>(3); } }"
    ),
    "recursive struct inits": (
        "struct A { bit<8> x; } struct B { A a; } const B b = { { 1 } }; const B c = { a = { "
        "x = 2 } }; const bit<8> d = b.a.x;"
    ),
    "empty stuff": (
        "struct E {} header H {} control c(inout E e) { apply { E x = {}; tuple<> t = {}; e = "
        "x; ; {} if (true) {} else ; } }"
    ),
    "action calls action": (
        "control c(inout bit<8> x) { action a(inout bit<8> y) { y = 1; } action b() { a(x); } "
        "apply { b(); a(x); } }"
    ),
    "global action": (
        "action g(inout bit<8> y, bit<8> z) { y = z; } control c(inout bit<8> x) { table t { "
        "key = { x: exact; } actions = { g(x); NoAction; } default_action = g(x, 3); } apply "
        "{ t.apply(); g(x, 5); } }"
    ),
    "key call": (
        "bit<8> f1(in bit<8> a, inout bit<8> b) { b = a + 5; return a >> 1; } control c(inout "
        "bit<8> x, inout bit<8> y) { action n() {} table t1 { key = { y & 0x7 : exact "
        '@name("masked_y"); f1(x, y) : exact @name("f1"); y : exact; } actions = { n; } } '
        "apply { t1.apply(); } }"
    ),
    "key names": (
        "header H { bit<8> a; bit<8> b; } struct S { H h; H[3] hs; } control c(inout S s) { "
        "action n() {} table t { key = { s.h.isValid(): exact; s.hs[1].a: ternary; "
        "s.h.a[3:0]: exact; s.h.b & 0x0f: ternary; 8w1: exact; } actions = { n; } } apply { "
        "t.apply(); } }"
    ),
    "nested apply": (
        "control c(inout bit<8> x) { action n() {} table t { actions = { n; } } table u { key "
        '= { t.apply().hit: exact @name("h"); } actions = { n; } } apply { u.apply(); x = '
        "t.apply().hit ? 8w1 : 2; if (!t.apply().hit && u.apply().miss) {} bool b = "
        "t.apply().hit; } }"
    ),
    "for": (
        "control c(inout bit<8> x) { apply { for (bit<8> i = 0; i < 5; i = i + 1) x = x + i; "
        "for (bit<8> i in 1..3) { x += i; } for (@x bit<8> i in (list<bit<8>>){1,2,3}) { x -= "
        "i; } bit<8> j; for (j = 0; j < 3; j = j + 1) {} for (bit<8> k in {1,2}) {} } }"
    ),
    "noWarn entries": (
        "control c(inout bit<8> x) { action a() {} action b(bit<9> v) {} table t { key = { x: "
        "ternary; } actions = { a; b; } largest_priority_wins = false; priority_delta = 10; "
        '@noWarn("duplicate_priorities") entries = { const priority=10: 1 &&& 3: b(1); 2: '
        "a(); const 3: b(2); priority=40: 4: a(); _: b(3); } } apply { t.apply(); } }"
    ),
    "annotated stmt": (
        "control c(inout bit<8> x) { @hidden action a() {} @foo table t { actions = { @bar a; "
        "} } apply { if (x == 1) { x = 2; } t.apply(); } }"
    ),
    "parser local": (
        "parser p(packet_in b) { bit<4> t = 1; const bit<8> k = 3; state start { bit<8> u = "
        "k; transition select(t) { 1: next; default: reject; } } state next { ; { bit<4> t = "
        "3; } transition accept; } }"
    ),
    "ternary": (
        "control c(inout bit<8> x, in bool b) { apply { x = b ? 1 : x; x = b ? x : 1; x = b ? "
        "(bit<8>)1 : 2; const bool k = true; x = k ? 1 : 2; x = (bit<8>)(true ? 1 : 2); } }"
    ),
    "varbit ops": (
        "header H { varbit<32> v; } control c(inout H a, inout H b) { apply { a.v = b.v; bool "
        "e = a.v == b.v; varbit<32> t = a.v; b = a; } }"
    ),
    "bit0": ("control c(inout bit<8> x) { apply { bit<0> z = 0; x = x ++ z; } }"),
    "cast tuple": (
        "struct S { bit<8> a; bool b; } control c(inout S s) { apply { tuple<bit<8>, bool> t "
        "= { 1, true }; s = { t[0], t[1] }; t = { s.a, s.b }; S u = (S){ 1, false }; } }"
    ),
    "tuple to struct": (
        "struct S { bit<8> a; bool b; } control c(inout S s) { apply { tuple<bit<8>, bool> t "
        "= { 1, true }; bool q = t == { 1, true }; } }"
    ),
    "underscore": (
        "extern void f(out bit<8> a, out bit<8> b); void g(out bit<8> a) { a = 1; } control "
        "c() { apply { f(_, _); g(_); } }"
    ),
    "const struct header": (
        "header H { bit<8> a; } const H h = { 1 }; control c(inout H x) { apply { x = h; } }"
    ),
    "dot prefix": (
        "const bit<8> k = 1; void f(in bit<8> x) {} control c(inout bit<8> k) { apply { k = "
        ".k; .f(k); } }"
    ),
    "numeric": (
        "const int a = 0b1010_1010; const bit<8> b = 8w0b_11; const int<8> c = -8s1;const "
        "bit<32> d = 32w0xdead_beef; const bit<8> e = 0o17; const bit<8> f = 0D10; const "
        "bit<8> g = 0XF; const bit<8> h = 8w0B1;"
    ),
    "unary": (
        "control c(inout int<8> x, inout bit<8> y) { apply { x = -x; x = +x; x = - -x; y = "
        "~~y; y = -(+y); bool b = !!(y == 0); x = ~x; x = x & 3 | 1 ^ 2; x = x |+| 100; } }"
    ),
    "prec": (
        "control c(inout bit<8> x, inout bool b) { apply { b = x & 1 == 0 || x | 2 != 3 && x "
        "^ 1 < 4; x = x + 1 << 2; b = x << 1 > 2; x = x ++ 4w0 == 12w0 ? 8w1 : 8w2; b = x == "
        "1 == true; } }"
    ),
    "generic call angle": (
        "T f<T>(in T x) { return x; } control c(inout bit<8> x, inout bool b) { apply { x = "
        "f<bit<8>>(x); b = (x < x) && (x > (x)); b = x < x; tuple<tuple<bit<8>>> t = {{1}}; x "
        "= f<tuple<bit<8>>>({1})[0]; } }"
    ),
    "methods on type": (
        "header H { bit<8> a; } control c(inout bit<32> x) { apply { x = H.minSizeInBits(); } }"
    ),
    "static_assert": (
        'const bool _check = static_assert(1 + 1 == 2, "x"); const bool __ = static_assert(true);'
    ),
    "pragma": ("@pragma foo bar baz\n control c() { apply {} }"),
    "anno expr": (
        '@a("x", 1, true) @b[1, 2] @c[k = 1, j = "v"] @d @e() @f(any "tokens" (nested, [x]) '
        "here <> != ..) struct S {}"
    ),
    "deprecated": ('@deprecated("no") extern void f(); control c() { apply { f(); } }'),
    "overload extern": (
        "extern X { X(); X(bit<8> a); X(bit<8> a, bit<8> b); } X() a; X(1) b; X(b = 1, a = 2) c;"
    ),
    "func overload num": (
        "extern bit<8> f(in bit<8> a); extern bit<8> f(in bit<8> a, in bit<8> b); control "
        "c(inout bit<8> x) { apply { x = f(f(x), f(1, 2)); } }"
    ),
    "action param enum": (
        "enum E { A, B } enum bit<8> F { X = 1 } control c(inout bit<8> x) { action a(E e, F "
        "f, bool b, int<8> i) { if (e == E.A) { x = 1; } } table t { key = { x: exact; } "
        "actions = { a; } default_action = a(E.A, F.X, true, -1); const entries = { 1: a(E.B, "
        "F.X, false, 3); } } apply { t.apply(); } }"
    ),
    "exact bool key": (
        "enum E { A, B } control c(inout bool x, inout E e, inout error r) { action a() {} "
        "table t { key = { x: exact; e: exact; r: exact; } actions = { a; } const entries = { "
        "(true, E.A, error.NoError): a(); (false, E.B, error.NoMatch): a(); } } apply { "
        "t.apply(); } }"
    ),
    "exact dontcare": (
        "control c(inout bit<8> x, inout bit<8> y) { action a() {} table t { key = { x: "
        "exact; y: ternary; } actions = { a; } const entries = { (1, _): a(); _: a(); "
        "default: a(); } } apply { t.apply(); } }"
    ),
    "int switch": (
        "control c(inout int<8> x) { apply { switch (x) { -1: { x = 1; } 8s3: {} 5: default: "
        "{} } } }"
    ),
    "nested comments": ("/* a /* b */ const bit<8> /* x */ a = 1; // y"),
    "trailing comma": (
        "enum E { A, B, } error { X, Y, } match_kind { q, } enum bit<8> F { A = 1, } struct S "
        "{ bit<8> a; bit<8> b; } const S s = { 1, 2, }; const S u = { a = 1, b = 2, }; extern "
        "X { X(); } control c() { apply { } }"
    ),
    "this is all": (
        "extern void f(in bit<8> a = 3, in bit<8> b = 4); control c() { apply { f(); f(1); "
        "f(b = 2); f(1, 2); } }"
    ),
    "control type params in ctor": (
        "control K<T>(inout T x)(T init) { apply { x = init; } } control c(inout bit<8> v) { "
        "K<bit<8>>(5) k; apply { k.apply(v); } }"
    ),
    "lval paren": (
        "struct S { bit<8> a; } control c(inout S s) { apply { s.a[3:0] = 1; s.a[7:4][1:0] = 2; } }"
    ),
    "struct in header": (
        "struct S { bit<4> a; bit<4> b; } header H { S s; bool c; bit<7> d; } control c(inout "
        "H h) { apply { h.s = { 1, 2 }; h.s.a = 3; h = { { 1, 2 }, true, 3 }; } }"
    ),
    "hdr stack in struct param": (
        "header H { bit<8> a; } control c(inout H[3] hs) { apply { hs[0].a = 1; "
        "hs.push_front(1); bit<32> n = hs.size; hs = { {1}, {2}, {3} }; } }"
    ),
    "bool ops": (
        "control c(inout bool a, inout bool b) { apply { a = a == b; a = a != true; b = a ? b "
        ": !b; } }"
    ),
    "const refs": (
        "const bit<8> w = 3; const int n = 4; struct S { bit<(n * 2)> a; bit<(1 + 7)> b; } "
        "typedef bit<(n)> N; control c(inout bit<(n)> x) { apply {} }"
    ),
    "cast int width": (
        "const int n = 8; control c(inout bit<8> x) { apply { x = (bit<(n)>)x; int<(n)> y = "
        "(int<(n)>)x; } }"
    ),
    "generic default type": (
        "struct S<T> { T t; } S<bit<8>> f(in bit<8> x) { return { x }; } control c(inout "
        "bit<8> x) { apply { x = f(x).t; S<bit<8>> s = { t = 3 }; S<S<bit<8>>> q = { { 1 } }; "
        "} }"
    ),
    "default in select of tuple": (
        "parser p(packet_in b, in bit<8> x, in bit<8> y) { state start { transition select(x, "
        "y) { default: accept; } } }"
    ),
    "keyset mixed types": (
        "const bit<8> k = 3; parser p(packet_in b, in bit<8> x) { state start { transition "
        "select(x) { k: accept; k + 1: accept; 8w5 .. 7: accept; k &&& 1: accept; "
        "(bit<8>)16w9: accept; default: reject; } } }"
    ),
    "block ctor param": (
        "control E(inout bit<8> x); control e1(inout bit<8> x) { apply { x = x + 1; } } "
        "control c1(inout bit<8> x)(E e) { apply { e.apply(x); } } control top(inout bit<8> "
        "x) { c1(e1()) c; apply { c.apply(x); } }"
    ),
    "int ctor": (
        "control c(inout bit<8> x)(int n, string s) { apply { x = x + n; } } control d(inout "
        'bit<8> x) { c(5, "a") k; apply { k.apply(x); } }'
    ),
    "actions forms": (
        "control c(inout bit<8> x) { action b() {} table t { key = { x: exact; } actions = { "
        ".NoAction; @tableonly b(); } default_action = .NoAction; } apply { t.apply(); } }"
    ),
    "empty statements": (
        "control c(inout bit<8> x) { action a() { ; } apply { ; if (x == 1) ; else ; { } ;; } }"
    ),
    "typedef generic": ("header H<T> { T t; } typedef H<bit<8>> H8; struct S { H8 h; H8[2] hs; }"),
    "name start": (
        'parser p(packet_in b) { @name(".start") state start { transition next; } @name("n") '
        "state next { transition accept; } }"
    ),
    "nested keyset parens": (
        "parser p(packet_in b, in bit<8> x, in bit<8> y) { state start { transition "
        "select(x, y) { ((1), (2)): accept; (3 &&& 1, (4)): accept; default: reject; } } }"
    ),
    "post exprs": (
        "bit<8> f(in bit<8> x) { return x; } control c(inout bit<8> a, inout bit<8> b) { "
        "apply { a[1:0] = f(b)[3:2]; a = (a ++ b)[11:4]; a = a[7:4][1:0] ++ 6w0; a = -8w1; a "
        "= (bit<8>)(b[0:0]); } }"
    ),
    "numbers": (
        "const bit<16> a = 16w0xFF_FF; const bit<8> b = 4w0B11 ++ 4w0; const bit<10> c = "
        "10w0d12; const bit<32> d = 32w0o17; const int e = 0xABCDEF; const bit<4> f = 0b1111;"
    ),
    "string esc": (
        '@a("x \\" y \\\\ z") struct S {} extern void log(string s); void g() { log("tab\\t '
        'nl\\n quote\\" ok"); }'
    ),
    "anno kw": ("@default @table @match(ternary) @if(else) @action[] struct S { @key bit<8> f; }"),
    "enum ref": ("enum bit<8> E { A = 1, B = 1 + 1, C = (bit<8>)3 }"),
    "infer init": (
        "struct I { bit<8> a; } struct S { I i; tuple<bit<8>, bool> t; } control c() { apply "
        "{ S s = { i = { 1 }, t = { 2, true } }; S u = { { a = 3 }, { 4, false } }; s = (S){ "
        "{ 5 }, { 6, true } }; } }"
    ),
    "struct arg": (
        "struct S { bit<8> a; bit<8> b; } void f(in S s) {} control c() { apply { f({1, 2}); "
        "f((S){1, 2}); f({a = 1, b = 2}); f(s = {1, 2}); } }"
    ),
    "control default param": (
        "control c(in bit<8> x, in bit<8> y = 1) { apply {} } control d() { c() k; apply { "
        "k.apply(1); k.apply(x = 2); k.apply(1, 2); } }"
    ),
    "local consts": (
        "struct S { bit<8> a; } control c(inout bit<8> x) { const bit<8> k = 1; action a() { "
        "const bit<8> l = k + 1; x = l; } apply { const S s = { k }; x = s.a; if (x == k) { "
        "const bit<8> z = 3; x = z; } a(); } }"
    ),
    "error fields": (
        "error { Mine } struct S { error e; } control c(inout S s) { apply { s.e = "
        "error.Mine; if (s.e != error.NoError) { s.e = error.NoError; } } }"
    ),
    "parser params": (
        "parser q(packet_in b, out bit<8> x)(bit<8> k) { state start { x = k; transition "
        "accept; } } parser p(packet_in b) { q(5) i1; bit<8> y; state start { i1.apply(b, "
        "y); transition select(y) { 5: accept; _: reject; } } }"
    ),
    "line markers": (
        '# 1 "other.p4"\nconst bit<8> a = 1;\n# 5 "t.p4" 2\nconst bit<8> b = 2;\n#line 7\n'
        "const bit<8> c = 3;"
    ),
    "crlf": (
        "const bit<8> a = 1;\r\n#define X 2\r\nconst bit<8> b = X;\r\n// c\r\n/* d\r\n */\r\n"
    ),
    "quote include": ('#include "core.p4"\nconst bit<8> a = 1;'),
    "tab vt": ("const\tbit<8>\x0ca = 1;"),
    "fn in select": (
        "bit<8> f(in bit<8> x) { return x; } parser p(packet_in b, in bit<8> x) { state "
        "start { transition select(f(x), x + 1) { (1, 2): accept; } } }"
    ),
    "void return": (
        "void f(inout bit<8> x) { if (x == 1) return; x = 2; return; } control c(inout "
        "bit<8> x) { apply { f(x); } }"
    ),
    "generic ext fn": (
        "extern T f<T>(in T x); extern void g<T, U>(in T x, out U y); control c(inout bit<8> "
        "x, inout bit<16> y) { apply { x = f(x); y = f<bit<16>>(3); g(x, y); g<bit<4>, _>(3, "
        "y); } }"
    ),
    "pkg in pkg": (
        "control C(); package A(C c); package B(A a, A b); control k() { apply {} } A(k()) "
        "a1; B(a1, A(k())) main;"
    ),
    "typedef ext": (
        "extern X { X(); } typedef X Y; Y() y; control C(); typedef C D; package P(D d); "
        "control k() { apply {} } P(k()) main;"
    ),
    "shift forms": (
        "control c(inout bit<8> x, inout int<8> i, in bit<200> big) { apply { x = x << x; x "
        "= x >> 8w3; x = x << big; i = i >> 1; i = i << x; x = 1 << 3; const bit<32> m = "
        "32w1 << 31; } }"
    ),
    "cmp chain": (
        "control c(inout bit<8> x, inout bool b) { apply { b = x < 3 == true; b = !(x == 1) "
        "!= (x > 2); b = (x & 0xf) == 3 && (x | 1) != 0; } }"
    ),
    "lookups": (
        "header H { bit<8> a; } struct T { H h; bit<8> b; } parser p(packet_in b, inout "
        "bit<8> x) { state start { x = b.lookahead<H>().a; T t = b.lookahead<T>(); bit<4> n "
        "= b.lookahead<bit<8>>()[7:4]; transition select(b.lookahead<H>().a, n) { (1, _): "
        "accept; _: reject; } } }"
    ),
    "for stmts": (
        "control c(inout bit<8> x) { apply { bit<8> i = 9; for (i = 0, x = 0; i < 3 && x < "
        "5; i += 1, x += 2) { } for (;i < 5;) i += 1; @unroll for (bit<8> k = 0; k < 2; k += "
        "1) ; } }"
    ),
    "const union": (
        "header A { bit<8> x; } header_union U { A a; } control c(inout U u) { apply { u = "
        "{#}; u.a = { 1 }; if (u == (U){#}) {} U v = u; bool b = v != u; } }"
    ),
    "tuple nest": (
        "tuple<bit<8>, tuple<bool>> f(in bit<8> x) { return { x, { true } }; } control "
        "c(inout bit<8> x) { apply { x = f(x)[0]; if (f(x)[1][0]) {} } }"
    ),
    "annotated params": (
        "control c(@foo in bit<8> x, @optional2 inout bit<8> y)(@bar bit<8> z) { action "
        'a(@name("q") bit<8> v) {} table t { actions = { a; } default_action = a(z); } apply '
        "{ t.apply(); } }"
    ),
    "hidden": (
        "control c(inout bit<8> x) { @hidden action a() {} @hidden table t { key = { x + 1: "
        'exact @hidden @name("k"); } actions = { a; } } apply { t.apply(); } }'
    ),
    "match kinds arch": (
        "match_kind { range, selector, mine } control c(inout bit<8> x) { table t { key = { "
        "x: mine; } actions = { NoAction; } } apply { t.apply(); } }"
    ),
    "custom prop": (
        "extern Impl { Impl(bit<32> n); } control c(inout bit<8> x) { Impl(3) im; table t { "
        "key = { x: exact; } actions = { NoAction; } implementation = Impl(4); other = im; "
        'const third = 5; fourth = { 1, 2 }; fifth = "s"; } apply { t.apply(); } }'
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str) -> None:
    diagnostics = Diagnostics()
    check_all("#include <core.p4>\n" + PROGRAMS[name], "test.p4", diagnostics=diagnostics)
    assert not diagnostics.errors, diagnostics.render()
