"""What the specification forbids, rule by rule: each ends in a diagnostic that names the thing."""

from __future__ import annotations

import pytest

from weft.p4.compiler import CompileError, Diagnostics, check_all

# name: (program after core.p4, part of the message)
PROGRAMS = {
    "parser overload": (
        "parser p(packet_in b) { state start { transition accept; } } parser p(packet_in b, "
        "out bit<8> x) { state start { x = 1; transition accept; } }",
        "'p' is declared twice",
    ),
    "control overload": (
        "control p(in bit<8> b) { apply {} } control p(in bit<8> b)(bit<8> x) { apply {} }",
        "'p' is declared twice",
    ),
    "package overload": (
        "control C(); package p(C a); package p(C a, C b);",
        "'p' is declared twice",
    ),
    "typedef string": (
        "typedef string S;",
        "'typedef' cannot name string",
    ),
    "typedef void": (
        "typedef void S;",
        "syntax error: unexpected 'void', expected '.', '@', 'bit', 'bool', 'enum', '",
    ),
    "typedef match_kind": (
        "typedef match_kind S;",
        "'typedef' cannot name match_kind",
    ),
    "type varbit": (
        "type varbit<8> S;",
        "'type' cannot be made of varbit<8>",
    ),
    "type error": (
        "type error S;",
        "'type' cannot be made of error",
    ),
    "type enum": (
        "enum E {A} type E S;",
        "'type' cannot be made of E",
    ),
    "type tuple": (
        "type tuple<bit<8>> S;",
        "'type' cannot be made of tuple<bit<8>>",
    ),
    "optional in function": (
        "void f(@optional in bit<8> a) {}",
        "parameter 'a' cannot be @optional here",
    ),
    "optional in control": (
        "control c(@optional in bit<8> a) { apply {} }",
        "parameter 'a' cannot be @optional here",
    ),
    "optional in action": (
        "control c() { action a(@optional in bit<8> x) {} apply {} }",
        "parameter 'x' cannot be @optional here",
    ),
    "default middle": (
        "extern void f(in bit a, in bit<3> b = 2, in bit<5> c); void g() { f(1, 3); }",
        "function 'f' takes 3 arguments, 2 given",
    ),
    "default out": (
        "extern void f(out bit a = 1);",
        "an out parameter cannot have a default",
    ),
    "default runtime": (
        "extern bit<8> g(); extern void f(in bit<8> a = g());",
        "a default must be a compile-time constant",
    ),
    "top control instance": (
        "control c() { apply {} } c() c1;",
        "a control cannot be instantiated at the top level",
    ),
    "top parser instance": (
        "parser c(packet_in b) { state start { transition accept; } } c() c1;",
        "a parser cannot be instantiated at the top level",
    ),
    "parser in control": (
        "parser p(packet_in b) { state start { transition accept; } } control c(packet_in b) "
        "{ p() q; apply { q.apply(b); } }",
        "a parser cannot be instantiated in a control",
    ),
    "control in parser": (
        "control c() { apply {} } parser p(packet_in b) { c() q; state start { q.apply(); "
        "transition accept; } }",
        "a control cannot be instantiated in a parser",
    ),
    "extern inout": (
        "extern X { X(); } control c(inout X x) { apply {} }",
        "a parameter of type X cannot have a direction",
    ),
    "string in": (
        "extern void f(in string s);",
        "a parameter of type string cannot have a direction",
    ),
    "int param in": (
        "void f(in int x) {}",
        "a parameter of type int cannot have a direction",
    ),
    "int action": (
        "control c() { action a(int x) {} apply {} }",
        "a parameter of an action cannot have type int",
    ),
    "return in parser": (
        "parser p(packet_in b) { state start { return; transition accept; } }",
        "'return' may not stand in a parser",
    ),
    "switch in parser": (
        "parser p(packet_in b, in bit<8> x) { state start { switch (x) { 1: {} } transition "
        "accept; } }",
        "'switch' may not stand in a parser",
    ),
    "exit in function": (
        "void f() { exit; }",
        "'exit' may not stand in a function",
    ),
    "table in action": (
        "control c() { table t { actions = { NoAction; } } action a() { t.apply(); } apply { "
        "a(); } }",
        "a table's apply cannot be called in an action",
    ),
    "control in action": (
        "control k() { apply {} } control c() { k() q; action a() { q.apply(); } apply { a(); } }",
        "a control's apply cannot be called in an action",
    ),
    "state name dup local": (
        "parser p(packet_in b) { bit<4> t; state start { t = 1; transition t; } state t { "
        "transition accept; } }",
        "'t' is declared twice",
    ),
    "accept def": (
        "parser p(packet_in b) { state start { transition accept; } state accept { } }",
        "state 'accept' exists in every parser already",
    ),
    "switch label twice enum": (
        "enum E {A,B} control c(in E e) { apply { switch (e) { E.A: {} E.A: {} } } }",
        "this label occurs twice",
    ),
    "switch label cast": (
        "control c(in bit<8> e) { apply { switch (e) { 16w1: {} } } }",
        "this label: expected bit<8>, found bit<16>; write a cast: (bit<8>)...",
    ),
    "action_run in if": (
        "control c() { table t { actions = { NoAction; } } apply { if (t.apply().action_run "
        "== 1) {} } }",
        "'==' needs operands of one type, found action_list(t) and int",
    ),
    "action_run var": (
        "control c(inout bit<8> x) { table t { actions = { NoAction; } } apply { x = "
        "t.apply().action_run; } }",
        "this assignment: expected bit<8>, found action_list(t)",
    ),
    "switch action_run in action": (
        "control c(inout bit<8> x) { table t { actions = { NoAction; } } action a() { switch "
        "(t.apply().action_run) { NoAction: {} } } apply { a(); } }",
        "a table's apply cannot be called in an action",
    ),
    "const entries control": (
        "control c(in bit<8> x) { action a() {} table t { key = { x: exact; } actions = { a; "
        "} const entries = { 1: a(); 1: a(); } } apply { t.apply(); } }",
        "another entry has this key",
    ),
    "two same action": (
        "action a() {} control c() { action a() {} table t { actions = { a; .a; } } apply { "
        "t.apply(); } }",
        "action 'a' is listed twice",
    ),
    "apply in action args": (
        "control c(inout bit<8> x) { action b(in bit<8> q) {} table u { actions = { NoAction; "
        "} } table t { actions = { b(u.apply().hit ? 8w5 : 3); } } apply { t.apply(); } }",
        "a table's apply cannot be called in a table",
    ),
    "priority const": (
        "control c(inout bit<8> x) { action a() {} table t { key = { x: ternary; } actions = "
        "{ a; } const entries = { priority = 1: 1: a(); } } apply { t.apply(); } }",
        "entries of a table with 'const entries' have no priorities: their order deci",
    ),
    "priority first": (
        "control c(inout bit<8> x) { action a() {} table t { key = { x: ternary; } actions = "
        "{ a; } entries = { 1: a(); priority = 3: 2: a(); } } apply { t.apply(); } }",
        "the first entry must have a priority, since others have one",
    ),
    "priority negative": (
        "control c(inout bit<8> x) { action a() {} table t { key = { x: ternary; } actions = "
        "{ a; } entries = { priority = (-3): 2: a(); } } apply { t.apply(); } }",
        "a priority cannot be negative",
    ),
    "lpw type": (
        "control c(inout bit<8> x) { action a() {} table t { key = { x: ternary; } actions = "
        "{ a; } largest_priority_wins = 1; entries = { 2: a(); } } apply { t.apply(); } }",
        "largest_priority_wins is true or false",
    ),
    "delta type": (
        "control c(inout bit<8> x) { action a() {} table t { key = { x: ternary; } actions = "
        "{ a; } priority_delta = 0; entries = { 2: a(); } } apply { t.apply(); } }",
        "priority_delta must be positive",
    ),
    "abstract missing": (
        "extern X { X(); abstract void f(); } X() x;",
        "abstract method 'f' of X is not implemented",
    ),
    "abstract sig": (
        "extern X { X(); abstract void f(in bit<8> a); } X() x = { void f(out bit<8> a) { a = "
        "1; } };",
        "'f' does not have the signature of the method",
    ),
    "abstract scope": (
        "extern X { X(); abstract bit<8> f(); } control c(inout bit<8> v) { X() x = { bit<8> "
        "f() { return v; } }; apply { x.f(); } }",
        "'v' is not declared",
    ),
    "generic unbound": (
        "struct S<T> { T f; } typedef S X;",
        "type 'S' takes 1 type argument(s), 0 given",
    ),
    "list var": (
        "control c() { apply { list<bit<8>> l = {1, 2}; } }",
        "a variable cannot have type list<bit<8>>",
    ),
    "varbit assign": (
        "header H { varbit<8> a; varbit<16> b; } control c(inout H h) { apply { h.a = h.b; } }",
        "this assignment: expected varbit<8>, found varbit<16>",
    ),
    "varbit lit": (
        "header H { varbit<8> a; } control c(inout H h) { apply { h.a = 1; } }",
        "this assignment: expected varbit<8>, found int",
    ),
    "varbit add": (
        "header H { varbit<8> a; } control c(inout H h) { apply { h.a = h.a + h.a; } }",
        "'+' is not defined for varbit<8>",
    ),
    "tuple lvalue": (
        "control c(inout bit<8> x) { apply { tuple<bit<8>> t = {1}; t[0] = x; } }",
        "the left side of an assignment must be something that can be written to",
    ),
    "slice big": (
        "control c(inout bit<8> x) { apply { x[8:0] = 9w1; } }",
        "the slice [8:0] goes beyond bit<8>",
    ),
    "header lt": (
        "header H { bit<8> a; } control c(inout H h) { apply { if (h < h) {} } }",
        "'<' is not defined for H",
    ),
    "stack cmp size": (
        "header H { bit<8> a; } control c(inout H[2] h, inout H[3] g) { apply { if (h == g) {} } }",
        "'==' needs operands of one type, found H[2] and H[3]",
    ),
    "stack assign size": (
        "header H { bit<8> a; } control c(inout H[2] h, inout H[3] g) { apply { h = g; } }",
        "this assignment: expected H[2], found H[3]",
    ),
    "emit bit": (
        "control c(packet_out b, in bit<8> x) { apply { b.emit(x); } }",
        "emit takes headers, and stacks, unions and structs of them, not bit<8>",
    ),
    "verify in control": (
        "control c() { apply { verify(true, error.NoError); } }",
        "verify cannot be called in a control",
    ),
    "extract in control": (
        "header H { bit<8> a; } control c(packet_in b, inout H h) { apply { b.extract(h); } }",
        "extract cannot be called in a control",
    ),
    "recursion action": (
        "control c() { action a() { a(); } apply { a(); } }",
        "'a' is not declared",
    ),
    "table twice apply rec": (
        'control c(inout bit<8> x) { table t { key = { t.apply().hit: exact @name("x"); } '
        "actions = { NoAction; } } apply { t.apply(); } }",
        "'t' is not declared",
    ),
    "enum outside": (
        "enum bit<8> E { a = 300 }",
        "the value of 'a' does not fit bit<8>",
    ),
    "enum neg": (
        "enum bit<8> E { a = -1 }",
        "the value of 'a' does not fit bit<8>",
    ),
    "enum nonconst": (
        "extern bit<8> f(); enum bit<8> E { a = f() }",
        "the value must be a compile-time constant",
    ),
    "mixed plain senum": (
        "enum E { a = 1 }",
        "syntax error: unexpected '=', expected ',' or '}'",
    ),
    "hdr init field": (
        "header H { bit<8> a; } control c() { apply { H h = { b = 1 }; } }",
        "the initializer of 'h': expected H, found { b = int }; H has no field 'b'",
    ),
    "void field": (
        "struct S { void v; }",
        "syntax error: unexpected 'void', expected '.', '@', 'bit', 'bool', 'error', ",
    ),
    "match_kind field": (
        "struct S { match_kind m; }",
        "a field of a struct cannot have type match_kind",
    ),
    "parser param method": (
        "parser P(packet_in b); extern X { X(); void f(P p); }",
        "a parameter of an extern cannot have type P",
    ),
    "int<0>": (
        "control c(inout int<0> x) { apply {} }",
        "the width of int<> must be between 1 and 65536, not 0",
    ),
    "neg width": (
        "const int k = -1; control c(inout bit<(k)> x) { apply {} }",
        "the width of bit<> must be between 0 and 65536, not -1",
    ),
    "ctor param type width": (
        "control c()(bit<8> n) { bit<(n)> x; apply {} }",
        "the width of bit<> must be known before instances are made",
    ),
    "undefined type": (
        "control c(inout foo x) { apply {} }",
        "'foo' is not a declared type",
    ),
    "wrong arg count": (
        "control k(in bit<8> x) { apply {} } control c() { apply { k.apply(); } }",
        "this call takes 1 argument, 0 given",
    ),
    "no such arg": (
        "control k(in bit<8> x) { apply {} } control c() { apply { k.apply(y = 1); } }",
        "this call has no parameter 'y'",
    ),
    "dup instance": (
        "extern X { X(); } X() x; X() x;",
        "'x' is declared twice",
    ),
    "instantiate packet_in": (
        "packet_in() p;",
        "packet_in has no constructor",
    ),
    "goto undefined": (
        "parser p(packet_in b) { state start { transition foo; } }",
        "'foo' is not a state; the states are: start, accept, reject",
    ),
    "value_set mismatch": (
        "parser p(packet_in b, in bit<16> x) { value_set<bit<8>>(4) v; state start { "
        "transition select(x) { v: accept; } } }",
        "the value set holds bit<8>, the key is bit<16>",
    ),
    "value_set size": (
        "parser p(packet_in b, in bit<8> x)(bit<8> q) { value_set<bit<8>>(x) v; state start { "
        "transition select(x) { v: accept; } } }",
        "the size of a value set must be a constant",
    ),
    "value_set type": (
        "header H {bit<8> a;} parser p(packet_in b, in bit<8> x) { value_set<H>(4) v; state "
        "start { transition accept; } }",
        "a value set cannot hold H",
    ),
    "select struct": (
        "struct S { bit<8> a; } parser p(packet_in b, in S s) { state start { transition "
        "select(s) { _: accept; } } }",
        "S cannot be selected on",
    ),
    "select range bool": (
        "parser p(packet_in b, in bool s) { state start { transition select(s) { false .. "
        "true: accept; } } }",
        "a range cannot match a key of type bool",
    ),
    "cast int8 bit16": (
        "control c(inout bit<16> a, inout int<8> b) { apply { a = (bit<16>)b; } }",
        "cannot cast int<8> to bit<16>",
    ),
    "cast int 2 bool": (
        "control c(inout bool a) { apply { a = (bool)2; } }",
        "cannot cast int to bool",
    ),
    "cast bit8 bool": (
        "control c(inout bool a, in bit<8> x) { apply { a = (bool)x; } }",
        "cannot cast bit<8> to bool",
    ),
    "cast enum": (
        "enum E {A} control c(inout bit<8> a, in E x) { apply { a = (bit<8>)x; } }",
        "cannot cast E to bit<8>",
    ),
    "implicit senum": (
        "enum bit<8> E {A=1} control c(inout E a) { apply { a = 1; } }",
        "this assignment: expected E, found int; write a cast: (E)...",
    ),
    "senum arith assign": (
        "enum bit<8> E {A=1} control c(inout E a) { apply { a = E.A + 1; } }",
        "this assignment: expected E, found bit<8>; write a cast: (E)...",
    ),
    "compl": (
        "const int a = ~5;",
        "'~' is not defined for int",
    ),
    "int bitand neg": (
        "const bit<32> a = 32w5 & true;",
        "'&' is not defined for bool",
    ),
    "lvalue fn": (
        "bit<8> f() { return 1; } control c() { apply { f() = 3; } }",
        "the left side of an assignment must be something that can be written to",
    ),
    "shift neg": (
        "control c(inout bit<8> x) { apply { x = x >> -1; } }",
        "a shift amount cannot be negative",
    ),
    "dontcare in": (
        "void f(in bit<8> x) {} control c() { apply { f(_); } }",
        "argument 'x': '_' may stand for out parameters only",
    ),
    "dots middle": (
        "struct T { bit<8> a; bit<8> b; } control c() { apply { T t = { ..., b = 2 }; } }",
        "syntax error: unexpected '=', expected '(', '+', ',', '-', '.', '<', '?', '[",
    ),
    "dots missing": (
        "struct T { bit<8> a; bit<8> b; } control c() { apply { T t = { a = ... }; } }",
        "the initializer of 't': expected T, found { a = ... }; field 'b' is missing",
    ),
    "control generic spec": (
        "extern f;",
        "syntax error: unexpected ';', expected '<', '{', a name or a type name",
    ),
    "unterminated": (
        "control c() { apply {",
        "syntax error: unexpected the end of the file, expected '(', '.', '...', ';',",
    ),
    "type as var": (
        "struct S {} control c() { apply { S = 1; } }",
        "syntax error: unexpected '=', expected '(', '.', '<', '[', a name or a type ",
    ),
    "key as list": (
        "control c(in bit<8> x) { table t { key = { x; } actions = {} } apply {} }",
        "syntax error: unexpected ';', expected ':'",
    ),
    "size runtime": (
        "control c(in bit<8> x) { table t { actions = { NoAction; } size = x; } apply { "
        "t.apply(); } }",
        "the size must be a compile-time constant",
    ),
    "size string": (
        'control c(in bit<8> x) { table t { actions = { NoAction; } size = "a"; } apply { '
        "t.apply(); } }",
        "the size must be a number, not string",
    ),
    "local fwd": (
        "control c() { action a() { b(); } action b() {} apply { a(); } }",
        "'b' is not declared",
    ),
    "table fwd": (
        "control c() { table t { actions = { a; } } action a() {} apply { t.apply(); } }",
        "'a' is not declared",
    ),
    "negative slice": (
        "control c(inout bit<8> x) { apply { x[3:-1] = 1; } }",
        "the slice [3:-1] is empty; write [high:low]",
    ),
    "push neg": (
        "header H { bit<8> a; } control c(inout H[2] h) { apply { h.push_front(-1); } }",
        "push_front cannot take -1",
    ),
    "lookahead void": (
        "parser p(packet_in b) { state start { b.lookahead<void>(); transition accept; } }",
        "lookahead needs a type of fixed size, not void",
    ),
    "lookahead union": (
        "header H {bit<8> a;} header_union U { H h; } parser p(packet_in b) { state start { U "
        "u = b.lookahead<U>(); transition accept; } }",
        "lookahead needs a type of fixed size, not U",
    ),
    "ternary nonbool": (
        "control c(inout bit<8> x) { apply { x = x ? 1 : 2; } }",
        "the condition of ?:: expected bool, found bit<8>",
    ),
    "for nonlist": (
        "control c(inout bit<8> x) { apply { for (bit<8> i in x) {} } }",
        "bit<8> has no elements to visit",
    ),
    "break in switch": (
        "control c(inout bit<8> x) { apply { switch (x) { 1: { break; } } } }",
        "'break' may stand only in a loop",
    ),
    "op assign cmp": (
        "control c(inout bool x) { apply { x == = true; } }",
        "syntax error: unexpected '==', expected '(', '.', ';', '<', '=', '[' or an a",
    ),
    "op assign logical": (
        "control c(inout bool x) { apply { x &&= true; } }",
        "syntax error: unexpected '&&', expected '(', '.', ';', '<', '=', '[' or an a",
    ),
    "op assign concat": (
        "control c(inout bit<8> x) { apply { x ++= 8w1; } }",
        "syntax error: unexpected '++', expected '(', '.', ';', '<', '=', '[' or an a",
    ),
    "annotation dup mix": (
        "@a[1] @a(2) struct S {}",
        "@a[...] may stand once, and not beside @a(...)",
    ),
    "static_assert": (
        "const bool _c = static_assert(1 == 2);",
        "static_assert failed",
    ),
    "param shadow dup": (
        "control c(in bit<8> x, in bit<8> x) { apply {} }",
        "parameter 'x' is declared twice",
    ),
    "type param dup": (
        "struct S<T, T> {}",
        "'T' is declared twice",
    ),
    "package dir": (
        "control C(); package p(in C c);",
        "a parameter of type C cannot have a direction",
    ),
    "ctor dir": (
        "control c()(in bit<8> x) { apply {} }",
        "a constructor parameter has no direction",
    ),
    "method dup": (
        "extern X { void f(in bit<8> a); void f(in bit<16> a); }",
        "method 'f' is declared twice",
    ),
    "ambiguous": (
        "extern void f(in bit<8> a); extern void f(in bit<16> b); control c() { apply { f(1); } }",
        "function 'f' is ambiguous: several overloads take these arguments",
    ),
    "const assign": (
        "const bit<8> k = 1; control c() { apply { k = 2; } }",
        "the left side of an assignment must be something that can be written to",
    ),
    "in assign": (
        "control c(in bit<8> k) { apply { k = 2; } }",
        "the left side of an assignment must be something that can be written to",
    ),
    "in passed inout": (
        "void f(inout bit<8> k) {} control c(in bit<8> k) { apply { f(k); } }",
        "argument 'k' is inout: it must be something that can be written to",
    ),
    "uncalled": (
        "control c(in bit<8> k) { apply { k + 1; } }",
        "syntax error: unexpected '+', expected '(', '.', ';', '<', '=', '[' or an as",
    ),
    "const header stack idx": (
        "header H { bit<8> a; } control c(inout H[2] h) { apply { h[2].a = 1; } }",
        "index 2 is out of range; the size is 2",
    ),
    "nested stack": (
        "header H { bit<8> a; } typedef H[2] H2; struct S { H2[3] x; }",
        "a stack must be of headers or header unions, not of H[2]",
    ),
    "union nonheader": (
        "header_union U { bit<8> a; }",
        "a field of a header union cannot have type bit<8>",
    ),
    "union method": (
        "header H { bit<8> a; } header_union U { H h; } control c(inout U u) { apply { "
        "u.setInvalid(); } }",
        "U has no member 'setInvalid'; its fields are: h",
    ),
    "hdr dup field": (
        "header H { bit<8> a; bit<8> a; }",
        "field 'a' is declared twice",
    ),
    "controls rec": (
        "control c() { c() d; apply { d.apply(); } }",
        "'c' is not declared",
    ),
    "func local": (
        "control c() { bit<8> f() { return 1; } apply {} }",
        "syntax error: unexpected '(', expected ';' or '='",
    ),
    "action in parser": (
        "action a() {} parser p(packet_in b) { state start { a(); transition accept; } }",
        "an action cannot be called in a parser",
    ),
    "error dup": (
        "error { PacketTooShort }",
        "error 'PacketTooShort' is declared twice",
    ),
    "extern abstract overload": (
        "extern X { X(); abstract void f(); abstract void f(in bit<8> a); }",
        "method 'f' is declared twice",
    ),
    "bitand negative": (
        "const int a = 5 & -3;",
        "'&' is not defined for negative int values",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str) -> None:
    source, message = PROGRAMS[name]
    with pytest.raises(CompileError) as caught:
        check_all("#include <core.p4>\n" + source, "test.p4", diagnostics=Diagnostics())
    assert message in str(caught.value)
