# ruff: noqa: E501 - tables of P4 source
"""Invalid programs: each must end in a diagnostic that names the thing, with its line and column."""

from __future__ import annotations

import re

import pytest
from p4_programs import v1model

from weft.p4.compiler import CompileError, check_text, compile_text

# name: (ingress statements, part of the message)
INGRESS = {
    # ----------------------------------------------------------------------------- names
    "undeclared": ("m.x = nothing;", "'nothing' is not declared"),
    "misspelt": ("bit<8> amount = 1; m.x = amuont;", "did you mean 'amount'?"),
    "no field": ("m.nope = 1;", "meta_t has no member 'nope'"),
    "declared twice": ("bit<8> a; bit<16> a;", "'a' is declared twice"),
    "type as value": ("m.x = meta_t;", "syntax error"),
    "out of scope": ("{ bit<8> a = 1; } m.x = a;", "'a' is not declared"),
    "used before": ("m.x = a; bit<8> a = 1;", "'a' is not declared"),
    "enum member": ("m.colour = Colour.Pink;", "enum Colour has no member 'Pink'"),
    "error member": ("m.flag = s.parser_error == error.Nope;", "'Nope' is not a declared error"),
    "function as value": ("m.x = mark_to_drop;", "a function cannot be used as a value"),
    # ----------------------------------------------------------------------------- types
    "width": ("m.x = m.y;", "expected bit<8>, found bit<16>"),
    "signedness": ("m.x = m.s;", "expected bit<8>, found int<8>"),
    "bool to bit": ("m.x = m.flag;", "expected bit<8>, found bool"),
    "bit to bool": ("m.flag = m.x;", "expected bool, found bit<8>"),
    "condition": ("if (m.x) { }", "expected bool, found bit<8>"),
    "number condition": ("if (1) { }", "expected bool, found int"),
    "int variable": ("int v = 3;", "a variable cannot have type int"),
    "string variable": ('string v = "a";', "a variable cannot have type string"),
    "void variable": ("void v;", "syntax error"),
    "extern variable": ("packet_in v;", "a variable cannot have type packet_in"),
    "bad width": ("bit<(2 - 5)> v;", "must be between 0 and"),
    "huge width": ("bit<100000000> v;", "must be between 0 and"),
    "signed zero": ("int<0> v;", "must be between 1 and"),
    "width not constant": ("bit<(m.x)> v;", "must be a compile-time constant"),
    "stack of bits": ("bit<8>[3] v;", "syntax error"),
    "stack of structs": ("meta_t[3] v;", "a stack must be of headers"),
    "stack size": ("small_t[0] v;", "must be between 1 and"),
    "enum from int": ("m.kind = 1;", "expected Kind, found int"),
    "plain enum to bits": ("m.x = m.colour;", "expected bit<8>, found Colour"),
    "enum to other width": ("m.y = m.kind;", "expected bit<16>, found Kind"),
    "int to enum cast": ("m.colour = (Colour)1;", "cannot cast int to Colour"),
    "struct cast": ("m.x = (bit<8>)h.small;", "cannot cast small_t to bit<8>"),
    "cast both ways": ("m.y = (bit<16>)m.s;", "cannot cast int<8> to bit<16>"),
    "bool to wide cast": ("m.x = (bit<8>)m.flag;", "cannot cast bool to bit<8>"),
    "runtime int": ("const int k = (int)m.x;", "only compile-time constants can be cast to int"),
    "generic without arguments": ("Pair p;", "type argument"),
    # ------------------------------------------------------------------------- operators
    "compare dots": ("m.flag = h.small == { a = 1, ... };", "'...' cannot stand in a comparison"),
    "divide by variable": ("m.x = m.x / h.small.a;", "the right side of '/' must be a constant"),
    "divide by negative": ("m.x = m.x / -1;", "'/' is not defined for negative numbers"),
    "don't care type": ("_ v;", "syntax error"),
    "don't care argument": ("tuple<_> v;", "'_' cannot stand for a type here"),
    "add widths": ("m.x = m.x + m.y;", "needs operands of one type, found bit<8> and bit<16>"),
    "add bool": ("m.flag = m.flag + m.flag;", "'+' is not defined for bool"),
    "not bits": ("m.flag = !m.x;", "'!' is not defined for bit<8>"),
    "complement bool": ("m.flag = ~m.flag;", "'~' is not defined for bool"),
    "complement int": ("m.x = ~1;", "'~' is not defined for int"),
    "logical bits": ("m.flag = m.x && m.flag;", "'&&' is not defined for bit<8>"),
    "compare structs": ("m.flag = m < m;", "'<' is not defined for meta_t"),
    "compare different": ("m.flag = h.small == h.ethernet;", "needs operands of one type"),
    "shift by signed": ("m.x = m.x << m.s;", "a shift amount of type int<8> must be a constant"),
    "shift by negative": ("m.x = m.x << -1;", "a shift amount cannot be negative"),
    "shift int": ("m.x = (bit<8>)(1 << m.x);", "can be shifted by constants only"),
    "concat int": ("m.y = m.x ++ 1;", "give this number a width"),
    "concat bool": ("m.y = m.x ++ m.flag;", "'++' is not defined for bool"),
    "divide by zero": ("m.x = m.x / 0;", "division by zero"),
    "modulo signed": ("m.s = m.s % 3;", "'%' is not defined for signed"),
    "constant division by zero": ("const bit<8> k = 3 / (1 - 1);", "division by zero"),
    "negative division": ("const int k = -3 / 2;", "not defined for negative"),
    "ternary branches": ("m.x = m.flag ? m.x : m.y;", "branches of ?: have different types"),
    "ternary ints": ("m.x = m.flag ? 1 : 2;", "give one branch of ?: a width"),
    "saturating int": ("m.x = 1 |+| 2;", "'|+|' is not defined for int"),
    "compound width": ("m.x += m.y;", "needs operands of one type"),
    "compound bool": ("m.flag += 1;", "'+' is not defined for bool"),
    "huge shift": ("const int k = 1 << 100000000;", "shift by more than"),
    # --------------------------------------------------------------- members and indices
    "slice backwards": ("m.x = (bit<8>)m.x[0:3];", "is empty"),
    "slice beyond": ("m.x = (bit<8>)m.x[8:1];", "goes beyond"),
    "slice bool": ("m.x = (bit<8>)m.flag[0:0];", "bool cannot be sliced"),
    "slice bounds": ("m.x = (bit<8>)m.x[m.y:0];", "must be a compile-time constant"),
    "index out of range": ("h.stack[4].a = 1;", "index 4 is out of range; the size is 4"),
    "negative index": ("h.stack[-1].a = 1;", "out of range"),
    "index struct": ("m.x = m[0];", "meta_t cannot be indexed"),
    "index by bool": ("h.stack[m.flag].a = 1;", "an index must be a number"),
    "tuple index": ("tuple<bit<8>> t = { 1 }; m.x = t[1];", "index 1 is out of range"),
    "tuple run-time index": ("tuple<bit<8>> t = { 1 }; m.x = t[m.x];", "must be a constant"),
    "next in control": ("m.x = h.stack.next.a;", "in parsers only"),
    "last in control": ("m.x = h.stack.last.a;", "in parsers only"),
    "valid struct": ("m.flag = m.isValid();", "meta_t has no member 'isValid'"),
    "valid union": ("h.either.setValid();", "has no member 'setValid'"),
    "push bits": ("m.x.push_front(1);", "has no member 'push_front'"),
    "push variable": ("h.stack.push_front(m.x);", "must be a compile-time constant"),
    # ------------------------------------------------------------------------ assignment
    "assign constant": ("const bit<8> k = 1; k = 2;", "can be written to"),
    "assign literal": ("1 = m.x;", "can be written to"),
    "assign call": ("h.small.minSizeInBits() = 3;", "can be written to"),
    "assign size": ("h.stack.size = 3;", "can be written to"),
    "literal too long": ("h.small = { 1, 2, 3, 4 };", "has 3 fields, 4 given"),
    "literal too short": ("h.small = { 1, 2 };", "has 3 fields, 2 given"),
    "literal type": ("h.small = { 1, true, 3 };", "'b' is bit<8>, given bool"),
    "record name": ("h.small = { a = 1, b = 2, d = 3 };", "has no field 'd'"),
    "record missing": ("h.small = { a = 1, b = 2 };", "field 'c' is missing"),
    "record twice": ("h.small = { a = 1, a = 2, c = 3 };", "given twice"),
    "dots first": ("h.small = { ..., 1 };", "must be the last element"),
    "invalid to struct": ("m = {#};", "expected meta_t, found {#}"),
    "union literal": ("h.either = { h.small, h.ethernet };", "expected either_t"),
    # ------------------------------------------------------------------------ statements
    "value alone": ("m.x;", "an expression alone is not a statement"),
    "missing semicolon": ("m.x = 1 m.y = 2;", "syntax error: unexpected 'm'"),
    "break outside": ("break;", "'break' may stand only in a loop"),
    "continue outside": ("continue;", "'continue' may stand only in a loop"),
    "return value": ("return 3;", "no value can be returned"),
    "switch bool": ("switch (m.flag) { true: {} }", "a switch cannot be on bool"),
    "switch label type": ("switch (m.x) { true: {} }", "expected bit<8>, found bool"),
    "switch label twice": ("switch (m.x) { 1: {} 1: {} }", "this label occurs twice"),
    "switch run-time label": ("switch (m.x) { m.x: {} }", "must be a compile-time constant"),
    "switch default first": ("switch (m.x) { default: {} 1: {} }", "must be the last label"),
    "for condition": ("for (bit<8> i = 0; i; i = i + 1) {}", "expected bool"),
    "for elements": ("for (bit<8> e in h.stack) {}", "the elements are small_t"),
    "for nothing": ("for (bit<8> e in m) {}", "meta_t has no elements"),
    "for struct range": ("for (meta_t e in 1 .. 2) {}", "cannot count"),
    "verify in control": ("verify(m.flag, error.NoMatch);", "verify cannot be called in a control"),
    "failed assertion": ('static_assert(1 == 2, "sums");', "static_assert failed: sums"),
    "run-time assertion": ("static_assert(m.flag);", "must be a constant"),
    # ----------------------------------------------------------------------------- calls
    "too many": ("mark_to_drop(s, s);", "has no overload that takes these arguments"),
    "argument count": ("truncate();", "takes 1 argument, 0 given"),
    "argument type": ("truncate(m.flag);", "argument 'length': expected bit<32>, found bool"),
    "argument name": ("truncate(size = 3);", "has no parameter 'length'|has no parameter 'size'"),
    "mixed names": ("random(m.x, lo = 0, hi = 3);", "either all arguments are named or none"),
    "name twice": ("random(result = m.x, lo = 0, lo = 3);", "is given twice"),
    "out constant": ("random(3, 0, 7);", "can be written to"),
    "infer": ("random(_, 1, 2);", "cannot infer"),
    "inconsistent types": ("random(m.x, m.y, m.z);", "expected bit<8>, found bit<16>"),
    "not constant": ("resubmit_preserving_field_list(m.x);", "must be a compile-time constant"),
    "call variable": ("m.x();", "cannot be called"),
    "call undeclared": ("nothing();", "'nothing' is not declared"),
    "type arguments": ("truncate<bit<8>>(3);", "takes 0 type argument"),
    "don't care for in": ("truncate(_);", "'_' may stand for out parameters only"),
    "void as value": ("m.x = truncate(3);", "expected bit<8>, found void"),
    "extract in control": ("h.ethernet.extract();", "has no member 'extract'"),
    "unknown method": ("h.small.validate();", "has no member 'validate'"),
    # --------------------------------------------------------------------------- lexical
    "bad character": ("m.x = 1 $ 2;", "unexpected character"),
    "bad number": ("m.x = 12abc;", "malformed number"),
    "open string": ('log_msg("abc);', "string without its end"),
    "unclosed": ("if (m.flag) {", "syntax error: unexpected"),
}  # fmt: skip


