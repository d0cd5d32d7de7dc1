"""The P4_16 front end: source text in, `ir.Program` or diagnostics out.

    from weft.p4.compiler import CompileError, compile_file
    try:
        program = compile_file(Path("router.p4"))
    except CompileError as problem:
        print(problem)

`check_text` stops after type checking; all return warnings through `Diagnostics`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from weft.p4.compiler import ast, ir
from weft.p4.compiler.check import Checker, check
from weft.p4.compiler.diagnostics import CompileError as CompileError
from weft.p4.compiler.diagnostics import Diagnostics as Diagnostics
from weft.p4.compiler.elaborate import elaborate
from weft.p4.compiler.frontend import deep_recursion, parse_text, read
from weft.p4.compiler.source import Location


def check_text(
    text: str,
    file: str = "<text>",
    *,
    include_dirs: Sequence[Path] = (),
    defines: Mapping[str, str] | None = None,
    diagnostics: Diagnostics | None = None,
) -> tuple[ast.Program, Checker]:
    """Parse and type-check; raises `CompileError`."""
    found = Diagnostics() if diagnostics is None else diagnostics
    program = parse_text(text, file, found, include_dirs, defines)
    with deep_recursion(found, file):
        return program, check(program, found)


def check_all(
    text: str,
    file: str,
    *,
    include_dirs: Sequence[Path] = (),
    defines: Mapping[str, str] | None = None,
    diagnostics: Diagnostics,
) -> None:
    """Everything that can be wrong with a program; one without `main` gets a warning only."""
    program, checker = check_text(
        text, file, include_dirs=include_dirs, defines=defines, diagnostics=diagnostics
    )
    if checker.globals.lookup("main"):
        with deep_recursion(diagnostics, file):
            elaborate(program, checker, diagnostics, file)
    else:
        diagnostics.warning(Location(file, 1, 1), "the program has no package named 'main'")


def compile_text(
    text: str,
    file: str = "<text>",
    *,
    include_dirs: Sequence[Path] = (),
    defines: Mapping[str, str] | None = None,
    diagnostics: Diagnostics | None = None,
) -> ir.Program:
    """The IR of a program given as text; `file` names it in diagnostics and anchors includes."""
    found = Diagnostics() if diagnostics is None else diagnostics
    program, checker = check_text(
        text, file, include_dirs=include_dirs, defines=defines, diagnostics=found
    )
    with deep_recursion(found, file):
        return elaborate(program, checker, found, file)


def compile_file(
    path: Path,
    *,
    include_dirs: Sequence[Path] = (),
    defines: Mapping[str, str] | None = None,
    diagnostics: Diagnostics | None = None,
) -> ir.Program:
    """The IR of the program in a file; raises `CompileError` (an unreadable file included)."""
    found = Diagnostics() if diagnostics is None else diagnostics
    text = read(path, found)
    return compile_text(
        text, str(path), include_dirs=include_dirs, defines=defines, diagnostics=found
    )
