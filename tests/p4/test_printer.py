"""The formatter: parsing what it prints gives the same tree, and printing that the same text."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p4_programs import v1model
from test_accepted import INGRESS, PROGRAMS

from weft.p4.compiler import CompileError, Diagnostics, ast
from weft.p4.compiler.build_expressions import PRECEDENCE
from weft.p4.compiler.format import format_text
from weft.p4.compiler.frontend import parse_text
from weft.p4.compiler.preprocess import SYSTEM_INCLUDES
from weft.p4.compiler.printer import expression_text, format_program

_IGNORED = {"location", "name_location", "target_location", "match_kind_location"}


def shape(node: object) -> object:
    """A tree without its places, comparable."""
    if isinstance(node, list | tuple):
        return [shape(n) for n in node]
    if dataclasses.is_dataclass(node) and hasattr(node, "location"):
        fields = [f for f in dataclasses.fields(node) if f.init and f.name not in _IGNORED]
        return (type(node).__name__, *(shape(getattr(node, f.name)) for f in fields))
    return node if isinstance(node, str | int | bool | None) else ""


def parse(text: str) -> ast.Program:
    return parse_text(text, "f.p4", Diagnostics())


def round_trip(text: str) -> None:
    first = parse(text)
    # Names are types by what stands before them, so all declarations are printed, includes too.
    printed = format_program(first)
    second = parse(printed)
    assert names_of(second) == names_of(first)
    assert shape(second) == shape(first)
    assert format_program(second) == printed


def names_of(program: ast.Program) -> list[str]:
    return [getattr(d, "name", "") for d in program.declarations]


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str) -> None:
    round_trip(PROGRAMS[name])


@pytest.mark.parametrize("name", INGRESS)
def test_statements(name: str) -> None:
    round_trip(v1model(ingress=INGRESS[name]))


@pytest.mark.parametrize("name", ["core.p4", "v1model.p4"])
def test_our_own_libraries(name: str) -> None:
    round_trip((SYSTEM_INCLUDES / name).read_text())


# ------------------------------------------------------------------- generated expressions

atoms = st.one_of(
    st.sampled_from(
        ["a", "h.b", "x[1]", "f(a, 3)", "true", "8w3", "0x1F", "-1", ".g", "E.A", "{#}"]
    ),
    st.sampled_from(["{ a, 1 }", "{ p = 1, ... }", "error.None", "x[7:0]", "x[a +: 4]", '"s"']),
)


def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, st.sampled_from(sorted(PRECEDENCE)), inner)
    return st.one_of(
        pair.map(lambda t: f"{t[0]} {t[1]} {t[2]}"),
        pair.map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
        inner.map(lambda e: f"-({e})"),
        inner.map(lambda e: f"!{e}" if e[0].isalpha() else f"~({e})"),
        inner.map(lambda e: f"(bit<8>)({e})"),
        inner.map(lambda e: f"(E)({e})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]}) ? {t[1]} : {t[2]}"),
        inner.map(lambda e: f"({e}).m"),
        inner.map(lambda e: f"g<bit<8>>({e})"),
        inner.map(lambda e: f"y[{e}]"),
    )


@given(st.recursive(atoms, grow, max_leaves=14))
@settings(max_examples=400, deadline=None)
def test_expressions(text: str) -> None:
    frame = "enum E {{ A }} const bit<8> k = {};"
    first = parse(frame.format(text)).declarations[-1]
    assert isinstance(first, ast.Constant)
    printed = expression_text(first.initializer)
    second = parse(frame.format(printed)).declarations[-1]
    assert isinstance(second, ast.Constant)
    assert shape(second.initializer) == shape(first.initializer)
    assert expression_text(second.initializer) == printed


# ------------------------------------------------------------------------------- fmt itself

UGLY = """// A program.
#include <core.p4>

/* Two lines
 * of comment. */
const   bit<8>  a=3 ; // trailing
struct s{bit<8> x; // first
   bit<16> y;}
// the end
"""

TIDY = """// A program.

#include <core.p4>

/* Two lines
 * of comment. */
const bit<8> a = 3;  // trailing

struct s {
    bit<8> x;  // first
    bit<16> y;
}

// the end
"""


def test_comments_and_includes_stay() -> None:
    once = format_text(UGLY, "f.p4", (), Diagnostics())
    assert once == TIDY
    assert format_text(once, "f.p4", (), Diagnostics()) == TIDY


def test_directives_that_cannot_stay_are_refused() -> None:
    with pytest.raises(CompileError, match="only #include can be kept"):
        format_text("#define N 3\nconst bit<8> a = N;\n", "f.p4", (), Diagnostics())


def test_includes_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "t.p4").write_text("typedef bit<8> byte;\n")
    text = '#include "t.p4"\nconst byte a = 3;\n'
    formatted = format_text(text, str(tmp_path / "main.p4"), (), Diagnostics())
    assert formatted == '#include "t.p4"\n\nconst byte a = 3;\n'