@pytest.mark.parametrize("name", INGRESS)
def test_statements(name: str) -> None:
    statements, message = INGRESS[name]
    types = "struct Pair<T> { T a; }"
    refuse(v1model(types=types, ingress="\n" + statements), message, statements)


PROGRAMS = {
    # ---------------------------------------------------------------------- declarations
    "field twice": (v1model(types="struct A { bit<8> a; bit<8> a; }"), "field 'a' is declared twice"),
    "type twice": (v1model(types="struct A { } struct A { }"), "'A' is declared twice"),
    "recursive type": (v1model(types="struct A { A a; }"), "'A' is not declared"),
    "header in header": (v1model(types="header A { small_t s; }"), "a field of a header cannot have type small_t"),
    "enum in header": (v1model(types="header A { Colour c; }"), "cannot have type Colour"),
    "error in header": (v1model(types="header A { error e; }"), "cannot have type error"),
    "struct in union": (v1model(types="header_union A { meta_t s; }"), "header union cannot have type meta_t"),
    "int field": (v1model(types="struct A { int i; }"), "cannot have type int"),
    "extern field": (v1model(types="struct A { packet_in p; }"), "cannot have type packet_in"),
    "enum member twice": (v1model(types="enum A { X, X }"), "member 'X' is declared twice"),
    "enum of struct": (v1model(types="enum meta_t A { X = 1 }"), "an enum must be of bit<W> or int<W>"),
    "enum value too large": (v1model(types="enum bit<4> A { X = 16 }"), "does not fit bit<4>"),
    "enum of newtype": (v1model(types="type bit<8> N; enum N A { X = 1 }"), "an enum must be of bit<W> or int<W>"),
    "hidden type parameter": (v1model(types="extern X<D> { void f<D>(in D d); }"), "'D' hides that of 'X'"),
    "enum value": (v1model(types="enum bit<8> A { X = true }"), "expected bit<8>, found bool"),
    "error twice": (v1model(types="error { NoMatch }"), "error 'NoMatch' is declared twice"),
    "match kind twice": (v1model(types="match_kind { exact }"), "match_kind 'exact' is declared twice"),
    "newtype mixing": (
        v1model(types="type bit<8> A; type bit<8> B;", ingress="A a = (A)8w1; B b = (B)8w2; m.flag = a == b;"),
        "needs operands of one type, found A and B",
    ),
    "newtype arithmetic": (
        v1model(types="type bit<8> A;", ingress="A a = (A)8w1; a = a + a;"),
        "'+' is not defined for A; cast it to bit<8> first",
    ),
    "newtype of struct": (v1model(types="type meta_t A;"), "'type' cannot be made of meta_t"),
    "constant from variable": (v1model(ingress="const bit<8> k = m.x;"), "is not a compile-time constant"),
    "header of struct argument": (
        v1model(types="header Box<T> { T v; } struct B { Box<error> b; }"),
        "field 'v' of header Box<error> cannot have type error",
    ),
    "stack of argument": (
        v1model(types="struct Some<T> { T[3] v; } struct B { Some<bit<8>> b; }"),
        "a stack must be of headers",
    ),
    "stack after inference": (
        v1model(types="struct Some<T> { T[3] v; } extern Some<T> make<T>(in T x);", ingress="make(m.x);"),
        "with these type arguments, a stack must be of headers",
    ),
    "annotation keys": (v1model(types="@a[x = 1, x = 2] struct A { }"), "key 'x' occurs twice in @a"),
    "annotation values": (v1model(types="@a[nothing] struct A { }"), "'nothing' is not declared"),
    "annotation name": (v1model(ingress_locals="@name(3) action a() { }"), "@name takes one string"),
    "two varbits": (
        v1model(types="header A { varbit<8> a; varbit<8> b; }", states="state start { A a; p.extract(a, 8); transition accept; }"),
        "it has 2 varbit fields",
    ),
    "optional default": (v1model(types="extern void f(@optional in bit<8> a = 3);"), "@optional parameter cannot have a default"),
    "control-plane names of instances": (
        v1model(
            types='control K() { @name(".t") table t { actions = { NoAction; } } apply { t.apply(); } }',
            ingress_locals="K() a; K() b;",
            ingress="a.apply(); b.apply();",
        ),
        "two tables have the control-plane name 't'",
    ),
    "control-plane names": (
        v1model(ingress_locals='@name("x") action a() { } @name("x") action b() { } table t { actions = { a; b; } }'),
        "two actions have the control-plane name 'I.x'",
    ),
    "type argument count": (v1model(types="struct A<T> { T t; } struct B { A<bit<8>, bit<8>> a; }"), "takes 1 type argument"),
    "arguments for plain type": (v1model(types="struct A { } struct B { A<bit<8>> a; }"), "is not generic"),
    # ------------------------------------------------------------------------- functions
    "no return": (v1model(types="bit<8> f(in bit<8> a) { if (a > 1) { return 1; } }"), "does not return a value on every path"),
    "empty return": (v1model(types="bit<8> f() { return; }"), "must return a value of type bit<8>"),
    "wrong return": (v1model(types="bit<8> f() { return true; }"), "expected bit<8>, found bool"),
    "write in": (v1model(types="void f(in bit<8> a) { a = 1; }"), "can be written to"),
    "recursion": (v1model(types="bit<8> f(in bit<8> a) { return f(a); }"), "'f' is not declared"),
    "same overload": (v1model(types="void f(in bit<8> a) { } void f(in bool a) { }"), "'f' is declared twice"),
    "exit in function": (v1model(types="void f() { exit; }"), "'exit' may not stand in a function"),
    "apply in function": (
        v1model(ingress_locals="table t { actions = { NoAction; } } action a() { t.apply(); }"),
        "cannot be called in an action",
    ),
    "parameter twice": (v1model(types="void f(in bit<8> a, in bit<8> a) { }"), "parameter 'a' is declared twice"),
    "directed extern": (v1model(types="extern void f(in packet_in p);"), "cannot have a direction"),
    "out default": (v1model(types="extern void f(out bit<8> a = 3);"), "cannot have a default"),
    # --------------------------------------------------------------------------- parsers
    "no start": (v1model(states="state begin { transition accept; }"), "has no state 'start'"),
    "unknown state": (v1model(states="state start { transition nowhere; }"), "'nowhere' is not a state"),
    "state twice": (v1model(states="state start { transition accept; } state start { transition accept; }"), "state 'start' is declared twice"),
    "own accept": (v1model(states="state start { transition accept; } state accept { transition reject; }"), "exists in every parser already"),
    "select type": (v1model(states="state start { transition select(m.x) { true: accept; } }"), "expected bit<8>, found bool"),
    "select arity": (v1model(states="state start { transition select(m.x, m.y) { 1: accept; } }"), "2 keys to match, the key set has 1"),
    "select tuple arity": (v1model(states="state start { transition select(m.x) { (1, 2): accept; } }"), "1 keys to match, the key set has 2"),
    "select struct": (v1model(states="state start { transition select(m) { _: accept; } }"), "meta_t cannot be selected on"),
    "mask of bool": (v1model(states="state start { transition select(m.flag) { true &&& true: accept; } }"), "a mask cannot match a key of type bool"),
    "table in parser": (v1model(parser_locals="table t { actions = { NoAction; } }"), "syntax error"),
    "return in parser": (v1model(states="state start { return; transition accept; }"), "'return' may not stand in a parser"),
    "exit in parser": (v1model(states="state start { exit; transition accept; }"), "'exit' may not stand in a parser"),
    "loop in parser": (v1model(states="state start { for (bit<8> i in 1 .. 2) { } transition accept; }"), "'for' may not stand in a parser"),
    "extract struct": (v1model(states="state start { p.extract(m); transition accept; }"), "extract needs a header"),
    "extract varbit": (v1model(states="state start { p.extract(h.option); transition accept; }"), "two-argument form of extract"),
    "extract size": (v1model(states="state start { p.extract(h.small, 3); transition accept; }"), "one-argument form of extract"),
    "lookahead varbit": (v1model(states="state start { option_t o = p.lookahead<option_t>(); transition accept; }"), "fixed size"),
    "lookahead nothing": (v1model(states="state start { p.lookahead(); transition accept; }"), "cannot infer type argument 'T'"),
    "value set type": (
        v1model(parser_locals="value_set<bit<8>>(4) vs;", states="state start { transition select(m.y) { vs: accept; _: reject; } }"),
        "the value set holds bit<8>, the key is bit<16>",
    ),
    "control in parser": (
        v1model(types="control K(inout bit<8> x) { apply { } }", states="state start { K.apply(m.x); transition accept; }"),
        "a control's apply cannot be called in a parser",
    ),
    # ---------------------------------------------------------------------------- tables
    "no actions": (v1model(ingress_locals="table t { key = { m.x: exact; } }"), "table 't' has no actions"),
    "unknown action": (v1model(ingress_locals="table t { actions = { nope; } }"), "'nope' is not declared"),
    "not an action": (v1model(ingress_locals="bit<8> v; table t { actions = { v; } }"), "'v' is not an action"),
    "action twice": (v1model(ingress_locals="table t { actions = { NoAction; NoAction; } }"), "is listed twice"),
    "unknown kind": (v1model(ingress_locals="table t { key = { m.x: fuzzy; } actions = { NoAction; } }"), "'fuzzy' is not a declared match_kind"),
    "struct key": (v1model(ingress_locals="table t { key = { m: exact; } actions = { NoAction; } }"), "a key cannot have type meta_t"),
    "nameless key": (v1model(ingress_locals="table t { key = { m.x + 1: exact; } actions = { NoAction; } }"), "needs a name for the control plane"),
    "bool lpm": (v1model(ingress_locals="table t { key = { m.flag: lpm; } actions = { NoAction; } }"), "bool cannot be matched by lpm"),
    "int key": (v1model(ingress_locals="table t { key = { 3: exact; } actions = { NoAction; } }"), "give this key a width"),
    "default not listed": (
        v1model(ingress_locals="action a() { } table t { actions = { NoAction; } default_action = a; }"),
        "'a' is not in the list of actions",
    ),
    "default arguments": (
        v1model(ingress_locals="action a(bit<8> v) { } table t { actions = { a; } default_action = a; }"),
        "takes 1 argument, 0 given",
    ),
    "default without bound arguments": (
        v1model(ingress_locals="action a(in bit<8> k, bit<8> v) { } table t { actions = { a(m.x); } default_action = a(3); }"),
        "takes 2 arguments, 1 given",
    ),
    "default bound differently": (
        v1model(ingress_locals="action a(in bit<8> k, bit<8> v) { } table t { actions = { a(m.x); } default_action = a(h.small.a, 3); }"),
        "differs from the list of actions, which binds m.x",
    ),
    "default run-time": (
        v1model(ingress_locals="action a(bit<8> v) { } table t { actions = { a; } default_action = a(m.x); }"),
        "must be a compile-time constant",
    ),
    "table only": (
        v1model(ingress_locals="table t { actions = { @tableonly NoAction; } default_action = NoAction; }"),
        "is @tableonly",
    ),
    "unbound direction": (
        v1model(ingress_locals="action a(in bit<8> v) { } table t { actions = { a; } }"),
        "takes 1 argument, 0 given",
    ),
    "bound data": (
        v1model(ingress_locals="action a(bit<8> v) { } table t { actions = { a(3); } }"),
        "takes no arguments, 1 given",
    ),
    "property twice": (v1model(ingress_locals="table t { actions = { NoAction; } size = 1; size = 2; }"), "duplicate property 'size'"),
    "size type": (v1model(ingress_locals="table t { actions = { NoAction; } size = true; }"), "the size must be a number"),
    "entry type": (
        v1model(ingress_locals="table t { key = { m.x: exact; } actions = { NoAction; } const entries = { true: NoAction; } }"),
        "expected bit<8>, found bool",
    ),
    "entry arity": (
        v1model(ingress_locals="table t { key = { m.x: exact; m.y: exact; } actions = { NoAction; } const entries = { (1, 2, 3): NoAction; } }"),
        "2 keys to match, the key set has 3",
    ),
    "entry mask": (
        v1model(ingress_locals="table t { key = { m.x: exact; } actions = { NoAction; } const entries = { 1 &&& 3: NoAction; } }"),
        "a mask cannot stand for a key matched by exact",
    ),
    "entry range": (
        v1model(ingress_locals="table t { key = { m.x: ternary; } actions = { NoAction; } const entries = { 1 .. 3: NoAction; } }"),
        "a range cannot stand for a key matched by ternary",
    ),
    "entry prefix": (
        v1model(ingress_locals="table t { key = { m.x: lpm; } actions = { NoAction; } const entries = { 1 &&& 5: NoAction; } }"),
        "must be a prefix",
    ),
    "entry run-time": (
        v1model(ingress_locals="table t { key = { m.x: exact; } actions = { NoAction; } const entries = { m.x: NoAction; } }"),
        "must be a compile-time constant",
    ),
    "entry action": (
        v1model(ingress_locals="action a() { } table t { key = { m.x: exact; } actions = { NoAction; } const entries = { 1: a; } }"),
        "'a' is not in the list of actions",
    ),
    "entries without key": (
        v1model(ingress_locals="table t { actions = { NoAction; } const entries = { 1: NoAction; } }"),
        "has no key, so no entries",
    ),
    "switch label": (
        v1model(
            ingress_locals="action a() { } table t { actions = { NoAction; } }",
            ingress="switch (t.apply().action_run) { a: { } }",
        ),
        "'a' is not an action of table t",
    ),
    "table as value": (
        v1model(ingress_locals="table t { actions = { NoAction; } }", ingress="m.flag = t.apply();"),
        "expected bool, found apply_result(t)",
    ),
    "action order": (v1model(ingress_locals="action a(bit<8> v, in bit<8> w) { }"), "must come after those with one"),
    "write action data": (v1model(ingress_locals="action a(bit<8> v) { v = 3; }"), "can be written to"),
    "action overload": (v1model(ingress_locals="action a() { } action a(bit<8> v) { }"), "'a' is declared twice"),
    # ----------------------------------------------------------------- controls, packages
    "write to directionless": (v1model(types="control K(bit<8> x) { apply { x = 1; } }"), "can be written to"),
    "no apply": (v1model(types="control K(in bit<8> x) { }"), "syntax error"),
    "parameter named as type parameter": (v1model(types="control K<x>(in bit<8> x) { apply { } }"), "'x' is declared twice"),
    "generic control without argument": (v1model(types="control K<T>(in T x) { apply { } }", ingress_locals="K() k;"), "cannot infer type argument 'T'"),
    "list key arity": (v1model(states="state start { transition select({m.x, m.y}) { {1, 2, 3}: accept; } }"), "the key has 2 items, not 3"),
    "constructor arguments": (
        v1model(types="control K(in bit<8> x)(bit<8> n) { apply { } }", ingress_locals="K() k;"),
        "takes 1 argument, 0 given",
    ),
    "constructor run-time": (
        v1model(types="control K(in bit<8> x)(bit<8> n) { apply { } }", ingress_locals="bit<8> v = 1; K(v) k;"),
        "must be a compile-time constant",
    ),
    "direct with parameters": (
        v1model(types="control K(in bit<8> x)(bit<8> n) { apply { } }", ingress="K.apply(m.x);"),
        "has constructor parameters",
    ),
    "type without body": (v1model(types="control K(in bit<8> x);", ingress_locals="K() k;"), "has no instances"),
    "apply arguments": (
        v1model(types="control K(in bit<8> x) { apply { } }", ingress_locals="K() k;", ingress="k.apply();"),
        "takes 1 argument, 0 given",
    ),
    "inout constant": (
        v1model(types="control K(inout bit<8> x) { apply { } }", ingress_locals="K() k;", ingress="k.apply(3);"),
        "can be written to",
    ),
    "wrong block": (
        v1model().replace("V1Switch(P(), V(), I()", "V1Switch(P(), V(), V()"),
        "argument 'ig': V does not fit Ingress",
    ),
    "block order": (v1model().replace("V1Switch(P(), V(),", "V1Switch(V(), P(),"), "does not fit"),
    "block count": (v1model().replace(", D()) main", ") main"), "takes 6 arguments, 5 given"),
    "other headers": (
        v1model(types="struct other_t { }").replace("control E(inout headers_t h", "control E(inout other_t h"),
        "does not fit",
    ),
    "no main": (v1model().replace(") main;", ") chief;"), "does not declare a package named 'main'"),
    "main not package": (
        v1model().replace(") main;", ") chief;") + "counter(3, CounterType.bytes) main;",
        "'main' must be a package",
    ),
    "abstract": (
        v1model(types="extern K { K(); abstract void f(); } K() k;"),
        "abstract method 'f' of K is not implemented",
    ),
    "extern constructor": (v1model(types="register<bit<8>>(true) r;"), "argument 'size': expected bit<32>, found bool"),
    "extern type argument": (v1model(types="register(3) r;"), "cannot infer type argument 'T'"),
    "extern method": (v1model(types="register<bit<8>>(3) r;", ingress="r.erase(3);"), "has no member 'erase'"),
    "emit bits": (v1model(deparser="p.emit(m);"), "'m' is not declared"),
    "emit struct of bits": (
        v1model(types="struct B { bit<8> b; }", deparser="B b = { 1 }; p.emit(b);"),
        "emit takes headers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str) -> None:
    source, message = PROGRAMS[name]
    refuse(source, message)


def refuse(source: str, message: str, culprit: str = "") -> None:
    with pytest.raises(CompileError) as caught:
        compile_text(source, "test.p4")
    text = str(caught.value)
    if message:
        assert any(m in text for m in message.split("|")), text
    first = caught.value.diagnostics.errors[0]
    assert re.match(r"test\.p4:\d+:\d+: (error|warning): ", text), text
    if culprit and not message.startswith("syntax error"):
        lines = source.split("\n")
        assert culprit in lines[first.location.line - 1], text


def test_several_errors_are_reported_at_once() -> None:
    source = v1model(ingress="m.x = m.y;\nm.flag = nope;\nm.y = true;")
    with pytest.raises(CompileError) as caught:
        check_text(source)
    assert len(caught.value.diagnostics.errors) == 3


def test_a_diagnostic_quotes_the_line_and_points_at_the_place() -> None:
    source = "const bit<8> a = true;\n"
    with pytest.raises(CompileError) as caught:
        check_text(source, "a.p4")
    assert str(caught.value).splitlines() == [
        "a.p4:1:18: error: the value of constant 'a': expected bit<8>, found bool",
        "    1 | const bit<8> a = true;",
        "      |                  ^~~~",
    ]
