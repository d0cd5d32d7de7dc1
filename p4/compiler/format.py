"""The formatter behind `weft p4 fmt`: one file in, the same program tidily laid out.

Includes are kept at the top; comments stand before what they stood before. Other directives change
what the parser sees, so a file that has them is refused with a diagnostic.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from weft.p4.compiler.comments import comments, directives
from weft.p4.compiler.diagnostics import Diagnostics
from weft.p4.compiler.frontend import parse_text
from weft.p4.compiler.printer import format_program
from weft.p4.compiler.source import Location


def format_text(
    text: str, file: str, include_dirs: Sequence[Path], diagnostics: Diagnostics
) -> str:
    """The formatted text; raises `CompileError` when the program does not parse."""
    diagnostics.sources[file] = text.splitlines()
    includes: list[tuple[int, str]] = []
    for line, directive in directives(text):
        if not directive[1:].lstrip().startswith("include"):
            raise diagnostics.fatal(
                Location(file, line, 1), "only #include can be kept; expand this first"
            )
        includes.append((line, directive))
    program = parse_text(text, file, diagnostics, include_dirs)
    kept = comments(text)
    first = includes[0][0] if includes else 0
    head = [c.text for c in kept if c.line < first and not c.trailing]
    rest = [c for c in kept if c.line >= first or c.trailing]
    lines = [*head, *([""] if head and includes else []), *(d for _, d in includes)]
    body = format_program(program, file, rest)
    if not lines:
        return body
    return "\n".join(lines) + "\n" + ("\n" + body if body.strip() else "")
