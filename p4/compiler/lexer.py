"""Lexer: preprocessed lines in, tokens out (specification 1.2.5, section 6.4).

Output tokens carry a kind that is final except for words and angle brackets, which `classify.py`
settles by context. Invariant: the text of a token is its source text. Annotation bodies in
parentheses become one token each (`ANNOTATION_BODY`), because any token may stand in them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from weft.p4.compiler.diagnostics import Diagnostics
from weft.p4.compiler.preprocess import Line
from weft.p4.compiler.source import Location

KEYWORDS = frozenset(
    [
        "abstract",
        "action",
        "bit",
        "bool",
        "break",
        "const",
        "continue",
        "control",
        "default",
        "else",
        "enum",
        "error",
        "exit",
        "extern",
        "false",
        "for",
        "header",
        "header_union",
        "if",
        "in",
        "inout",
        "int",
        "match_kind",
        "out",
        "package",
        "parser",
        "return",
        "select",
        "string",
        "struct",
        "switch",
        "table",
        "this",
        "transition",
        "true",
        "tuple",
        "typedef",
        "value_set",
        "varbit",
        "void",
    ]
)
#: Words that are keywords only in their place; `classify.py` decides.
SOFT_KEYWORDS = frozenset(
    ["actions", "apply", "entries", "key", "list", "priority", "state", "type"]
)

SYMBOLS: dict[str, str] = {
    "(": "LPAR", ")": "_RPAR", "{": "LBRACE", "}": "_RBRACE", "[": "LSQB", "]": "_RSQB",
    ";": "_SEMICOLON", ":": "_COLON", ",": "_COMMA", ".": "DOT", "?": "_QMARK", "=": "_EQUAL",
    "@": "_AT", "_": "DONTCARE", "!": "BANG", "~": "TILDE", "+": "PLUS", "-": "MINUS",
    "<": "LESS", ">": "MORE", "&&&": "_MASK", "..": "_RANGE", "...": "DOTS", "{#}": "INVALID",
}  # fmt: skip
_BINARY = ("*", "/", "%", "|+|", "|-|", "<<", ">>", "<=", ">=", "!=", "==", "&", "^", "|", "++")
_BINARY_BOOLEAN = ("&&", "||")
_ASSIGN = ("*=", "/=", "%=", "+=", "-=", "|+|=", "|-|=", "<<=", ">>=", "&=", "^=", "|=")
SYMBOLS.update(dict.fromkeys((*_BINARY, *_BINARY_BOOLEAN), "OPERATOR"))
SYMBOLS.update(dict.fromkeys(_ASSIGN, "OP_ASSIGN"))

_PATTERN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<number>\d+[ws]0[xX][\da-fA-F_]+|\d+[ws]0[oO][0-7_]+|\d+[ws]0[bB][01_]+"
    r"|\d+[ws]0[dD][\d_]+|\d+[ws][\d_]+|0[xX][\da-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|0[dD][\d_]+"
    r"|\d[\d_]*)"
    r'|(?P<string>"(?:\\.|[^"\\])*")'
    r"|(?P<plus_colon>\+\s*:)"
    r"|(?P<symbol>" + "|".join(map(re.escape, sorted(SYMBOLS, key=len, reverse=True))) + ")"
)

MAX_NESTING = 200


@dataclass(slots=True)
class Token:
    type: str
    text: str
    location: Location


def tokenize(lines: Sequence[Line], diagnostics: Diagnostics) -> list[Token]:
    """All tokens of the program; raises `CompileError` on text that is none."""
    tokens: list[Token] = []
    match = _PATTERN.match
    for line in lines:
        position, text = 0, line.text
        while position < len(text):
            found = match(text, position)
            if found is None:
                location = Location(line.file, line.number, position + 1)
                what = "string without its end" if text[position] == '"' else "unexpected character"
                raise diagnostics.fatal(location, f"{what}: {text[position]!r}")
            group = found.lastgroup
            if group != "space":
                word = found.group()
                location = Location(line.file, line.number, position + 1)
                tokens.append(Token(_kind(group, word), word, location))
                if group == "number" and found.end() < len(text):
                    _check_number_end(text[found.end()], word, location, diagnostics)
            position = found.end()
    return _nesting(_collapse_annotations(tokens, diagnostics), diagnostics)


def _kind(group: str | None, word: str) -> str:
    if group == "word":
        if word == "_":
            return "DONTCARE"
        return word.upper() if word in KEYWORDS else "WORD"
    if group == "symbol":
        return SYMBOLS[word]
    return {"number": "INTEGER", "string": "STRING_LITERAL"}.get(group or "", "_PLUS_COLON")


def _check_number_end(
    following: str, word: str, location: Location, diagnostics: Diagnostics
) -> None:
    if following.isalnum():
        raise diagnostics.fatal(location, f"malformed number: {word + following}...")


def _collapse_annotations(tokens: list[Token], diagnostics: Diagnostics) -> list[Token]:
    """`@name ( ... )` keeps its parentheses' content as one ANNOTATION_BODY; `@pragma` its line."""
    out: list[Token] = []
    index = 0
    while index < len(tokens):
        token = tokens[index]
        out.append(token)
        index += 1
        if token.type != "_AT" or index >= len(tokens):
            continue
        name = tokens[index]
        if name.text == "pragma":
            index = _pragma(tokens, index + 1, name.location, out, diagnostics)
            continue
        if name.text[0].isalpha() or name.text[0] == "_":
            name = Token("WORD", name.text, name.location)
        out.append(name)
        index += 1
        if index < len(tokens) and tokens[index].type == "LPAR":
            end = _matching(tokens, index)
            if end is None:
                raise diagnostics.fatal(tokens[index].location, "annotation without its end ')'")
            body = _Body("ANNOTATION_BODY", "", tokens[index].location)
            body.tokens = tokens[index + 1 : end]
            out.append(body)
            index = end + 1
    return out


