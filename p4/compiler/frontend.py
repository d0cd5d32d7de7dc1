"""The passes in order: preprocess, tokenize, classify, parse, check."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from weft.p4.compiler import ast
from weft.p4.compiler.classify import classify
from weft.p4.compiler.diagnostics import Diagnostics, read_source
from weft.p4.compiler.lexer import tokenize
from weft.p4.compiler.parse import parse
from weft.p4.compiler.preprocess import Macro, Preprocessor
from weft.p4.compiler.source import Location

#: Deep enough for programs at the limits of the lexer, parser and checker, and shallow enough that
#: the part of it that goes through C functions fits a thread's usual stack of 8 MiB.
RECURSION_LIMIT = 10_000


@contextmanager
def deep_recursion(diagnostics: Diagnostics, file: str) -> Iterator[None]:
    """Let passes recurse over deep trees, and turn what is deeper still into a diagnostic."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, RECURSION_LIMIT))
    try:
        yield
    except RecursionError:
        raise diagnostics.fatal(
            Location(file, 1, 1), "the program is nested too deeply to be compiled"
        ) from None
    finally:
        sys.setrecursionlimit(before)


def parse_text(
    text: str,
    file: str,
    diagnostics: Diagnostics,
    include_dirs: Sequence[Path] = (),
    defines: Mapping[str, str] | None = None,
) -> ast.Program:
    """Source text to syntax tree; raises `CompileError`."""
    macros = {name: Macro(name, body) for name, body in (defines or {}).items()}
    with deep_recursion(diagnostics, file):
        lines = Preprocessor(diagnostics, include_dirs, macros).run(file, text)
        diagnostics.raise_if_errors()
        return parse(classify(tokenize(lines, diagnostics)), diagnostics)


def one_text(path: Path, defines: Mapping[str, str] | None = None) -> str:
    """A program without includes and macros, as a switch elsewhere takes it (P4Runtime's device
    config); raises `CompileError`."""
    diagnostics = Diagnostics()
    macros = {name: Macro(name, body) for name, body in (defines or {}).items()}
    lines = Preprocessor(diagnostics, (), macros).run(str(path), read(path, diagnostics))
    diagnostics.raise_if_errors()
    return "\n".join(line.text for line in lines) + "\n"


def read(path: Path, diagnostics: Diagnostics) -> str:
    """The file's text; raises `CompileError` when it cannot be read."""
    try:
        return read_source(path)
    except OSError as problem:
        raise diagnostics.fatal(
            Location(str(path), 1, 1), f"cannot read the file: {problem}"
        ) from None
