"""Preprocessor: source file in, lines with their origin out (specification 1.2.5, section 6.1).

Input: the text of a program and directories to search. Output: `Line`s without comments,
directives or continuations, macros expanded. Invariant: every line knows the file and number it
came from; a column is exact unless a macro stands before it on the line. Limits keep hostile
programs short: include depth, total lines, expansion size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from weft.p4.compiler.conditions import ConditionError, evaluate
from weft.p4.compiler.diagnostics import Diagnostics, read_source
from weft.p4.compiler.source import Location

MAX_INCLUDE_DEPTH = 64
MAX_LINES = 400_000
MAX_LINE_LENGTH = 1_000_000

#: Where our own core.p4 and v1model.p4 live.
SYSTEM_INCLUDES = Path(__file__).resolve().parent.parent / "include"

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[A-Za-z_]\w*|\d\w*|\s+|##|.', re.S)
_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?(?:\*/|\Z)', re.S)
_DIRECTIVE = re.compile(r"\s*#\s*(\w*)\s*(.*)", re.S)
_DEFINE = re.compile(r"([A-Za-z_]\w*)(\(([^)]*)\))?\s*(.*)", re.S)
_INCLUDE = re.compile(r'<([^>]+)>|"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Line:
    file: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Macro:
    """`#define name body` or, when `parameters` is not None, `#define name(a, b) body`."""

    name: str
    body: str
    parameters: tuple[str, ...] | None = None


@dataclass(slots=True)
class _Conditional:
    location: Location
    active: bool  # the present branch is taken
    taken: bool  # some branch was taken already
    outer: bool  # the surrounding text is active
    has_else: bool = False


@dataclass(slots=True)
class Preprocessor:
    """Runs once over one program; `lines` grows as files are read."""

    diagnostics: Diagnostics
    include_dirs: Sequence[Path] = ()
    macros: dict[str, Macro] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)

    def run(self, name: str, text: str) -> list[Line]:
        self._file(name, text, [])
        return self.lines

    # ------------------------------------------------------------------------------ files

    def _file(self, name: str, text: str, stack: list[str]) -> None:
        self.diagnostics.sources.setdefault(name, text.splitlines())
        conditionals: list[_Conditional] = []
        physical = self._strip_comments(name, text).split("\n")
        number = 0
        while number < len(physical):
            first = number
            line = physical[number]
            while line.endswith("\\") and number + 1 < len(physical):
                number += 1
                line = line[:-1] + physical[number]
            number += 1
            location = Location(name, first + 1, 1)
            if line.lstrip().startswith("#"):
                self._directive(line, location, conditionals, [*stack, name])
            elif all(c.active for c in conditionals) and line.strip():
                while self._open_invocation(line) and number < len(physical):
                    line += " " + physical[number]
                    number += 1
                self._emit(location, line)
        if conditionals:
            self.diagnostics.error(conditionals[-1].location, "#if without #endif")

    def _emit(self, location: Location, line: str) -> None:
        if len(self.lines) >= MAX_LINES:
            raise self.diagnostics.fatal(
                location, f"the program has more than {MAX_LINES} lines after preprocessing"
            )
        if self.macros or "__" in line:
            line = self._expand(line, location, frozenset())
        self.lines.append(Line(location.file, location.line, line))

    def _strip_comments(self, name: str, text: str) -> str:
        def blank(match: re.Match[str]) -> str:
            found = match.group()
            if found.startswith('"'):
                return found
            if found.startswith("/*") and not (found.endswith("*/") and len(found) >= 4):
                line = text.count("\n", 0, match.start()) + 1
                column = match.start() - text.rfind("\n", 0, match.start())
                self.diagnostics.error(Location(name, line, column), "comment without its end */")
            return re.sub(r"[^\n]", " ", found)

        return _COMMENT.sub(blank, text.replace("\r\n", "\n"))

    # ------------------------------------------------------------------------- directives

    def _directive(
        self, line: str, location: Location, conditionals: list[_Conditional], stack: list[str]
    ) -> None:
        match = _DIRECTIVE.match(line)
        assert match is not None
        word, rest = match.group(1), match.group(2).strip()
        column = line.index("#") + 1
        location = Location(location.file, location.line, column)
        active = all(c.active for c in conditionals)
        if word in ("if", "ifdef", "ifndef"):
            holds = active and self._condition(word, rest, location)
            conditionals.append(_Conditional(location, holds, holds, active))
        elif word in ("elif", "else", "endif"):
            self._branch(word, rest, location, conditionals)
        elif not active or word in ("", "pragma", "line") or word.isdigit():
            # `# 1 "file"` is what a C preprocessor writes; places are those of the file read here.
            return
        elif word == "define":
            self._define(rest, location)
        elif word == "undef":
            self.macros.pop(rest, None)
        elif word == "include":
            self._include(rest, location, stack)
        elif word == "error":
            self.diagnostics.error(location, f"#error {rest}")
        elif word == "warning":
            self.diagnostics.warning(location, f"#warning {rest}")
        else:
            self.diagnostics.error(location, f"unknown preprocessor directive #{word}")

    def _branch(
        self, word: str, rest: str, location: Location, conditionals: list[_Conditional]
    ) -> None:
        if not conditionals:
            self.diagnostics.error(location, f"#{word} without #if")
            return
        current = conditionals[-1]
        if word == "endif":
            conditionals.pop()
            return
        if current.has_else:
            self.diagnostics.error(location, f"#{word} after #else", ("the #if", current.location))
        open_ = current.outer and not current.taken
        current.active = open_ and (word == "else" or self._condition("if", rest, location))
        current.taken = current.taken or current.active
        current.has_else = word == "else"

    def _condition(self, word: str, rest: str, location: Location) -> bool:
        if word != "if":
            return (rest.split("(")[0].strip() in self.macros) == (word == "ifdef")

        def defined(match: re.Match[str]) -> str:
            return "1" if (match.group(1) or match.group(2)) in self.macros else "0"

        text = re.sub(r"\bdefined\s*(?:\(\s*(\w+)\s*\)|(\w+))", defined, rest)
        try:
            return evaluate(self._expand(text, location, frozenset())) != 0
        except ConditionError as problem:
            self.diagnostics.error(location, f"in #if: {problem}")
            return False

    def _define(self, rest: str, location: Location) -> None:
        match = _DEFINE.fullmatch(rest)
        if match is None:
            self.diagnostics.error(location, "#define needs a name")
            return
        name, has_parameters, parameters, body = match.groups()
        if has_parameters is None:
            self.macros[name] = Macro(name, body.strip())
            return
        names = tuple(p.strip() for p in parameters.split(",")) if parameters.strip() else ()
        self.macros[name] = Macro(name, body.strip(), names)

    def _include(self, rest: str, location: Location, stack: list[str]) -> None:
        match = _INCLUDE.match(rest) or _INCLUDE.match(self._expand(rest, location, frozenset()))
        if match is None:
            self.diagnostics.error(location, '#include needs "file" or <file>')
            return
        wanted = match.group(1) or match.group(2)
        if len(stack) > MAX_INCLUDE_DEPTH:
            raise self.diagnostics.fatal(
                location, f"#include nested more than {MAX_INCLUDE_DEPTH} deep: {wanted}"
            )
        directories = [*self.include_dirs, SYSTEM_INCLUDES]
        if match.group(2):
            directories.insert(0, Path(location.file).parent)
        for directory in directories:
            path = directory / wanted
            if path.is_file():
                self._file(str(path), read_source(path), stack)
                return
        raise self.diagnostics.fatal(
            location,
            f"cannot find the include file {wanted!r}; searched "
            + ", ".join(str(d) for d in directories),
        )

    # ---------------------------------------------------------------------------- macros

    def _open_invocation(self, line: str) -> bool:
        """Does a function-like macro's argument list go on in the next line?"""
        for macro in self.macros.values():
            if macro.parameters is None or macro.name not in line:
                continue
            for match in re.finditer(rf"\b{re.escape(macro.name)}\b\s*\(", line):
                if _close(_TOKEN.findall(line[match.end() - 1 :]), 0) is None:
                    return True
        return False

    def _expand(self, text: str, location: Location, hidden: frozenset[str]) -> str:
        tokens = _TOKEN.findall(text)
        out: list[str] = []
        size = 0
        position = 0
        while position < len(tokens):
            token = tokens[position]
            position += 1
            macro = self.macros.get(token)
            if macro is None and token in ("__LINE__", "__FILE__"):
                token = str(location.line) if token == "__LINE__" else f'"{location.file}"'
            if macro is not None and token not in hidden:
                body: str | None = macro.body
                if macro.parameters is not None:
                    body, position = self._invoke(macro, tokens, position, location, hidden)
                if body is not None:
                    token = self._expand(body, location, hidden | {macro.name})
            out.append(token)
            size += len(token)
            if size > MAX_LINE_LENGTH:
                raise self.diagnostics.fatal(
                    location, f"macro expansion exceeds {MAX_LINE_LENGTH} characters"
                )
        return "".join(out)

    def _invoke(
        self,
        macro: Macro,
        tokens: list[str],
        position: int,
        location: Location,
        hidden: frozenset[str],
    ) -> tuple[str | None, int]:
        """Body with arguments in place (None: not an invocation) and the position after it."""
        start = position
        while start < len(tokens) and tokens[start].isspace():
            start += 1
        if start >= len(tokens) or tokens[start] != "(":
            return None, position
        end = _close(tokens, start)
        parameters = macro.parameters or ()
        arguments = _split_arguments(tokens[start + 1 : end]) if end is not None else []
        if not parameters and arguments == [""]:
            arguments = []
        if end is None or len(arguments) != len(parameters):
            raise self.diagnostics.fatal(
                location,
                f"macro {macro.name} takes {len(parameters)} arguments, {len(arguments)} given",
            )
        raw = dict(zip(parameters, arguments, strict=True))
        full = {k: self._expand(v, location, hidden) for k, v in raw.items()}
        return _substitute(macro.body, raw, full), end + 1


