"""Reading a TOML file key by key, with errors that say file, line and key.

`tomllib` forgets where a value stood; `Document` finds it again. `Table` hands out typed values and
in the end refuses keys that nobody asked for, so that a typo never passes silently.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from weft.emulation import units

Parsed = TypeVar("Parsed")

_HEADER = re.compile(r"^\s*\[(\[?)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"^\s*([A-Za-z0-9_.\"'-]+)\s*=")


class ScenarioError(ValueError):
    """A scenario file says something impossible; the text names file, line and key."""


def file_of(path: Path) -> Path:
    """The file of "FILE.toml#CASE"."""
    return Path(str(path).partition("#")[0])


def _lines_of_keys(text: str) -> dict[tuple[str | int, ...], int]:
    """Line (from 1) of every table and key; items of arrays of tables are numbered from 0."""
    lines: dict[tuple[str | int, ...], int] = {}
    arrays: dict[tuple[str | int, ...], int] = {}

    def absolute(dotted: str) -> tuple[str | int, ...]:
        path: tuple[str | int, ...] = ()
        for part in dotted.split("."):
            path += (part.strip(" \"'"),)
            if path in arrays:
                path += (arrays[path],)
        return path

    table: tuple[str | int, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            name: tuple[str | int, ...] = tuple(p.strip(" \"'") for p in header[2].split("."))
            if header[1]:
                parent = absolute(".".join(str(p) for p in name[:-1])) if len(name) > 1 else ()
                array = (*parent, name[-1])
                arrays[array] = arrays.get(array, -1) + 1
                table = (*array, arrays[array])
            else:
                table = absolute(header[2])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            path = table
            for part in key[1].split("."):
                path += (part.strip("\"'"),)
            lines.setdefault(path, number)
    return lines


def _dotted(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).removeprefix(".")


@dataclass
class Document:
    """One parsed file: its name, its values and the line of every key."""

    name: str
    values: dict[str, Any]
    lines: dict[tuple[str | int, ...], int] = field(default_factory=dict)
    case: str = ""
    """Which of the file's matrix it is; empty: there is no matrix."""

    @classmethod
    def read(cls, path: Path) -> Document:
        """Parse a file, or one case of its matrix: "FILE.toml#CASE" (matrix.py). Raises
        ScenarioError when it cannot be read or is not TOML."""
        from weft.emulation import matrix

        return matrix.choose_case(cls._whole(file_of(path)), str(path).partition("#")[2])

    @classmethod
    def cases(cls, path: Path) -> list[Document]:
        """All cases of a file's matrix; the file itself when it has none."""
        from weft.emulation import matrix

        return matrix.cases(cls._whole(path))

    @classmethod
    def _whole(cls, path: Path) -> Document:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ScenarioError(f"{path}: cannot be read: {error}") from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, name: str = "scenario") -> Document:
        """Parse `text`; `name` stands for the file in errors."""
        try:
            return cls(name, tomllib.loads(text), _lines_of_keys(text))
        except tomllib.TOMLDecodeError as error:
            raise ScenarioError(f"{name}: not valid TOML: {error}") from None

    def override(self, dotted: str, value: Any) -> None:
        """Set a key (dots between tables, numbers for items of arrays), as --sweep does."""
        *parents, last = dotted.split(".")
        place: Any = self.values
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        place[last] = value

    def error(self, path: tuple[str | int, ...], message: str) -> ScenarioError:
        """An error at a key; where that is not in the file, at the nearest table that is."""
        line = next(
            (self.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.lines), None
        )
        place = f"{self.name}:{line}" if line is not None else self.name
        return ScenarioError(f"{place}: {_dotted(path) or 'file'}: {message}")

    def root(self) -> Table:
        return Table(self, (), self.values)


