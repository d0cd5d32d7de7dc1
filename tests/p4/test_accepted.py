# ruff: noqa: E501 - tables of P4 source
"""Valid programs of every feature: each must compile to IR without a warning."""

from __future__ import annotations

import pytest
from p4_programs import v1model

from weft.p4.compiler import Diagnostics, compile_text
from weft.p4.compiler.ir.verify import verify

INGRESS = {
    # ------------------------------------------------------------------ literals and operators
    "literals": "m.x = 0x_F; m.x = 0b1010; m.x = 0o17; m.x = 8w255; m.s = 8s0b111_1111; m.x = 0d12;",
    "arithmetic": "m.x = m.x + 1 - m.x * 3; m.x = -m.x; m.x = +m.x; m.s = -m.s * 2;",
    "division": "m.x = m.x / 3; m.y = m.y % 16w7; const int k = 7 / 2 % 2; m.x = k;",
    "bitwise on int": "m.x = 5 & 3; m.x = 5 | 3 ^ 1; m.x = 8w0 / m.x;",
    "saturation": "m.x = m.x |+| 255; m.s = m.s |-| 8s100;",
    "bitwise": "m.x = ~m.x & 8w3 | m.x ^ 1; m.s = ~m.s;",
    "shifts": "m.x = m.x << 3 >> m.y; m.s = m.s >> 8w1; const int big = 1 << 100; m.x = (bit<8>)big;",
    "concatenation": "m.y = m.x ++ 8w1; m.y = (m.x ++ m.x)[15:0];",
    "wide": "bit<2048> w = 1; w = (w << 2047) | (bit<2048>)m.x; m.x = w[2047:2040];",
    "odd widths": "bit<1> a = 1; bit<0> z = 0; int<129> b = -1; b = b + 1; bit<3> c = a ++ 2w1;",
    "comparison": "m.flag = m.x < 3 && m.x >= 1 || !(m.y == 2) && m.s > -1;",
    "ternary": "m.x = m.flag ? 8w1 : 2; m.x = m.x > 3 ? m.x : m.flag ? 8w1 : 0;",
    "slices": "m.x[3:0] = m.y[7:4]; m.y[15:8][3:0] = 1; m.x = m.z[31:24]; m.x[7:7] = (bit<1>)m.flag;",
    "sized slices": "m.x = m.z[8 +: 8]; m.z[m.x +: 4] = 3; m.x = m.z[m.x+:8];",
    "slice of signed": "m.x[3:0] = m.s[3:0];",
    "casts": "m.x = (bit<8>)m.s; m.s = (int<8>)m.x; m.z = (bit<32>)m.x; m.y = (bit<16>)(bit<8>)m.z;",
    "bool casts": "m.flag = (bool)m.x[0:0]; m.x[0:0] = (bit<1>)m.flag; m.flag = (bool)1;",
    "sign extension": "int<16> t = (int<16>)m.s; m.y = (bit<16>)t;",
    "enum casts": "m.x = m.kind; m.kind = (Kind)8w7; m.x = (bit<8>)Kind.Two; m.z = (bit<32>)m.kind;",
    "enum arithmetic": "m.x = m.kind + 1; m.flag = m.kind == Kind.One; m.flag = Kind.One < 3;",
    "enum equality": "m.flag = m.colour == Colour.Red; m.colour = Colour.Blue;",
    "errors": "m.flag = s.parser_error == error.NoError; error e = error.NoMatch; m.flag = e != s.parser_error;",
    "compound": "m.x += 1; m.x -= 2; m.x *= 3; m.x /= 2; m.x %= 5; m.x <<= 1; m.x >>= m.y; m.x &= 7;"
    " m.x |= 1; m.x ^= 3; m.x |+|= 200; m.x |-|= 3;",
    "constants": "const bit<8> a = 3; const bit<8> b = a * 2 + 1; m.x = b; const bool t = a < b; if (t) {}",
    "sizes": "m.x = (bit<8>)h.ethernet.minSizeInBytes(); m.z = h.small.minSizeInBits();"
    " m.z = h.option.maxSizeInBytes(); const int n = h.stack.minSizeInBits(); m.z = n;",
    "static assertion": "static_assert(1 + 1 == 2, \"sums\"); const bool ok = static_assert(true);",
    # ------------------------------------------------------------------------- aggregates
    "struct literal": "meta_t t = { 1, 2, 3, 4, true, Kind.One, Colour.Red }; m = t;",
    "named literal": "small_t t = { c = 3, a = 1, b = 2 }; h.small = t;",
    "default literal": "small_t t = { a = 1, ... }; h.small = { 1, ... }; meta_t n = ...; m = n;",
    "cast literal": "h.small = (small_t){ 1, 2, 3 }; h.small = (small_t){ a = 1, b = 2, c = 3 };",
    "invalid header": "h.small = {#}; m.flag = h.small == {#}; small_t t = (small_t){#};",
    "invalid union": "h.either = {#}; m.flag = h.either.isValid();",
    "header equality": "m.flag = h.small == h.stack[0]; m.flag = h.stack == h.stack; m.flag = h.either != h.either;",
    "tuples": "tuple<bit<8>, bool> t = { m.x, true }; m.x = t[0]; m.flag = t[1] && t == { 3, false };",
    "nested tuples": "tuple<bit<8>, tuple<bool, bit<16>>> t = { 1, { true, 2 } }; m.y = t[1][1];",
    "stack literal": "small_t[2] t = { { 1, 2, 3 }, { 4, 5, 6 } }; h.stack[0] = t[1];",
    "stack index": "h.stack[m.x].a = 1; m.x = h.stack[m.y].b; h.stack[3] = h.stack[m.x]; m.z = h.stack.size;",
    "stack moves": "h.stack.push_front(1); h.stack.pop_front(2);",
    "validity": "h.small.setValid(); h.small.setInvalid(); if (h.small.isValid()) m.x = 1;",
    "union": "h.either.small.setValid(); h.either.small.a = 3; h.either.large = h.ethernet;",
    "swap": "h.small = { h.small.b, h.small.a, h.small.c };",
    # ------------------------------------------------------------------------- statements
    "blocks": "{ bit<8> t = 1; { bit<8> u = t; m.x = u; } } ; ; @unlikely { m.x = 3; }",
    "if else": "if (m.x == 1) m.x = 2; else if (m.x == 2) { m.x = 3; } else { }",
    "switch value": "switch (m.x) { 1: { m.y = 1; } 2: 3: { m.y = 2; } default: { m.y = 3; } }",
    "switch enum": "switch (m.colour) { Colour.Red: { m.x = 1; } Colour.Green: {} } switch (m.kind) { Kind.One: {} }",
    "switch error": "switch (s.parser_error) { error.NoError: {} error.NoMatch: { m.x = 1; } }",
    "for": "for (bit<8> i = 0; i < 4; i = i + 1) { m.x = m.x + i; }",
    "for lists": "for (bit<8> i = 0, bit<8> j = 9; i < j; i += 1, j -= 1) { if (i == 2) continue; if (j == 3) break; }",
    "for without header": "bit<8> i = 0; for (; i < 3;) { i = i + 1; }",
    "for range": "for (bit<8> i in 0 .. 255) { m.x = m.x + i; } for (bit<8> i in m.x .. m.x) ;",
    "for elements": "for (small_t e in h.stack) { m.x = m.x + e.a; } for (bit<8> v in { 1, 2, m.x }) m.x = v;",
    "unrolled": "@unroll for (@foo bit<8> i in 1..2) { }",
    "return": "if (m.flag) return; m.x = 1;",
    "exit": "if (m.flag) { exit; }",
    "shadowing": "bit<8> x = 1; { bit<16> x = 2; m.y = x; } m.x = x;",
    "string concatenation": 'log_msg("a" ++ "b");',
    # ---------------------------------------------------------------------------- externs
    "hash": "hash(m.y, HashAlgorithm.crc16, 16w0, { h.small.a, m.x }, 16w100);",
    "random": "random(m.x, 0, 7); random<bit<16>>(m.y, 1, 3);",
    "digest": "digest(1, { m.x, m.y }); digest<meta_t>(2, m);",
    "drop": "mark_to_drop(s);",
    "clone": "clone(CloneType.I2E, 5); clone_preserving_field_list(CloneType.E2E, 5, 1);",
    "again": "resubmit_preserving_field_list(2); recirculate_preserving_field_list(0); truncate(60);",
    "log": 'log_msg("x"); log_msg("x = {} {}", { m.x, m.y }); assert(m.x == 1); assume(true);',
    "named arguments": "random(hi = 7, lo = 0, result = m.x); clone(session = 3, type = CloneType.I2E);",
}  # fmt: skip


