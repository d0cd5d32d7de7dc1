"""Walks over the IR: all instances of a program, all statements of a block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from weft.p4.compiler import ir


def blocks(program: ir.Program) -> Iterator[ir.Parser | ir.Control]:
    """All parser and control instances, each after the one it stands in."""
    seen: set[int] = set()

    def walk(block: ir.Parser | ir.Control) -> Iterator[ir.Parser | ir.Control]:
        if id(block) in seen:
            return
        seen.add(id(block))
        yield block
        for child in block.children:
            yield from walk(child)

    def packages(package: ir.Package) -> Iterator[ir.Parser | ir.Control]:
        for argument in package.arguments.values():
            if isinstance(argument, ir.Parser | ir.Control):
                yield from walk(argument)
            elif isinstance(argument, ir.Package):
                yield from packages(argument)

    yield from packages(program.main)


def statements(block: Iterable[ir.Statement]) -> Iterator[ir.Statement]:
    """All statements of a block, nested ones included, in order."""
    for statement in block:
        yield statement
        match statement:
            case ir.If(then=then, otherwise=otherwise):
                yield from statements(then)
                yield from statements(otherwise)
            case ir.Switch(cases=cases):
                for case in cases:
                    yield from statements(case.body)
            case ir.Loop(head=head, body=body, step=step):
                for part in (head, body, step):
                    yield from statements(part)
            case ir.Call(copy_out=copy_out):
                yield from statements(copy_out)
