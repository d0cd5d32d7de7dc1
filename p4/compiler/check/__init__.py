"""Type checker.

Gives every expression its type, every name its declaration, or says what is wrong.
"""

from __future__ import annotations

from weft.p4.compiler import ast
from weft.p4.compiler.check.checker import Checker as Checker
from weft.p4.compiler.diagnostics import Diagnostics


def check(program: ast.Program, diagnostics: Diagnostics) -> Checker:
    """Check a whole program in place; raises `CompileError` when it has errors."""
    checker = Checker(diagnostics)
    checker.declarations.program(program)
    diagnostics.raise_if_errors()
    return checker