class Table:
    """One table of a document. Every getter removes the key; `finish` refuses what is left."""

    def __init__(
        self, document: Document, path: tuple[str | int, ...], values: dict[str, Any]
    ) -> None:
        self.document = document
        self.path = path
        self._values = dict(values)
        self._known: list[str] = []

    def error(self, key: str, message: str) -> ScenarioError:
        return self.document.error((*self.path, key) if key else self.path, message)

    def left(self) -> list[str]:
        """The keys that nobody has asked for yet."""
        return list(self._values)

    def has(self, key: str) -> bool:
        return key in self._values

    def _take(self, key: str, default: Parsed | None, parse: Callable[[Any], Parsed]) -> Parsed:
        self._known.append(key)
        if key not in self._values:
            if default is None:
                raise self.error(key, "is missing")
            return default
        try:
            return parse(self._values.pop(key))
        except ValueError as error:
            if isinstance(error, ScenarioError):
                raise
            raise self.error(key, str(error)) from None

    def integer(
        self, key: str, default: int | None = None, low: int = 0, high: int = 2**31 - 1
    ) -> int:
        def parse(value: Any) -> int:
            if isinstance(value, bool) or not isinstance(value, int):
                raise ValueError(f"must be an integer, not {value!r}")
            if not low <= value <= high:
                raise ValueError(f"must lie in {low} .. {high}, not {value}")
            return value

        return self._take(key, default, parse)

    def number(
        self, key: str, default: float | None = None, low: float = 0.0, high: float = 1e18
    ) -> float:
        def parse(value: Any) -> float:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"must be a number, not {value!r}")
            if not low <= value <= high:
                raise ValueError(f"must lie in {low:g} .. {high:g}, not {value:g}")
            return float(value)

        return self._take(key, default, parse)

    def flag(self, key: str, default: bool | None = None) -> bool:
        def parse(value: Any) -> bool:
            if not isinstance(value, bool):
                raise ValueError(f"must be true or false, not {value!r}")
            return value

        return self._take(key, default, parse)

    def text(
        self, key: str, default: str | None = None, choices: Iterable[str] | None = None
    ) -> str:
        def parse(value: Any) -> str:
            if not isinstance(value, str):
                raise ValueError(f"must be a string, not {value!r}")
            return value if choices is None else choose(value, choices)

        return self._take(key, default, parse)

    def quantity(self, key: str, default: Parsed | None, parse: Callable[[Any], Parsed]) -> Parsed:
        def typed(value: Any) -> Parsed:
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise ValueError(f"must be a quantity such as a number with a unit, not {value!r}")
            return parse(value)

        return self._take(key, default, typed)

    def seconds(self, key: str, default: float | None = None) -> float:
        return self.quantity(key, default, units.seconds)

    def rate(self, key: str, default: float | None = None) -> float:
        return self.quantity(key, default, units.bits_per_second)

    def bytes(self, key: str, default: int | None = None) -> int:
        return self.quantity(key, default, units.size_in_bytes)

    def integers(self, key: str, default: list[int] | None = None) -> list[int]:
        def parse(value: Any) -> list[int]:
            if not isinstance(value, list) or not all(
                type(item) is int and item >= 0 for item in value
            ):
                raise ValueError(f"must be a list of integers from 0 up, not {value!r}")
            return value

        return self._take(key, default, parse)

    def texts(self, key: str, default: list[str] | None = None) -> list[str]:
        def parse(value: Any) -> list[str]:
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise ValueError(f"must be a list of strings, not {value!r}")
            return value

        return self._take(key, default, parse)

    def raw(self, key: str, default: Any = None) -> Any:
        """Whatever is there, unchecked."""
        self._known.append(key)
        return self._values.pop(key, default)

    def table(self, key: str) -> Table:
        """The table `key`; an empty one when it is not there."""
        value = self.raw(key, {})
        if not isinstance(value, dict):
            raise self.error(key, f"must be a table, not {value!r}")
        return Table(self.document, (*self.path, key), value)

    def tables(self, key: str) -> list[Table]:
        """The array of tables `key`; a single table counts as an array of one."""
        value = self.raw(key, [])
        if isinstance(value, dict):
            return [Table(self.document, (*self.path, key), value)]
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(key, f"must be an array of tables ([[{key}]])")
        return [Table(self.document, (*self.path, key, i), item) for i, item in enumerate(value)]

    def finish(self) -> None:
        """Refuse the keys that nobody asked for."""
        for key in self._values:
            near = difflib.get_close_matches(key, self._known, n=1)
            hint = (
                f"; did you mean {near[0]!r}?"
                if near
                else f"; known here: {', '.join(sorted(self._known))}"
            )
            raise self.error(key, f"is not a known key{hint}")


def choose(value: str, choices: Iterable[str]) -> str:
    """`value`, if it is one of `choices`; else a ValueError that lists them."""
    known = sorted(choices)
    if value not in known:
        near = difflib.get_close_matches(value, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"{value!r} is not known; {hint}there is {', '.join(known)}")
    return value
