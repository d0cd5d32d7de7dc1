"""The IR: the worked example is what the compiler makes, and the verifier sees broken promises."""

from __future__ import annotations

import dataclasses

from ir_example import SOURCE, build

from weft.p4.compiler import compile_text, ir
from weft.p4.compiler.ir.text import program_text
from weft.p4.compiler.ir.verify import verify


def test_the_compiler_makes_the_worked_example() -> None:
    assert program_text(compile_text(SOURCE)) == program_text(build())


def test_the_worked_example_is_sound() -> None:
    assert verify(build()) == []


def broken(statement: ir.Statement) -> list[str]:
    program = build()
    ingress = program.main.arguments["ig"]
    assert isinstance(ingress, ir.Control)
    ingress.body = (*ingress.body, statement)
    return verify(program)


def test_the_verifier_sees_types_names_and_ranges() -> None:
    bit8, bit9 = ir.BitsType(8), ir.BitsType(9)
    stranger = ir.Variable("v", "v", bit8, ir.VariableKind.LOCAL)
    ref = ir.VarRef(stranger, bit8)
    assert any("not visible" in b for b in broken(ir.Assign(ref, ir.Const(1, bit8))))
    assert any(":=" in b for b in broken(ir.Assign(ref, ir.Const(1, bit9))))
    assert any("constant 256" in b for b in broken(ir.Assign(ref, ir.Const(256, bit8))))
    assert any("outside a loop" in b for b in broken(ir.Break()))
    assert any("condition" in b for b in broken(ir.If(ir.Const(1, bit8), ())))
    sliced = ir.Slice(ref, 8, 0, ir.BitsType(9))
    assert any("slice" in b for b in broken(ir.Assign(sliced, ir.Const(1, bit9))))


def test_the_verifier_sees_a_missing_state() -> None:
    program = build()
    parser = program.main.arguments["p"]
    assert isinstance(parser, ir.Parser)
    start = parser.states["start"]
    parser.states = {"start": ir.State("start", start.body, ir.Goto("nowhere"))}
    assert any("no state nowhere" in b for b in verify(program))


def test_nodes_are_frozen_where_readers_share_them() -> None:
    for node in (ir.Const, ir.VarRef, ir.Assign, ir.If, ir.BitsType, ir.Variable):
        assert node.__dataclass_params__.frozen  # type: ignore[attr-defined]
        assert dataclasses.is_dataclass(node)
