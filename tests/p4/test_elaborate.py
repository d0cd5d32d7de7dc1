# ruff: noqa: E501 - P4 source
"""Elaboration: order of evaluation, calling convention, unions, stacks, tables - as IR text."""

from __future__ import annotations

import textwrap

import pytest
from p4_programs import v1model

from weft.p4.compiler import compile_text, ir
from weft.p4.compiler.ir.text import program_text
from weft.p4.compiler.ir.verify import verify

TYPES = """
bit<8> bump(inout bit<8> v) { v = v + 1; return v; }
bit<8> pure(in bit<8> v) { return v; }
void both(inout bit<8> a, inout bit<8> b) { a = b; }
void fill(out small_t a, in small_t b) { a = b; }
"""


def apply_of(ingress: str, ingress_locals: str = "", types: str = TYPES) -> str:
    """The IR text of the ingress control's apply block."""
    program = compile_text(v1model(ingress=ingress, ingress_locals=ingress_locals, types=types))
    assert verify(program) == []
    text = program_text(program)
    part = text[text.index("control I(") :].split("\n\n")[0]
    return textwrap.dedent(part.split("    apply\n", 1)[1]).strip()


def lines(text: str) -> str:
    return textwrap.dedent(text).strip()


CASES = {
    "operands are read before later effects": (
        "m.x = m.x + bump(m.x) + m.x;",
        """
        tmp_0 = m.x
        result_0 = bump(inout m.x)
        m.x = (tmp_0 + result_0) + m.x
        """,
    ),
    "arguments are evaluated left to right": (
        "both(h.stack[pure(m.x)].a, h.stack[bump(m.x)].b);",
        """
        result_0 = pure(in m.x)
        tmp_0 = result_0
        tmp_0_1 = h.stack[tmp_0].a
        result_0_0 = bump(inout m.x)
        tmp_0_0 = result_0_0
        both(inout tmp_0_1, inout h.stack[tmp_0_0].b)
        copy out
            h.stack[tmp_0].a = tmp_0_1
        """,
    ),
    "and does not evaluate its right side in vain": (
        "m.flag = m.flag && bump(m.x) == 1;",
        """
        tmp_0 = m.flag
        if tmp_0
            result_0 = bump(inout m.x)
            tmp_0 = result_0 == 1
        m.flag = tmp_0
        """,
    ),
    "or does not either": (
        "if (m.flag || bump(m.x) == 1) { m.y = 1; }",
        """
        tmp_0 = m.flag
        if !tmp_0
            result_0 = bump(inout m.x)
            tmp_0 = result_0 == 1
        if tmp_0
            m.y = 1
        """,
    ),
    "a conditional evaluates one branch": (
        "m.x = m.flag ? bump(m.x) : 3;",
        """
        if m.flag
            result_0 = bump(inout m.x)
            tmp_0 = result_0
        else
            tmp_0 = 3
        m.x = tmp_0
        """,
    ),
    "an inout argument is copied in when its turn comes": (
        "both(m.x, h.stack[bump(m.x)].a);",
        """
        tmp_0_0 = m.x
        result_0 = bump(inout m.x)
        tmp_0 = result_0
        both(inout tmp_0_0, inout h.stack[tmp_0].a)
        copy out
            m.x = tmp_0_0
        """,
    ),
    "overlapping arguments are copied": (
        "both(m.x, m.x);",
        """
        copy_0 = m.x
        copy_0_0 = m.x
        both(inout copy_0, inout copy_0_0)
        copy out
            m.x = copy_0
            m.x = copy_0_0
        """,
    ),
    "separate arguments are not": ("both(m.x, h.small.a);", "both(inout m.x, inout h.small.a)"),
    "aggregates that are read while written are copied": (
        "fill(h.small, h.small);",
        """
        copy_0_0 = h.small
        fill(out copy_0, in copy_0_0)
        copy out
            h.small = copy_0
        """,
    ),
    "slices are copied": (
        "random(m.y[7:0], 0, 9);",
        """
        random(out copy_0, in 0, in 9)
        m.y[7:0] = copy_0
        """,
    ),
    "compound assignment reads the target first": (
        "m.x += bump(m.x);",
        """
        tmp_0 = m.x
        result_0 = bump(inout m.x)
        m.x = tmp_0 + result_0
        """,
    ),
    "a swap goes through a temporary": (
        "h.small = { h.small.b, h.small.a, 3 };",
        """
        tmp_0 = { h.small.b, h.small.a, 3 }
        h.small = tmp_0
        """,
    ),
    "an index is fixed before the value's effects": (
        "h.stack[m.x].a = bump(m.x);",
        """
        tmp_0 = m.x
        result_0 = bump(inout m.x)
        h.stack[tmp_0].a = result_0
        """,
    ),
    "a member set valid or invalid clears the union's others": (
        "h.either.small.setValid(); h.either.small.setInvalid();",
        """
        h.either.small.setValid()
        h.either.large.setInvalid()
        h.either.small.setInvalid()
        h.either.large.setInvalid()
        """,
    ),
    "a member assigned clears them": (
        "h.either.large = h.ethernet;",
        """
        h.either.large = h.ethernet
        h.either.small.setInvalid()
        """,
    ),
    "headers are equal when both are invalid or all is equal": (
        "m.flag = h.small == h.stack[0];",
        """
        m.flag = (!h.small.isValid() && !h.stack[0].isValid()) || ((h.small.isValid() && \
h.stack[0].isValid()) && (((h.small.a == h.stack[0].a) && (h.small.b == h.stack[0].b)) && \
(h.small.c == h.stack[0].c)))
        """,
    ),
    "comparison with the invalid header is validity": (
        "m.flag = h.small == {#};",
        "m.flag = !h.small.isValid()",
    ),
    "constants fold and dead branches go": (
        "const bit<8> k = 7; if (k > 3) { m.x = (k << 1) |+| 250; } else { m.x = 1; }",
        "m.x = 0xff",
    ),
    "declarations without value are zeroed": (
        "bit<8> v; small_t t; m.x = v;",
        """
        v = 0
        t = zero small_t
        m.x = v
        """,
    ),
    "a range includes its end, even the last number": (
        "for (bit<8> i in 250 .. 255) { m.y = 1; }",
        """
        counter_0 = 0xfa
        going_0 = counter_0 <= 0xff
        loop
        while going_0
            i = counter_0
            m.y = 1
        step
            going_0 = counter_0 < 0xff
            counter_0 = counter_0 + 1
        """,
    ),
    "labels fall through to the next body": (
        "switch (m.x) { 1: 2: { m.y = 1; } 3: default: { m.y = 2; } }",
        """
        switch m.x
            case 1, 2
                m.y = 1
            case default
                m.y = 2
        """,
    ),
    "a moving slice is a shift and a mask": (
        "m.y[m.x +: 4] = 3;",
        """
        tmp_0 = m.x
        m.y = (m.y & ~(0xf << tmp_0)) | (3 << tmp_0)
        """,
    ),
    "narrowing and widening are casts": (
        "m.y = (bit<16>)m.s[3:0]; m.s = (int<8>)(m.x + m.kind);",
        """
        m.y = (bit<16>)m.s[3:0]
        m.s = (int<8>)(m.x + (bit<8>)m.kind)
        """,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_statements(name: str) -> None:
    source, expected = CASES[name]
    got = apply_of(source)
    wanted = lines(expected)
    assert got == wanted, got


def test_an_action_that_touches_the_argument_gets_a_copy() -> None:
    got = apply_of(
        "act(m.x); act(local);",
        "bit<8> local = 1; action act(inout bit<8> v) { v = v + 1; m.y = 3; if (v == 2) exit; }",
    )
    assert got == lines(
        """
        local = 1
        copy_0 = m.x
        I_act(inout copy_0)
        copy out
            m.x = copy_0
        I_act(inout local)
        """
    )


def parser_of(states: str, parser_locals: str = "") -> str:
    program = compile_text(v1model(states=states, parser_locals=parser_locals))
    assert verify(program) == []
    text = program_text(program)
    return text[text.index("parser P(") :].split("\n\n")[0]


def test_next_is_checked_used_and_moved() -> None:
    text = parser_of(
        "state start { p.extract(h.stack.next); transition select(h.stack.last.a) { 1: start; } }"
    )
    assert "verify h.stack.nextIndex < 4, error 3" in text
    assert "extract h.stack[h.stack.nextIndex]" in text
    assert "h.stack.nextIndex += 1" in text
    assert "verify h.stack.nextIndex != 0, error 3" in text
    assert "select (h.stack[h.stack.nextIndex - 1].a)" in text


def test_a_union_on_a_stack_is_settled_before_next_moves() -> None:
    program = compile_text(
        "#include <core.p4>\nheader A { bit<8> a; } header B { bit<8> b; } header_union U { A a; B b; }"
        "parser P(packet_in p, out U[2] us) { state start { p.extract(us.next.a); transition accept; } }"
        "parser T<H>(packet_in p, out H[2] h); package K<H>(T<H> t); K<U>(P()) main;"
    )
    text = program_text(program).splitlines()
    clear = next(i for i, line in enumerate(text) if "setInvalid" in line)
    assert text[clear].strip() == "us[us.nextIndex].b.setInvalid()"
    assert text[clear + 1].strip() == "us.nextIndex += 1"


def test_out_parameters_and_missing_transitions() -> None:
    text = parser_of("state start { m.x = 1; }")
    assert "h = zero headers_t" in text
    assert "goto reject" in text


def ingress_table(source: str) -> ir.Table:
    program = compile_text(v1model(ingress_locals=source, ingress="t.apply();"))
    assert verify(program) == []
    ingress = program.main.arguments["ig"]
    assert isinstance(ingress, ir.Control)
    return ingress.tables[0]


def test_actions_with_bound_arguments_keep_their_control_plane_name() -> None:
    table = ingress_table(
        "action a(in bit<8> k, bit<8> v) { m.x = k + v; }"
        "table t { key = { m.x: exact; } actions = { a(m.x); } const default_action = a(m.x, 4); }"
    )
    action = table.actions[0].action
    assert action.control_plane_name == "I.a"
    assert [p.name for p in action.parameters] == ["v"]
    assert table.default_action.action is action
    assert [a.value for a in table.default_action.arguments if isinstance(a, ir.Const)] == [4]
    assert table.default_is_const


def test_a_table_without_default_does_nothing() -> None:
    table = ingress_table("action a() { } table t { actions = { a; } }")
    assert [a.action.name for a in table.actions] == ["a", "NoAction"]
    assert table.actions[1].default_only
    assert table.default_action.action is table.actions[1].action


@pytest.mark.parametrize(
    ("properties", "entries", "expected"),
    [
        ("", "1: a; 2: a; 3: a;", [3, 2, 1]),
        ("largest_priority_wins = false;", "1: a; 2: a; 3: a;", [1, 2, 3]),
        ("priority_delta = 10;", "1: a; 2: a; 3: a;", [21, 11, 1]),
        ("", "1: a @priority(3); 2: a; 3: a @priority(1);", [1, 2, 3]),
        ("", "priority = 9: 1: a; 2: a; priority = 3: 3: a;", [9, 8, 3]),
    ],
)
def test_priorities_of_entries(properties: str, entries: str, expected: list[int]) -> None:
    table = ingress_table(
        f"action a() {{ }} table t {{ key = {{ m.x: ternary; }} actions = {{ a; }} {properties}"
        f" entries = {{ {entries} }} }}"
    )
    assert [e.priority for e in table.entries] == expected


def test_instances_have_paths_and_their_own_constants() -> None:
    program = compile_text(
        v1model(
            types="control Inner(inout bit<8> v)(bit<8> n) { table t { actions = { NoAction; }"
            " size = (bit<32>)n; } apply { v = v + n; t.apply(); } }",
            ingress_locals='Inner(3) one; @name("other") Inner(4) two;'
            ' @name(".absolute") table u { actions = { NoAction; } }',
            ingress="one.apply(m.x); two.apply(m.x); u.apply();",
        )
    )
    ingress = program.main.arguments["ig"]
    assert isinstance(ingress, ir.Control)
    assert [c.control_plane_name for c in ingress.children] == ["I.one", "I.other"]
    assert [c.tables[0].control_plane_name for c in ingress.children] == ["I.one.t", "I.other.t"]
    assert [c.tables[0].size for c in ingress.children] == [3, 4]
    assert ingress.tables[0].control_plane_name == "absolute"


def test_generic_functions_are_specialised_once_per_type() -> None:
    program = compile_text(
        v1model(
            types="T same<T>(in T x) { return x; } T twice<T>(in T x) { return same(x); }",
            ingress="m.x = twice(m.x); m.x = same(m.x); m.y = twice(m.y);",
        )
    )
    assert sorted(f.name for f in program.functions) == ["same", "same", "twice", "twice"]
    names = [f.unique_name for f in program.functions]
    assert names.index("same") < names.index("twice")


def test_annotations_are_folded() -> None:
    program = compile_text(
        v1model(
            types="const bit<8> LIST = 7; enum bit<8> Lists { A = 3 }"
            ' struct t { @field_list(1, LIST, Lists.A) @text("a" "b") @pairs[k = 2] bit<8> f; }',
            ingress="t v = { 1 };",
        )
    )
    struct = next(x for x in program.types if x.name == "t")
    assert isinstance(struct, ir.StructType)
    lists, text, pairs = struct.fields[0].annotations
    assert lists.values == (1, 7, 3)
    assert text.values == ("ab",)
    assert pairs.keywords == {"k": 2}
