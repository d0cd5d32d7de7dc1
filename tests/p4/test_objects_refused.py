"""Where objects may not go, and what type arguments may not make.

The tables of appendix F of the specification, row by row; the order of properties and priorities.
"""

from __future__ import annotations

import pytest

from weft.p4.compiler import CompileError, Diagnostics, check_all

TYPES = (
    "package K(); parser P(); control C(); extern X { X(); } extern Y { Y(); abstract void f(); } "
    "parser p() { state start { transition accept; } } control c() { apply {} } action a() {} "
)

# (a declaration after TYPES, part of the message)
OBJECTS = [
    ("parser q()(K k) { state start { transition accept; } }",
     "a parameter of a constructor of a parser cannot have type K"),
    ("parser q()(C k) { state start { transition accept; } }",
     "a parameter of a constructor of a parser cannot have type C"),
    ("control q()(K k) { apply {} }",
     "a parameter of a constructor of a control cannot have type K"),
    ("control q()(P k) { apply {} }",
     "a parameter of a constructor of a control cannot have type P"),
    ("extern E { E(K k); }", "a parameter of a constructor of an extern cannot have type K"),
    ("extern E { E(P k); }", "a parameter of a constructor of an extern cannot have type P"),
    ("extern E { E(C k); }", "a parameter of a constructor of an extern cannot have type C"),
    ("parser q(C k);", "a parameter of a parser cannot have type C"),
    ("control q(P k);", "a parameter of a control cannot have type P"),
    ("control q(K k);", "a parameter of a control cannot have type K"),
    ("extern E { void m(C k); }", "a parameter of an extern cannot have type C"),
    ("extern void m(P k);", "a parameter of an extern cannot have type P"),
    ("control q() { action b(X x) {} apply {} }", "a parameter of an action cannot have type X"),
    ("void m(X x) {}", "a parameter of a function cannot have type X"),
    ("void m(C x) {}", "a parameter of a function cannot have type C"),
    ("extern E { C m(); }", "'m' cannot return C"),
    ("extern K m();", "'m' cannot return K"),
    ("X m() { return m(); }", "'m' cannot return X"),
    ("control q()(c k) { apply {} }", "'c' is a control, not a control type"),
    ("package q(p k);", "'p' is a parser, not a parser type"),
    ("package q(tuple<K, K> k);", "a tuple cannot hold K"),
    ("void m(tuple<X> x) {}", "a tuple cannot hold X"),
    ("extern E { E(tuple<string> x); }", "a tuple cannot hold string"),
    ("void m<T>(T t) {} control q() { c() k; apply { m(k); } }",
     "with these type arguments, 'c' is a control"),
    ("extern R<T> { R(); void w(in T v); } R<R<bit<8>>>() r;",
     "a parameter of type R<bit<8>> cannot have a direction ('v' of w)"),
    ("package Q(Y y); Q(Y()) main;", "abstract method 'f' of Y is not implemented"),
    ("control q()(@optional bit<8> k) { apply {} }", "parameter 'k' cannot be @optional here"),
    ("struct M {} control none<H>(inout H h) { apply {} } control G<H>(inout H h); "
     "package Q<H>(G<H> g = none<H>()); Q() main;", "cannot infer type argument 'H'"),
    ("control q() { table t { actions = { a; } } apply { "
     "if (t.apply().action_run == t.apply().action_run) {} } }", "'==' is not defined for"),
    ("enum bit<8> E { A = 1 } type E N;", "'type' cannot be made of E"),
]  # fmt: skip


@pytest.mark.parametrize("source, message", OBJECTS, ids=[s for s, _ in OBJECTS])
def test_object(source: str, message: str) -> None:
    with pytest.raises(CompileError) as caught:
        check_all("#include <core.p4>\n" + TYPES + source, "t.p4", diagnostics=Diagnostics())
    assert message in str(caught.value)