@pytest.mark.parametrize("name", INGRESS)
def test_statements(name: str) -> None:
    accept(v1model(ingress=INGRESS[name]))


PROGRAMS = {
    # -------------------------------------------------------------------------- declarations
    "typedef": v1model(types="typedef bit<8> byte; typedef byte octet;", ingress="octet t = m.x;"),
    "newtype": v1model(
        types="type bit<9> Port; type Port Better;",
        ingress="Port p = (Port)9w3; Port q = (Port)s.ingress_port; bit<9> r = (bit<9>)q;"
        " m.flag = p == q; Better b = (Better)p;",
    ),
    "inline typedef": v1model(types="typedef struct T { bit<8> a; } U;", ingress="U u = { 1 };"),
    "generic struct": v1model(
        types="struct Pair<T, U> { T first; U second; } header Box<T> { T value; }",
        ingress="Pair<bit<8>, bool> p = { 1, true }; m.x = p.first; Box<bit<16>> b; b.value = 3;"
        "Pair<Pair<bit<8>, bit<8>>, bit<16>> q = { { 1, 2 }, 3 }; m.x = q.first.second;",
    ),
    "nested struct in header": v1model(
        types="struct inner { bit<8> a; int<8> b; } header outer { inner i; bool f; bit<7> r; Kind k; }",
        ingress="outer o; o.setValid(); o.i.a = 1; o.f = true; o.k = Kind.Two;",
    ),
    "many enums": v1model(types="enum En { A, B, } enum int<8> F { X = -1, Y = 2, } const En e = En.A;"),
    "errors": v1model(types="error { Mine, Yours }", ingress="m.flag = s.parser_error == error.Mine;"),
    "match kinds": v1model(types="match_kind { mine, yours, }"),
    "list constant": v1model(types="const list<tuple<bit<8>, bool>> l = { { 1, true }, { 2, false } };"),
    "struct constant": v1model(
        types="struct T { bit<8> a; bit<16> b; } const T t = { 1, 2 }; const T u = { b = 3, a = 4 };"
        " const bit<8> k = t.a + u.a;",
        ingress="m.x = t.a; m.y = u.b; T v = t; m.x = k;",
    ),
    "empty things": v1model(types="struct Empty { } header None { } enum bit<2> One { A = 0 } ; ;"),
    # ----------------------------------------------------------------------------- functions
    "functions": v1model(
        types="bit<8> biggest(in bit<8> a, in bit<8> b) { if (a > b) { return a; } return b; }"
        "void bump(inout bit<8> a) { a = a + 1; } bit<8> twice(bit<8> a) { return a * 2; }",
        ingress="m.x = biggest(m.x, 3); bump(m.x); bump(h.stack[m.x].a); m.x = twice(m.x) + twice(2);",
    ),
    "generic functions": v1model(
        types="T same<T>(in T x) { T y = x; return y; } void set<T>(out T a, in T b) { a = b; }",
        ingress="m.x = same(m.x); m.y = same<bit<16>>(3); set(m.z, 7); small_t t = same(h.small);",
    ),
    "overloads": v1model(
        types="bit<8> f() { return 1; } bit<8> f(in bit<8> a) { return a; }"
        "bit<8> f(in bit<8> a, in bit<8> b) { return a + b; } bit<8> f(in bool c) { return 3; }",
        ingress="m.x = f() + f(a = 1) + f(m.x, 2) + f(c = true);",
    ),
    "defaults": v1model(
        types="bit<8> f(in bit<8> a, in bit<8> b = 3) { return a + b; }",
        ingress="m.x = f(1); m.x = f(1, 2); m.x = f(b = 5, a = 2);",
    ),
    "ignored out": v1model(
        types="void two(out bit<8> a, out bit<8> b) { a = 1; b = 2; }", ingress="two(m.x, _);"
    ),
    # ------------------------------------------------------------------------------- parsers
    "select": v1model(
        states="""state start { p.extract(h.ethernet); transition select(h.ethernet.kind, m.x) {
            (0x800, 1): a; (0x800 &&& 0xff00, 2 .. 5): b; (16w5, _): a; (_, default): b; } }
            state a { transition select(h.ethernet.dst[7:0]) { 1: accept; 2 .. 3: b; 4 &&& 4: b; _: reject; } }
            state b { transition select(m.kind) { Kind.One: accept; default: reject; } }"""
    ),
    "parenthesised keysets": v1model(
        states="""state start { transition select(m.x) { (1): accept; (2 .. 3): accept; (_): accept;
            default: reject; } }"""
    ),
    "value sets": v1model(
        types="struct pair { bit<8> a; @match(ternary) bit<16> b; }",
        parser_locals="value_set<bit<16>>(4) kinds; @name(\"pairs\") value_set<pair>(8) both;",
        states="""state start { p.extract(h.ethernet); transition select(h.ethernet.kind) {
            kinds: more; _: accept; } }
            state more { transition select(m.x, m.y) { both: accept; (1, kinds): accept; _: reject; } }""",
    ),
    "packets": v1model(
        states="""state start { bit<8> first = p.lookahead<bit<8>>(); small_t s2 = p.lookahead<small_t>();
            p.advance(8); m.z = p.length(); p.extract(h.option, (bit<32>)(first << 3)); p.extract<small_t>(_);
            p.extract(h.stack.next); m.x = h.stack.last.a; m.z = h.stack.lastIndex;
            verify(m.x != 0, error.NoMatch); transition select(p.lookahead<tuple<bit<8>, bit<8>>>()[0]) {
            1: start; default: accept; } }"""
    ),
    "unions in parsers": v1model(
        states="""state start { p.extract(h.either.small); transition select(h.either.small.a) {
            1: again; default: accept; } } state again { p.extract(h.either.large); transition accept; }"""
    ),
    "sub-parsers": v1model(
        types="parser Inner(packet_in p, out small_t x, in bit<8> k)(bit<8> n, bool deep) {"
        " bit<8> count = n; state start { p.extract(x); count = count - 1;"
        " transition select(count) { 0: accept; k: reject; default: start; } } }",
        parser_locals="Inner(3, false) one; Inner(deep = true, n = 4) two;",
        states="state start { one.apply(p, h.small, 1); two.apply(p, h.stack[0], m.x); transition accept; }",
    ),
    "direct application": v1model(
        types="parser Inner(packet_in p, out small_t x) { state start { p.extract(x); transition accept; } }"
        "control Step(inout bit<8> x) { apply { x = x + 1; } }",
        states="state start { Inner.apply(p, h.small); transition accept; }",
        ingress="Step.apply(m.x); Step.apply(m.x);",
    ),
    "statements in states": v1model(
        states="""state start { if (m.x == 1) { m.y = 2; } else m.y = 3; const bit<8> k = 3; bit<8> t;
            { t = k; } m.x += t; ; transition accept; }"""
    ),
    # ------------------------------------------------------------------------------ controls
    "sub-controls": v1model(
        types="control Inner(inout bit<8> x, in bit<8> y)(bit<8> n) { action a(bit<8> v) { x = v + n; }"
        " table t { key = { y: exact; } actions = { a; } size = (bit<32>)n; } apply { t.apply(); } }",
        ingress_locals="Inner(3) one; Inner(4) two;",
        ingress="one.apply(m.x, 1); two.apply(y = m.x, x = h.small.a);",
    ),
    "tables": v1model(
        ingress_locals="""action set(bit<8> v, bit<16> w) { m.x = v; m.y = w; } action by(in bit<8> k, bit<8> v) { m.x = k + v; }
            action write(inout bit<8> x, bit<8> v) { x = v; }
            direct_counter(CounterType.packets) hits; direct_meter<bit<2>>(MeterType.bytes) rate;
            table t { key = { h.ethernet.dst: exact; h.small.a: ternary @name("first"); h.small.c: lpm;
              m.y: range; m.flag: exact; h.small.isValid(): exact; m.kind: optional; m.x + 1: exact @name("sum");
              h.small.b[3:0]: exact; }
              actions = { set; by(m.x); write(h.small.a); @defaultonly NoAction; @tableonly @name("d") drop_it; }
              const default_action = NoAction; size = 1024; counters = hits; meters = rate;
              support_timeout = true; my_property = { 1, 2 }; }
            """.replace("direct_counter", "action drop_it() { mark_to_drop(s); } direct_counter", 1),
        ingress="if (t.apply().hit) { m.x = 1; } if (!t.apply().miss) m.x = 3;"
        "switch (t.apply().action_run) { set: { m.x = 1; } by: write: { m.x = 2; } default: { m.x = 3; } }",
    ),
    "entries": v1model(
        ingress_locals="""action set(bit<8> v) { m.x = v; }
            table t { key = { m.x: exact; m.y: ternary; } actions = { set; NoAction; }
              const entries = { (1, 2 &&& 3): set(1); (0x2, _): NoAction(); (8w3, default): set(v = 7) @name("e"); } }
            table u { key = { m.y: lpm; } actions = { set; NoAction; } default_action = set(3);
              entries = { const 0x100 &&& 0xff00: set(1); 5: set(2); _: NoAction; } }
            table w { key = { m.y: ternary; m.z: range; } actions = { set; NoAction; } largest_priority_wins = false;
              priority_delta = 10; entries = { const priority = 5: (1, 2 .. 9): set(1);
              priority = (1 + 2): (_, _): NoAction(); (3, 4): set(2); } }
            table o { key = { m.x: optional; } actions = { set; NoAction; } const entries = { 1: set(1); _: set(2); } }""",
        ingress="t.apply(); u.apply(); w.apply(); o.apply();",
    ),
    "tables without keys": v1model(
        ingress_locals="action a() { m.x = 1; } table t { actions = { a; } default_action = a(); }"
        "table u { key = { } actions = { a; NoAction; } }",
        ingress="t.apply(); u.apply();",
    ),
    "actions": v1model(
        ingress_locals="action one(in bit<8> a, out bit<8> b, inout bit<8> c, bit<8> d) {"
        " b = a; c = c + d; if (c == 3) { return; } else { exit; } }"
        "action two() { bit<8> t; one(1, t, m.x, t); switch (m.x) { 1: { t = 2; } } }",
        ingress="one(m.x, h.small.a, m.x, 3); two();",
    ),
    "profiles": v1model(
        ingress_locals="""action a() {} action_profile(32) shared;
            table t { key = { m.x: exact; } actions = { a; } implementation = shared; }
            table u { key = { m.x: exact; m.y: selector; } actions = { a; }
              implementation = action_selector(HashAlgorithm.crc32, 32w64, 32w8); }""",
        ingress="t.apply(); u.apply();",
    ),
    "state": v1model(
        ingress_locals="""counter(16, CounterType.bytes) c; meter(16, MeterType.packets) me;
            register<bit<32>>(8) r; register<bit<8>>(8) q; direct_counter(CounterType.packets_and_bytes) d;
            action a() { d.count(); r.write(0, 1); } table t { key = { m.x: exact; } actions = { a; } counters = d; }""",
        ingress="c.count(3); c.count((bit<32>)m.x); bit<2> colour; me.execute_meter<bit<2>>(1, colour);"
        "me.execute_meter(1, m.x); r.read(m.z, (bit<32>)m.x); q.write(2, m.x); t.apply();",
    ),
    "checksums": v1model(
        verify="verify_checksum(h.small.isValid(), { h.small.a, h.small.b }, h.small.c, HashAlgorithm.csum16);",
        update="update_checksum(true, { h.small.a, 8w0 }, h.small.c, HashAlgorithm.csum16);"
        "update_checksum_with_payload(true, { h.small.a }, h.small.c, HashAlgorithm.crc16);",
    ),
    "emit": v1model(deparser="p.emit(h.ethernet); p.emit(h.stack); p.emit(h.either); p.emit<small_t>(h.small);"),
    "soft keywords": v1model(
        types="struct S { bit<8> key; bit<8> actions; bit<8> type; bit<8> state; bit<8> apply; bit<8> entries;"
        " bit<8> priority; bit<8> list; }",
        ingress="S v = { 1, 2, 3, 4, 5, 6, 7, 8 }; bit<8> key = v.key; bit<8> type = v.type + key;"
        " bit<8> apply = type; apply = v.apply + v.actions; bit<8> list = v.list; bit<8> priority = list; priority = 3;"
        " bit<8> state = v.state; state = v.entries; bit<8> entries = state; entries = 1; m.x = priority;",
    ),
    "angles": v1model(
        types="struct G<T> { T v; } T get<T>(in T x) { return x; }",
        ingress="G<tuple<bit<8>, G<bit<(4+4)>>>> g; bit<(8 >> 1)> n = 1; m.flag = m.x < m.y[7:0] && m.x > (8w3);"
        "m.x = get<bit<8>>(m.x) >> 2; m.flag = (m.x < 3) == (m.y > 2); tuple<tuple<tuple<bit<8>>>> d = { { { 1 } } };",
    ),
    "names like types": v1model(
        types="struct port { bit<8> v; } struct holder { port port; }",
        ingress="holder k; k.port.v = 1; bit<8> port = k.port.v; port = port + 1; m.x = port;",
    ),
    "global scope": v1model(
        types="const bit<8> x = 3; action act() { } typedef bit<8> small;",
        ingress_locals="const bit<8> x = 5; action act() { } table t { actions = { .act; act; } }"
        .replace("act; }", "act; }").replace("{ .act; act; }", "{ .act; }"),
        ingress="m.x = .x + x; .small y = 1; t.apply();",
    ),
    "annotations": v1model(
        types='@foo @bar() @baz(1, "two", three) @list[1, 2 + 3, "x"] @pairs[a = 1, b = "c"] @nested((a) b (c, d))'
        ' struct A { @hidden bit<8> f; } @pragma whatever follows here\n@deprecated("no") bit<8> g() { return 1; }',
        ingress_locals='@name(".top") @id(7) action a() { } @name("tt") table t { key = { m.x: exact @name("k"); }'
        ' actions = { a; } @my implementation = action_profile(4); }',
        ingress="t.apply(); @x { } ",
    ),
    "extern with abstract method": v1model(
        types="extern Maker { Maker(bit<8> n); abstract bit<8> make(in bit<8> x); bit<8> run(in bit<8> x); }",
        ingress_locals="Maker(3) mk = { bit<8> make(in bit<8> x) { return x + 1; } };",
        ingress="m.x = mk.make(m.x) + mk.run(1);",
    ),
    "generic extern": v1model(
        types="extern Store<T> { Store(); Store(T first); T get(); void put<U>(in U u, in T v = 3); }"
        .replace(", in T v = 3", ""),
        ingress_locals="Store<bit<8>>() a; Store(8w3) b;",
        ingress="m.x = a.get() + b.get(); a.put<bit<16>>(3); b.put(m);",
    ),
    "generic blocks": v1model(
        types="extern Cell<T> { Cell(T first); T get(); } parser Inner<T>(packet_in p, in T x, out T y) { state start { y = x; transition accept; } }"
        "control K<T>(inout T v)(T first) { Cell<T>(first) cell; T copy = v; apply { v = cell.get(); copy = v; } }"
        "control Pass<U>(inout U v) { apply { U w = v; v = w; } }",
        states="state start { Inner<bit<8>>.apply(p, m.x, m.x); Inner.apply(p, m.y, m.y); transition accept; }",
        ingress_locals="K(8w3) one; K<bit<16>>(5) two; Pass<small_t>() three;",
        ingress="one.apply(m.x); two.apply(m.y); three.apply(h.small); Pass.apply(m.z);",
    ),
    "select on lists": v1model(
        states="state start { transition select(m.x, {m.y, m.z}, m.flag) { (1, {2, 3}, true): accept; (2, default, _): accept; default: reject; } }"
    ),
    "value sets of nested structs": v1model(
        types="struct deep_t { bit<16> b; } struct outer_t { bit<8> a; deep_t d; }",
        parser_locals="value_set<outer_t>(4) vs;",
        states="state start { transition select(m.x, m.y) { vs: accept; default: reject; } }",
    ),
    "directionless parameters": v1model(
        types="control K(bit<8> x, inout bit<8> y) { apply { y = x; } }", ingress="K.apply(m.x + 1, m.x);"
    ),
    "default blocks": v1model(
        types="control Nothing(inout headers_t h, inout meta_t m) { apply { } }"
        "package Pair<H, M>(Parser<H, M> p, VerifyChecksum<H, M> v = Nothing()); package Lone<H, M>(ComputeChecksum<H, M> c = Nothing()); Lone<_, _>() lone;"
    ),
    "no entries without a key": v1model(
        ingress_locals="table t { key = { } actions = { NoAction; } const entries = { } }", ingress="t.apply();"
    ),
    "open type arguments": v1model(
        types="package Some<D>(Parser<D, _> p); package Other(Deparser<_> d); Some<headers_t>(P2()) some; Other(D2()) other;"
        .replace("Some<headers_t>(P2()) some; Other(D2()) other;", "")
        + "control D2(packet_out p, in headers_t h) { apply { } } Other(D2()) other;"
    ),
    "annotations that repeat": v1model(types="struct A { @a(1) @a(2) @b[1, true, 1 == 2] bit<8> f; }"),
    "factories": v1model(
        types="extern Widget { bit<8> get(); } extern Widget make<T>(T a, bit<8> b);"
        "control K(inout bit<8> v)(Widget w) { apply { v = w.get(); } }",
        ingress_locals="K(make(16w1, 2)) one;",
        ingress="one.apply(m.x);",
    ),
    "pragmas": v1model(
        types="@pragma one\n@pragma two 3 \"x\"\nconst bit<8> k = 1;",
        ingress_locals="@pragma name \"other\"\naction a() { } table t { actions = { a; } }",
        ingress="t.apply();",
    ),
    "packages in packages": v1model(
        types="package Half<T>(Parser<T, meta_t> p); package Whole<T>(Half<T> h, @optional Deparser<T> d);"
        " Half(P()) half; Whole(half) whole;".replace("Half(P()) half; Whole(half) whole;", ""),
    ),
    "externs as parameters": v1model(
        types="extern Sum { Sum(); void add<T>(in T x); bit<16> get(); } control K(Sum s, inout bit<16> y) {"
        " apply { s.add(y); y = s.get(); } } control Type(Sum s, inout bit<16> y); package Top(Type t); Top(K()) top;",
    ),
    "don't care type arguments": v1model(
        types="T get<T, U>(in T x, in U y) { return x; }", ingress="m.x = get<_, bit<16>>(m.x, 3);"
    ).replace("V1Switch(", "V1Switch<headers_t, _>("),
    "instances at the top": v1model(
        types="register<bit<8>>(4) shared; counter(3, CounterType.packets) c;",
        ingress="shared.write(1, m.x); c.count(2);",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str) -> None:
    accept(PROGRAMS[name])


def accept(source: str) -> None:
    diagnostics = Diagnostics()
    program = compile_text(source, diagnostics=diagnostics)
    assert not diagnostics.messages, diagnostics.render()
    assert verify(program) == []
