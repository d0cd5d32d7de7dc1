"""Classifier: settles what a grammar without context cannot know about a token.

P4's grammar (specification 1.2.5, appendix G) needs the lexer to tell type names from other
names, and type-argument brackets from comparison signs. Input: the tokens of the whole program;
output: the same list (one longer where `>>` closes two lists) with final kinds:
  WORD -> TYPE_IDENTIFIER or IDENTIFIER, or a soft keyword (APPLY, KEY, STATE, ...) in its place;
  LESS/MORE -> LANGLE/RANGLE around type arguments and parameters, OPERATOR elsewhere.
All declarations in P4 are led by a keyword, so looking ahead over tokens suffices; scopes follow
braces, with an extra one per declaration for its type parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from weft.p4.compiler.lexer import SOFT_KEYWORDS, Token

_BASE_TYPES = frozenset(
    ["BIT", "INT", "VARBIT", "BOOL", "ERROR", "STRING", "MATCH_KIND", "VOID", "TUPLE", "LIST"]
)
_ANGLED = frozenset(["BIT", "INT", "VARBIT", "TUPLE", "LIST", "VALUE_SET"])
_SCOPED = frozenset(
    ["EXTERN", "PARSER", "CONTROL", "PACKAGE", "ACTION", "STRUCT", "HEADER", "HEADER_UNION"]
)
_TYPE_ENDS = frozenset(
    ["TYPE_IDENTIFIER", "_RANGLE", "_RSQB", "BIT", "INT", "BOOL", "ERROR", "STRING", "MATCH_KIND"]
)
_NAME_ENDS = frozenset(["_SEMICOLON", "_EQUAL", "_COMMA", "_RPAR", "IN"])


@dataclass(slots=True)
class _Scope:
    depth: int  # brace depth at which it was opened
    is_block: bool  # opened by a brace (else by a declaration)
    block: str  # "table", "entries", ... where soft keywords depend on it
    names: dict[str, bool] = field(default_factory=dict)  # True: a type, False: not


class Classifier:
    """Walks the tokens once; see the module's comment."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._scopes = [_Scope(0, True, "program")]
        self._angles: list[int] = []  # bracket depth of each open type list
        self._parens = 0
        self._braces = 0
        self._new_types: set[int] = set()  # ids of the tokens that name typedefs and enums
        self._pending = ""  # kind of the block that the next brace opens

    def run(self) -> list[Token]:
        index = 0
        while index < len(self._tokens):
            index = self._token(index)
        return self._tokens

    # ------------------------------------------------------------------------------ tokens

    def _token(self, i: int) -> int:
        token = self._tokens[i]
        kind = token.type
        if kind == "WORD":
            self._word(i)
        elif kind == "LESS":
            token.type = "_LANGLE" if self._opens_type_list(i) else "OPERATOR"
            if token.type == "_LANGLE":
                self._angles.append(self._parens)
        elif kind == "MORE" or token.text == ">>":
            self._close_angle(i)
        elif kind in ("LPAR", "LSQB"):
            self._parens += 1
        elif kind in ("_RPAR", "_RSQB"):
            self._parens -= 1
        elif kind == "LBRACE":
            self._open_brace(i)
        elif kind == "_RBRACE":
            self._close_brace()
        elif kind == "_SEMICOLON":
            self._end_declaration()
        elif kind in _SCOPED:
            self._declaration(i)
        elif kind in ("TYPEDEF", "ENUM"):
            self._declare_ahead(i)
        elif kind == "TABLE":
            self._pending = "table"
        return i + 1

    def _peek(self, i: int) -> Token:
        if i < len(self._tokens):
            return self._tokens[i]
        return Token("END", "", self._tokens[-1].location)

    def _is_word(self, i: int) -> bool:
        return self._peek(i).type in ("WORD", "IDENTIFIER", "TYPE_IDENTIFIER")

    # ------------------------------------------------------------------------------ scopes

    def _open_brace(self, i: int) -> None:
        kind, self._pending = self._pending, ""
        if not kind and self._scopes[-1].block == "table" and self._previous_keyword(i):
            kind = self._previous_keyword(i)
        self._scopes.append(_Scope(self._braces, True, kind))
        self._braces += 1

    def _previous_keyword(self, i: int) -> str:
        """The table property whose braces open at i: `entries = {`."""
        if i >= 2 and self._tokens[i - 1].type == "_EQUAL":
            kind = self._tokens[i - 2].type
            return kind.lower() if kind in ("ENTRIES", "KEY", "ACTIONS") else ""
        return ""

    def _close_brace(self) -> None:
        self._braces = max(0, self._braces - 1)
        # The block's own scope and that of the declaration it belongs to end here.
        while len(self._scopes) > 1 and self._scopes[-1].depth >= self._braces:
            self._scopes.pop()

    def _end_declaration(self) -> None:
        """A semicolon ends a declaration without body (prototype, type declaration)."""
        while len(self._scopes) > 1:
            scope = self._scopes[-1]
            if scope.is_block or scope.depth != self._braces:
                return
            self._scopes.pop()

    def _declare(self, name: str, is_type: bool, outer: bool = False) -> None:
        scopes = self._scopes
        scope = scopes[-1]
        if outer:
            scope = next(s for s in reversed(scopes) if s.is_block)
        scope.names[name] = is_type

    def _is_type(self, name: str) -> bool:
        for scope in reversed(self._scopes):
            if name in scope.names:
                return scope.names[name]
        return False

    # ------------------------------------------------------------------------ declarations

    def _declaration(self, i: int) -> None:
        kind = self._tokens[i].type
        name = i + 1
        if kind == "EXTERN" and not self._extern_is_type(i):
            self._scopes.append(_Scope(self._braces, False, ""))
            return
        if self._is_word(name) and kind != "ACTION":
            self._declare(self._tokens[name].text, True, outer=True)
        self._scopes.append(_Scope(self._braces, False, ""))
        if self._is_word(name) and kind == "ACTION":
            self._declare(self._tokens[name].text, False, outer=True)
        if self._peek(name + 1).type == "LESS":
            self._type_parameters(name + 1)

    def _extern_is_type(self, i: int) -> bool:
        after = i + 2
        if self._peek(after).type == "LESS":
            closed = self._close_of(after)
            after = closed + 1 if closed is not None else after
        return self._is_word(i + 1) and self._peek(after).type == "LBRACE"

    def _type_parameters(self, i: int) -> None:
        """Declare the names in `<A, B>` starting at i in the innermost scope."""
        end = self._close_of(i)
        for token in self._tokens[i + 1 : end or i + 1]:
            if token.type in ("WORD", "IDENTIFIER", "TYPE_IDENTIFIER"):
                self._declare(token.text, True)

    def _declare_ahead(self, i: int) -> None:
        """`enum ... Name {` and `typedef ... Name ;`: the name is the word before the sign."""
        stop = "LBRACE" if self._tokens[i].type == "ENUM" else "_SEMICOLON"
        depth = 0
        for j in range(i + 1, len(self._tokens)):
            kind = self._tokens[j].type
            if kind == stop and depth == 0:
                if self._is_word(j - 1):
                    self._declare(self._tokens[j - 1].text, True)
                    self._new_types.add(id(self._tokens[j - 1]))
                return
            depth += (kind == "LBRACE") - (kind == "_RBRACE")
            if depth < 0:
                return

    # ------------------------------------------------------------------------------- words

    def _word(self, i: int) -> None:
        token = self._tokens[i]
        if token.text in SOFT_KEYWORDS and self._is_keyword(i):
            token.type = token.text.upper()
            if token.type == "TYPE":
                self._declare_ahead(i)
            return
        previous = self._tokens[i - 1].type if i else "_SEMICOLON"
        following = self._peek(i + 1).type
        if previous in ("DOT", "_AT"):
            absolute = previous == "DOT" and self._prefix_dot(i - 1)
            is_type = absolute and self._scopes[0].names.get(token.text, False)
            token.type = "TYPE_IDENTIFIER" if is_type else "IDENTIFIER"
            return
        if previous == "EXTERN" and self._extern_is_type(i - 1):
            token.type = "IDENTIFIER"  # what the grammar wants; it is declared as a type already
            return
        if previous in ("TABLE", "STATE"):
            self._declare(token.text, False)
            token.type = "IDENTIFIER"
            return
        if following == "LESS" and self._is_prototype(i, previous):
            self._scopes.append(_Scope(self._braces, False, ""))
            self._type_parameters(i + 1)
            before = self._tokens[i - 1]
            if before.type == "IDENTIFIER" and self._is_type(before.text):
                before.type = "TYPE_IDENTIFIER"
            token.type = "IDENTIFIER"
            return
        is_type = self._is_type(token.text)
        declares = previous in _TYPE_ENDS and following in _NAME_ENDS
        if is_type and declares and id(token) not in self._new_types:
            self._declare(token.text, False)
            is_type = False
        token.type = "TYPE_IDENTIFIER" if is_type else "IDENTIFIER"

    def _prefix_dot(self, i: int) -> bool:
        """Is the dot at i the global-scope prefix (`.name`), not member access?"""
        before = self._tokens[i - 1].type if i else "_SEMICOLON"
        return before not in (
            "IDENTIFIER", "TYPE_IDENTIFIER", "_RPAR", "_RSQB", "THIS", "ERROR", "_RANGLE", "_RBRACE"
        )  # fmt: skip

    def _is_prototype(self, i: int, previous: str) -> bool:
        """Is the word at i the name of a generic function or method being declared?"""
        if self._parens or previous not in (*_TYPE_ENDS, "VOID", "IDENTIFIER"):
            return False
        end = self._close_of(i + 1)
        return end is not None and self._peek(end + 1).type == "LPAR"

    def _is_keyword(self, i: int) -> bool:
        word = self._tokens[i].text
        previous = self._tokens[i - 1].type if i else "_SEMICOLON"
        following = self._peek(i + 1)
        if previous in ("DOT", "_AT"):
            return False
        if word == "apply":
            return following.type == "LBRACE"
        if word == "list":
            return following.type == "LESS"
        if word == "state":
            return self._is_word(i + 1) and self._peek(i + 2).type == "LBRACE"
        if word == "type":
            starts = previous in ("_SEMICOLON", "_RBRACE", "ANNOTATION_BODY", "IDENTIFIER")
            starts = starts or i == 0 or previous == "_RSQB"
            return (
                starts
                and not self._parens
                and (self._is_word(i + 1) or following.type in (*_BASE_TYPES, "DOT"))
            )
        if word == "priority":
            return self._scopes[-1].block == "entries" and following.type == "_EQUAL"
        in_table = self._scopes[-1].block == "table"
        return in_table and following.type == "_EQUAL" and self._peek(i + 2).type == "LBRACE"

    # ------------------------------------------------------------------------------ angles

    def _opens_type_list(self, i: int) -> bool:
        before = self._tokens[i - 1] if i else self._tokens[i]
        if before.type in _ANGLED or before.type == "TYPE_IDENTIFIER":
            return True
        if before.type not in ("IDENTIFIER", "APPLY"):
            return False
        if self._scopes[-1].depth == self._braces and not self._scopes[-1].is_block:
            end = self._close_of(i)
            if end is not None and self._names_only(i + 1, end):
                return True
        first = self._peek(i + 1)
        typish = first.type in _BASE_TYPES or first.type == "DONTCARE"
        if not typish and not (first.type == "WORD" and self._is_type(first.text)):
            return False
        end = self._close_of(i)
        return end is not None and self._peek(end + 1).type == "LPAR"

    def _names_only(self, start: int, end: int) -> bool:
        """Only declared type parameters between start and end?"""
        words = [t for t in self._tokens[start:end] if t.type != "_COMMA"]
        return all(t.type == "WORD" and self._scopes[-1].names.get(t.text) for t in words)

    def _close_of(self, i: int) -> int | None:
        """Index of the `>` (or `>>`) that closes the `<` at i, were it a type list."""
        depth = parens = 0
        for j in range(i, min(len(self._tokens), i + 400)):
            token = self._tokens[j]
            kind = token.type
            if kind in ("LPAR", "LSQB"):
                parens += 1
            elif kind in ("_RPAR", "_RSQB"):
                parens -= 1
                if parens < 0:
                    return None
            elif parens:
                continue
            elif kind in ("LESS", "_LANGLE"):
                depth += 1
            elif kind in ("MORE", "_RANGLE") or token.text == ">>":
                depth -= len(token.text)
                if depth <= 0:
                    return j
            elif kind not in _LIST_TOKENS:
                return None
        return None

    def _close_angle(self, i: int) -> None:
        token = self._tokens[i]
        if not self._angles or self._angles[-1] != self._parens:
            token.type = "OPERATOR"
            return
        self._angles.pop()
        if token.text == ">>":
            place = token.location
            second = Token("MORE", ">", type(place)(place.file, place.line, place.column + 1))
            self._tokens.insert(i + 1, second)
        token.type, token.text = "_RANGLE", ">"


_LIST_TOKENS = _BASE_TYPES | {
    "WORD", "IDENTIFIER", "TYPE_IDENTIFIER", "_COMMA", "DOT", "DONTCARE", "INTEGER"
}  # fmt: skip


def classify(tokens: list[Token]) -> list[Token]:
    """Settle the kinds of all tokens, in place; returns the same list."""
    return Classifier(tokens).run()
