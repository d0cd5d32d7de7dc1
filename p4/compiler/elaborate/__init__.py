"""Elaboration: a checked syntax tree in, the IR out.

Instances are made from the package `main` down, constructor arguments folded, generic functions
specialised, expressions purified. Invariant: what comes out keeps every promise in
`ir/__init__.py`.
"""

from __future__ import annotations

from weft.p4.compiler import ast, ir
from weft.p4.compiler.check import Checker
from weft.p4.compiler.diagnostics import Diagnostics
from weft.p4.compiler.elaborate.program import ProgramElaborator


def elaborate(
    program: ast.Program, checker: Checker, diagnostics: Diagnostics, source: str
) -> ir.Program:
    """The IR of a checked program; raises `CompileError`, for one when there is no `main`."""
    return ProgramElaborator(program, checker, diagnostics).run(source)