STATEMENTS = [
    ("control q(inout bit<8> x) { apply { bit<8> x = x; } }",
     "variable 'x' would hide the parameter of this name"),
    ("control q(inout bit<8> x) { action b() { bit<8> x = x; } apply {} }",
     "variable 'x' would hide the parameter of this name"),
    ("void m(in bit<8> x) { { bit<8> x = 1; } }",
     "variable 'x' would hide the parameter of this name"),
    ("parser q() { state start { transition one; } state one { transition two; } "
     "state two { transition select(8w1) { 1: one; default: two; } } }",
     "parser 'q' never ends"),
    ("header H { varbit<8> v; } parser q(packet_in b, out H h) { state start { b.extract(h, 8); "
     "transition select(h.v) { h.v: accept; default: reject; } } }",
     "varbit<8> cannot be selected on"),
    ("struct S { bit<8> a; } S m(in bit<8> x) { return (S)(S){ x }; }",
     "S is cast from lists of values only"),
    ("extern E { E(); int m(); }", "'m' cannot return int"),
    ("bit<8> m(int x) { return x + 8w1; } control q(inout bit<8> x) { apply { x = m(x); } }",
     "argument 'x': expected int, found bit<8>"),
    ("control q(inout bit<8> x, in int<8> y) { apply { x = x << y; } }",
     "a shift amount of type int<8> must be a constant"),
    ("control q(inout bit<8> x) { apply { x = x << 8s255; } }",
     "a shift amount cannot be negative"),
    ("extern E { E(); void E(); }", "'E' is the name of constructors"),
]  # fmt: skip


@pytest.mark.parametrize("source, message", STATEMENTS, ids=[s for s, _ in STATEMENTS])
def test_statement(source: str, message: str) -> None:
    test_object(source, message)


def test_a_table_needs_a_default_action() -> None:
    """Without core.p4 there is no NoAction, which a table that names none would have."""
    table = "control c() { table t { actions = { a; } } apply { t.apply(); } }"
    for before in ("action a() {} ", "action a() {} action NoAction(bit<8> x) {} "):
        with pytest.raises(CompileError, match="there is no action NoAction"):
            check_all(before + table, "t.p4", diagnostics=Diagnostics())
    check_all("action a() {} action NoAction() {} " + table, "t.p4", diagnostics=Diagnostics())


TABLES = [
    ("default_action = a; key = { x: exact; } actions = { a; }",
     "'default_action' must come after 'actions'"),
    ("const entries = { 1: a(); } key = { x: exact; } actions = { a; }",
     "'entries' must come after 'key'"),
    ("key = { x: exact; } const entries = { 1: a(); } actions = { a; }",
     "'entries' must come after 'actions'"),
    ("key = { x: exact; } actions = { a; } entries = { priority = 1: 1: a(); 2: a(); }",
     "entries matched by exact and lpm keys have no priority"),
    ("key = { x: lpm; } actions = { a; } entries = { priority = 1: 1: a(); 2: a(); }",
     "entries matched by exact and lpm keys have no priority"),
    ("key = { x: ternary; } actions = { a; } priority_delta = 10; "
     "entries = { priority = 12: 1: a(); 2: a(); 3: a(); }",
     "the priority of this entry would be -8"),
]  # fmt: skip


@pytest.mark.parametrize("properties, message", TABLES)
def test_table(properties: str, message: str) -> None:
    source = f"""#include <core.p4>
control c(in bit<8> x) {{ action a() {{}} table t {{ {properties} }} apply {{ t.apply(); }} }}"""
    with pytest.raises(CompileError) as caught:
        check_all(source, "t.p4", diagnostics=Diagnostics())
    assert message in str(caught.value)


def test_what_may_be_said_the_other_way_round() -> None:
    """Priorities that rise, keys in any place before the entries, packages in packages."""
    source = """#include <core.p4>
control c(in bit<8> x) { action a() {}
    table t { actions = { a; } key = { x: ternary; } largest_priority_wins = false;
              entries = { priority = 0: 1: a(); 2: a(); 3: a(); } default_action = a; }
    apply { t.apply(); } }
control G<H>(in H h); package Inner<H>(G<H> g); package Outer<H>(Inner<H> i);
Inner(c()) inner; Outer(inner) main;"""
    check_all(source, "t.p4", diagnostics=Diagnostics())
