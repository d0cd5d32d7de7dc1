"""Comments and directives of a source file: what the syntax tree does not keep and `fmt` must."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PIECE = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.S)


@dataclass(frozen=True, slots=True)
class Comment:
    """`trailing` comments follow code on their line."""

    line: int
    text: str
    trailing: bool


def comments(text: str) -> list[Comment]:
    """All comments in order; one over several lines has its first line's number."""
    found: list[Comment] = []
    for match in _PIECE.finditer(text):
        if match.group().startswith('"'):
            continue
        before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        line = text.count("\n", 0, match.start()) + 1
        found.append(Comment(line, match.group().rstrip(), bool(before.strip())))
    return found


def directives(text: str) -> list[tuple[int, str]]:
    """(line, text) of every preprocessor directive."""
    stripped = _PIECE.sub(lambda m: m.group() if m.group()[0] == '"' else _blank(m.group()), text)
    return [
        (number, line.strip())
        for number, line in enumerate(stripped.split("\n"), 1)
        if line.lstrip().startswith("#")
    ]


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
