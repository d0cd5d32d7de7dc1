"""Where a piece of program text came from.

Every token, tree node, IR node and diagnostic carries one `Location`. Columns and lines count
from one, as editors do; `file` is the path as the user (or an `#include`) wrote it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """A point in a source file: path, line (from 1) and column (from 1)."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


#: Location of things that no source line declares (temporaries, the implicit NoAction, ...).
NOWHERE = Location("<compiler>", 1, 1)
