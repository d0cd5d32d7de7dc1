"""Diagnostics: what the user reads when a program is wrong.

A pass reports into one `Diagnostics` and goes on as far as it makes sense; `raise_if_errors` ends
the compilation between passes. Text form, one per problem:

    router.p4:12:18: error: cannot convert bit<8> to bit<16> without a cast
       12 |     hdr.ip.len = hdr.ip.ttl;
          |                  ^~~~~~
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from weft.p4.compiler.source import Location

#: A program with more errors than this has one cause; the rest is noise.
MAX_ERRORS = 50

_WORD = re.compile(r"[A-Za-z_0-9]+(?:\.[A-Za-z_]\w*)*|\S")


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One message; `severity` is "error" or "warning"; notes point at related places."""

    severity: str
    message: str
    location: Location
    notes: tuple[tuple[str, Location], ...] = ()


class CompileError(Exception):
    """The program is invalid. `diagnostics` lists why; `str()` is the rendered text."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        super().__init__(diagnostics.render())


@dataclass(slots=True)
class Diagnostics:
    """Collects messages; `sources` maps a file to its lines so that they can be quoted."""

    messages: list[Diagnostic] = field(default_factory=list)
    sources: dict[str, list[str]] = field(default_factory=dict)

    @property
    def errors(self) -> list[Diagnostic]:
        return [m for m in self.messages if m.severity == "error"]

    def error(self, location: Location, message: str, *notes: tuple[str, Location | None]) -> None:
        """Report an error; the same message at the same place is reported once."""
        known = tuple((text, place) for text, place in notes if place is not None)
        diagnostic = Diagnostic("error", message, location, known)
        if diagnostic not in self.messages:
            self.messages.append(diagnostic)
        if len(self.errors) >= MAX_ERRORS:
            raise CompileError(self)

    def warning(self, location: Location, message: str) -> None:
        diagnostic = Diagnostic("warning", message, location)
        if diagnostic not in self.messages:
            self.messages.append(diagnostic)

    def fatal(self, location: Location, message: str) -> CompileError:
        """Report an error after which nothing can follow: `raise diagnostics.fatal(...)`."""
        self.error(location, message)
        return CompileError(self)

    def raise_if_errors(self) -> None:
        if self.errors:
            raise CompileError(self)

    def render(self) -> str:
        """All messages with the source lines they speak of."""
        parts: list[str] = []
        for message in self.messages:
            parts.append(f"{message.location}: {message.severity}: {message.message}")
            parts.extend(self._quote(message.location))
            for text, location in message.notes:
                parts.append(f"{location}: note: {text}")
                parts.extend(self._quote(location))
        return "\n".join(parts)

    def _quote(self, location: Location) -> list[str]:
        lines = self.sources.get(location.file)
        if lines is None:
            return []
        if not 1 <= location.line <= len(lines):
            return []
        line = lines[location.line - 1]
        start = location.column - 1
        word = _WORD.match(line, start) if start < len(line) else None
        length = len(word.group()) if word else 1
        pad = "".join("\t" if c == "\t" else " " for c in line[:start])
        return [f"{location.line:5} | {line}", f"      | {pad}^{'~' * (length - 1)}"]


def read_source(path: Path) -> str:
    """File content as text; bytes that are not UTF-8 become replacement characters."""
    return path.read_text(encoding="utf-8", errors="replace")