def _close(tokens: list[str], start: int) -> int | None:
    """Index of the parenthesis that closes the one at or after `start`, if any."""
    depth = 0
    for index in range(start, len(tokens)):
        depth += (tokens[index] == "(") - (tokens[index] == ")")
        if depth == 0:
            return index
    return None


def _split_arguments(tokens: list[str]) -> list[str]:
    arguments, depth = [""], 0
    for token in tokens:
        depth += (token == "(") - (token == ")")
        if token == "," and depth == 0:
            arguments.append("")
        else:
            arguments[-1] += token
    return [a.strip() for a in arguments]


def _substitute(body: str, raw: Mapping[str, str], full: Mapping[str, str]) -> str:
    """Arguments for parameters; `#x` makes a string, `a ## b` glues without expansion."""
    tokens = list(_TOKEN.findall(body))
    out: list[str] = []
    glue = False
    for index, token in enumerate(tokens):
        following = next((t for t in tokens[index + 1 :] if not t.isspace()), "")
        if token == "##":
            while out and out[-1].isspace():
                out.pop()
            glue = True
        elif token == "#" and following in raw:
            out.append("#")
        elif token in raw and out and out[-1] == "#":
            out[-1] = '"' + raw[token].replace("\\", "\\\\").replace('"', '\\"') + '"'
        elif glue and token.isspace():
            continue
        else:
            plain = glue or following == "##"
            out.append((raw if plain else full).get(token, token))
            glue = False
    return "".join(out)
