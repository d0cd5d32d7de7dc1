"""Parser: classified tokens in, `ast.Program` out, by Lark's LALR automaton over grammar.lark.

The automaton is built once and cached on disk. Callbacks run on each reduction, so no parse tree
is kept. Invariant: every node has the location of its first token. A syntax error ends the parse
with one diagnostic that says what was found and what was expected.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import lark
from lark.lexer import Lexer, LexerState

from weft.p4.compiler import ast
from weft.p4.compiler.build_ast import Builder
from weft.p4.compiler.build_expressions import BuildError
from weft.p4.compiler.diagnostics import Diagnostics
from weft.p4.compiler.lexer import Token
from weft.p4.compiler.source import Location

_GRAMMAR = Path(__file__).with_name("grammar.lark")

#: What the token kinds are called in "expected ..." lists.
_PLAIN_NAMES = {
    "IDENTIFIER": "a name", "TYPE_IDENTIFIER": "a type name", "INTEGER": "a number",
    "STRING_LITERAL": "a string", "_RPAR": "')'", "LPAR": "'('", "LBRACE": "'{'", "_RBRACE": "'}'",
    "LSQB": "'['", "_RSQB": "']'", "_LANGLE": "'<'", "_RANGLE": "'>'", "_SEMICOLON": "';'",
    "_COLON": "':'", "_COMMA": "','", "_EQUAL": "'='", "DOT": "'.'", "_QMARK": "'?'", "_AT": "'@'",
    "_MASK": "'&&&'", "_RANGE": "'..'", "DOTS": "'...'", "INVALID": "'{#}'", "DONTCARE": "'_'",
    "BANG": "'!'", "TILDE": "'~'", "PLUS": "'+'", "MINUS": "'-'", "OPERATOR": "an operator",
    "OP_ASSIGN": "an assignment operator", "_PLUS_COLON": "'+:'", "$END": "the end of the file",
}  # fmt: skip
_EXPRESSION_STARTS = {
    "IDENTIFIER", "INTEGER", "STRING_LITERAL", "TRUE", "FALSE", "LPAR", "BANG", "TILDE", "THIS",
}  # fmt: skip
_EXPRESSION_ALL = _EXPRESSION_STARTS | {
    "PLUS", "MINUS", "DOTS", "INVALID", "LBRACE", "TYPE_IDENTIFIER", "ERROR", "DOT"
}  # fmt: skip


class _NoLexer(Lexer):
    """Lark wants a lexer class; we feed finished tokens instead."""

    def __init__(self, _conf: Any) -> None:
        pass

    def lex(self, _state: LexerState, _parser: Any) -> Iterator[lark.Token]:
        return iter(())


@cache
def _automaton() -> lark.Lark:
    return lark.Lark(
        _GRAMMAR.read_text(encoding="utf-8"),
        parser="lalr",
        lexer=_NoLexer,
        transformer=Builder(),
        cache=_cache_file(),
    )


def _cache_file() -> str:
    """Where the LALR tables are kept: the user's cache, or the temporary folder without one."""
    key = hashlib.sha256(_GRAMMAR.read_bytes() + lark.__version__.encode()).hexdigest()[:16]
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weft"
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError:
        root = Path(tempfile.gettempdir())
    return str(root / f"p4-grammar-{key}.lalr")


def parse(tokens: Sequence[Token], diagnostics: Diagnostics) -> ast.Program:
    """The program's syntax tree; raises `CompileError` on the first syntax error."""
    automaton = _automaton().parse_interactive()
    token = Token("$END", "", Location("<empty>", 1, 1))
    try:
        for token in tokens:
            automaton.feed_token(token)  # type: ignore[arg-type]  # only .type is looked at
        program: ast.Program = automaton.feed_token(
            Token("$END", "", token.location)  # type: ignore[arg-type]
        )
        return program
    except BuildError as problem:
        raise diagnostics.fatal(problem.location, problem.message) from None
    except lark.exceptions.UnexpectedToken as problem:
        found = problem.token
    accepted: set[str] = automaton.accepts()  # type: ignore[no-untyped-call]
    if found.type == "IDENTIFIER" and "TYPE_IDENTIFIER" in accepted and found.type not in accepted:
        raise diagnostics.fatal(found.location, f"'{found.text}' is not a declared type")
    what = "the end of the file" if found.type == "$END" else f"'{found.text}'"
    expected = _expected(accepted)
    raise diagnostics.fatal(found.location, f"syntax error: unexpected {what}, expected {expected}")


def _expected(kinds: set[str]) -> str:
    kinds = set(kinds)
    names: list[str] = []
    if kinds >= _EXPRESSION_STARTS:
        kinds -= _EXPRESSION_ALL
        names.append("an expression")
    names += sorted(_PLAIN_NAMES.get(k, f"'{k.lower()}'") for k in kinds)
    if len(names) > 8:
        names = [*names[:8], "..."]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]