def _pragma(
    tokens: list[Token],
    index: int,
    place: Location,
    out: list[Token],
    diagnostics: Diagnostics,
) -> int:
    """`@pragma name rest of the line` is another spelling of `@name(rest of the line)`."""
    end = index
    while end < len(tokens) and _same_line(tokens[end].location, place):
        end += 1
    if end == index:
        raise diagnostics.fatal(place, "@pragma without a name")
    name = tokens[index]
    out.append(Token("WORD", name.text, name.location))
    if end > index + 1:
        body = _Body("ANNOTATION_BODY", "", tokens[index + 1].location)
        body.tokens = tokens[index + 1 : end]
        out.append(body)
    return end


def _same_line(a: Location, b: Location) -> bool:
    return a.line == b.line and a.file == b.file


class _Body(Token):
    """The tokens between the parentheses of an annotation."""

    __slots__ = ("tokens",)
    tokens: list[Token]


def annotation_tokens(token: Token) -> list[Token]:
    assert isinstance(token, _Body)
    return token.tokens


def _matching(tokens: list[Token], start: int) -> int | None:
    depth = 0
    for index in range(start, len(tokens)):
        kind = tokens[index].type
        depth += (kind == "LPAR") - (kind == "_RPAR")
        if depth == 0:
            return index
    return None


def _nesting(tokens: list[Token], diagnostics: Diagnostics) -> list[Token]:
    """Refuse bracket nesting that no honest program has; later passes recurse over it."""
    depth = 0
    run = 0
    for token in tokens:
        kind = token.type
        if kind in ("LPAR", "LBRACE", "LSQB"):
            depth += 1
        elif kind in ("_RPAR", "_RBRACE", "_RSQB"):
            depth -= 1
        run = run + 1 if kind in ("BANG", "TILDE", "MINUS", "PLUS") else 0
        if depth > MAX_NESTING or run > MAX_NESTING:
            raise diagnostics.fatal(
                token.location, f"nesting deeper than {MAX_NESTING} levels is not supported"
            )
    return tokens
