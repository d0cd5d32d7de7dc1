"""Pretty-printer: syntax tree to source text.

Parsing the text gives the same tree, and printing that gives the same text (a fixed point); tests
hold it to that. Parentheses are set where precedence needs them. Comments, when given, are put
back before the declaration, statement or field that followed them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from weft.p4.compiler import ast
from weft.p4.compiler.comments import Comment
from weft.p4.compiler.printer_expressions import (
    annotation_text,
    arguments_text,
    expression_text,
    type_text,
)

__all__ = ["expression_text", "format_program", "type_text"]

_INDENT = "    "
_WIDTH = 100


def format_program(
    program: ast.Program, file: str | None = None, comments: Sequence[Comment] = ()
) -> str:
    """The declarations of `file` (all when None) as text, with the comments of that file."""
    printer = Printer(list(comments) if file is not None else [])
    for declaration in program.declarations:
        if file is None or declaration.location.file == file:
            printer.declaration(declaration)
    printer.flush_comments(1 << 60)
    return printer.text()


class Printer:
    """Collects lines; one method per kind of node."""

    def __init__(self, comments: list[Comment]) -> None:
        self._lines: list[str] = []
        self._depth = 0
        self._comments = comments

    def text(self) -> str:
        return "\n".join(self._lines).strip("\n") + "\n"

    def line(self, text: str, node: ast.Node | None = None) -> None:
        if node is not None:
            self.flush_comments(node.location.line)
        tail = ""
        if node is not None and self._comments and text.endswith((";", ",")):
            following = self._comments[0]
            if following.trailing and following.line == node.location.line:
                tail = "  " + self._comments.pop(0).text
        self._lines.append(_INDENT * self._depth + text + tail if text else "")

    def flush_comments(self, before: int) -> None:
        while self._comments and self._comments[0].line < before:
            for part in self._comments.pop(0).text.split("\n"):
                part = part.strip()
                pad = " " if part.startswith("*") else ""
                self._lines.append(_INDENT * self._depth + pad + part if part else "")

    @contextmanager
    def braces(self, head: str, node: ast.Node | None = None, tail: str = "}") -> Iterator[None]:
        self.line(head + " {" if head else "{", node)
        self._depth += 1
        yield
        self._depth -= 1
        self.line(tail)

    def blank(self) -> None:
        if self._lines and self._lines[-1]:
            self._lines.append("")

    def annotations(self, node: ast.Declaration, at: ast.Node | None = None) -> None:
        for annotation in node.annotations:
            self.line(annotation_text(annotation), at or node)

    # ------------------------------------------------------------------------ declarations

    def declaration(self, d: ast.Node) -> None:
        self.flush_comments(d.location.line)
        match d:
            case ast.Constant() | ast.Variable():
                self._variable(d)
            case ast.Errors() | ast.MatchKinds():
                word = "error" if isinstance(d, ast.Errors) else "match_kind"
                self._members(word, [n for n, _ in d.names], d)
            case ast.Struct():
                self._struct(d)
            case ast.Enum():
                self._enum(d)
            case ast.Typedef():
                self._typedef(d)
            case ast.ExternType():
                self._extern(d)
            case ast.ExternFunction():
                self.annotations(d)
                self.line("extern " + _prototype(d.prototype) + ";", d)
            case ast.Function():
                self._function(d)
            case ast.Action():
                self.blank()
                self.annotations(d)
                with self.braces(f"action {d.name}({_parameters(d.parameters)})", d):
                    self._items(d.body.items)
            case ast.BlockType():
                self.annotations(d)
                self._long(_block_type(d) + ";", d)
            case ast.Parser() | ast.Control():
                self._block(d)
            case ast.Instantiation():
                self._instantiation(d)
            case ast.Table():
                self._table(d)
            case ast.ValueSet():
                self.annotations(d)
                element, size = type_text(d.element), expression_text(d.size)
                self.line(f"value_set<{element}>({size}) {d.name};", d)

    def _long(self, text: str, node: ast.Node) -> None:
        """A signature; broken after commas when it is too long for a line."""
        if len(text) + len(_INDENT) * self._depth <= _WIDTH or "(" not in text:
            self.line(text, node)
            return
        indent = " " * (text.index("(") + 1)
        line = ""
        for part in re.split(r"(?<=, )", text):
            if line.strip() and len(line) + len(part) + len(_INDENT) * self._depth > _WIDTH:
                self.line(line.rstrip(), node)
                line = indent
            line += part
        self.line(line, node)

    def _variable(self, d: ast.Constant | ast.Variable) -> None:
        prefix = "".join(annotation_text(a) + " " for a in d.annotations)
        const = "const " if isinstance(d, ast.Constant) else ""
        value = "" if d.initializer is None else f" = {expression_text(d.initializer)}"
        self.line(f"{prefix}{const}{type_text(d.type_ref)} {d.name}{value};", d)

    def _members(self, head: str, names: Sequence[str], node: ast.Node) -> None:
        self.blank()
        with self.braces(head, node):
            for index, name in enumerate(names):
                self.line(name + ("," if index < len(names) - 1 else ""))

    def _struct(self, d: ast.Struct) -> None:
        self.blank()
        self.annotations(d)
        with self.braces(f"{d.kind} {d.name}{_type_parameters(d.type_parameters)}", d):
            for field in d.fields:
                prefix = "".join(annotation_text(a) + " " for a in field.annotations)
                self.line(f"{prefix}{type_text(field.type_ref)} {field.name};", field)
        self.blank()

    def _enum(self, d: ast.Enum) -> None:
        self.annotations(d)
        if d.underlying is None:
            self._members(f"enum {d.name}", [m.name for m in d.members], d)
            return
        members = [
            f"{m.name} = {expression_text(m.initializer)}" for m in d.members if m.initializer
        ]
        self._members(f"enum {type_text(d.underlying)} {d.name}", members, d)

    def _typedef(self, d: ast.Typedef) -> None:
        self.annotations(d)
        word = "type" if d.is_new else "typedef"
        if isinstance(d.target, ast.Struct | ast.Enum):
            inner = Printer([])
            inner.declaration(d.target)
            self.line(f"{word} {' '.join(inner.text().split())} {d.name};", d)
            return
        self.line(f"{word} {type_text(d.target)} {d.name};", d)

    def _extern(self, d: ast.ExternType) -> None:
        self.blank()
        self.annotations(d)
        with self.braces(f"extern {d.name}{_type_parameters(d.type_parameters)}", d):
            for method in d.methods:
                self.annotations(method)
                if method.is_constructor:
                    self.line(f"{method.name}({_parameters(method.parameters)});", method)
                else:
                    abstract = "abstract " if method.is_abstract else ""
                    self.line(abstract + _prototype(method) + ";", method)

    def _function(self, d: ast.Function) -> None:
        self.blank()
        self.annotations(d)
        with self.braces(_prototype(d.prototype), d):
            self._items(d.body.items)

    def _block(self, d: ast.Parser | ast.Control) -> None:
        self.blank()
        self.annotations(d)
        head = _block_type(d.signature)
        if d.constructor_parameters:
            head += f"({_parameters(d.constructor_parameters)})"
        self._long(head + " {", d)
        self._depth += 1
        for local in d.locals:
            self.declaration(local)
        if isinstance(d, ast.Parser):
            for state in d.states:
                self._state(state)
        else:
            self.blank()
            self._nested("apply", d.body)
        self._depth -= 1
        self.line("}")
        self.blank()

    def _instantiation(self, d: ast.Instantiation) -> None:
        prefix = "".join(annotation_text(a) + " " for a in d.annotations)
        head = f"{prefix}{type_text(d.type_ref)}{arguments_text(d.arguments)} {d.name}"
        if d.initializer is None:
            self.line(head + ";", d)
            return
        with self.braces(head + " =", d, "};"):
            for item in d.initializer:
                self.declaration(item)

    def _state(self, state: ast.State) -> None:
        self.blank()
        self.annotations(state)
        with self.braces(f"state {state.name}", state):
            self._items(state.body)
            transition = state.transition
            if transition is None:
                return
            if transition.target is not None:
                self.line(f"transition {transition.target};", transition)
                return
            keys = ", ".join(map(expression_text, transition.keys))
            with self.braces(f"transition select({keys})", transition):
                for case in transition.cases:
                    self.line(f"{expression_text(case.keyset)}: {case.target};", case)

    # ------------------------------------------------------------------------------ tables

    def _table(self, d: ast.Table) -> None:
        self.blank()
        self.annotations(d)
        properties = {p.name: p for p in d.properties}
        with self.braces(f"table {d.name}", d):
            for name in d.order:
                if name == "keys":
                    self._keys(d.keys or [])
                elif name == "actions":
                    self._action_list(d.actions or [])
                elif name == "entries":
                    self._entries(d.entries)
                else:
                    p = properties[name]
                    prefix = "".join(annotation_text(a) + " " for a in p.annotations)
                    const = "const " if p.is_const else ""
                    self.line(f"{prefix}{const}{p.name} = {expression_text(p.value)};", p)

    def _keys(self, keys: Sequence[ast.KeyElement]) -> None:
        with self.braces("key ="):
            for key in keys:
                suffix = "".join(" " + annotation_text(a) for a in key.annotations)
                text = expression_text(key.expression)
                self.line(f"{text}: {key.match_kind}{suffix};", key)

    def _action_list(self, actions: Sequence[ast.ActionReference]) -> None:
        with self.braces("actions ="):
            for action in actions:
                prefix = "".join(annotation_text(a) + " " for a in action.annotations)
                self.line(f"{prefix}{_action_reference(action)};", action)

    def _entries(self, entries: ast.Entries | None) -> None:
        assert entries is not None
        prefix = "".join(annotation_text(a) + " " for a in entries.annotations)
        with self.braces(prefix + ("const " if entries.is_const else "") + "entries ="):
            for entry in entries.entries:
                head = "const " if entry.is_const else ""
                if entry.priority is not None:
                    priority = expression_text(entry.priority)
                    simple = isinstance(entry.priority, ast.Integer)
                    head += f"priority = {priority if simple else f'({priority})'}: "
                suffix = "".join(" " + annotation_text(a) for a in entry.annotations)
                action = _action_reference(entry.action)
                self.line(f"{head}{expression_text(entry.keyset)}: {action}{suffix};", entry)

    # -------------------------------------------------------------------------- statements

    def _items(self, items: Sequence[ast.Statement]) -> None:
        for item in items:
            self.statement(item)

    def statement(self, s: ast.Statement) -> None:
        match s:
            case ast.Constant() | ast.Variable():
                self._variable(s)
            case ast.Assignment() | ast.CallStatement() | ast.DirectApplication():
                self.line(_simple(s) + ";", s)
            case ast.Block():
                prefix = "".join(annotation_text(a) + " " for a in s.annotations)
                with self.braces(prefix.rstrip(), s):
                    self._items(s.items)
            case ast.If():
                self._if(s, "")
            case ast.Empty():
                self.line(";")
            case ast.Return(value=value):
                self.line("return;" if value is None else f"return {expression_text(value)};", s)
            case ast.Break():
                self.line("break;", s)
            case ast.Continue():
                self.line("continue;", s)
            case ast.Exit():
                self.line("exit;", s)
            case ast.Switch():
                self._switch(s)
            case ast.For() | ast.ForIn():
                self._for(s)

    def _if(self, s: ast.If, lead: str) -> None:
        """An if with its chain of else ifs, which the tree nests and the text does not."""
        chain: ast.Statement | None = s
        while isinstance(chain, ast.If):
            then = chain.then
            # Without braces an inner if would take this one's else.
            if chain.otherwise is not None and not isinstance(then, ast.Block) and _open(then):
                then = ast.Block(then.location, [], [then])
            self._nested(f"{lead}if ({expression_text(chain.condition)})", then, chain)
            lead = "else "
            chain = chain.otherwise
        if chain is not None:
            self._nested("else", chain)

    def _nested(self, head: str, s: ast.Statement, node: ast.Node | None = None) -> None:
        """`head` with its statement: on the same line when it is a block."""
        if isinstance(s, ast.Block) and not s.annotations:
            with self.braces(head, node):
                self._items(s.items)
            return
        self.line(head, node)
        self._depth += 1
        self.statement(s)
        self._depth -= 1

    def _switch(self, s: ast.Switch) -> None:
        with self.braces(f"switch ({expression_text(s.subject)})", s):
            for case in s.cases:
                label = expression_text(case.label)
                if case.body is None:
                    self.line(f"{label}:", case)
                else:
                    prefix = "".join(" " + annotation_text(a) for a in case.body.annotations)
                    with self.braces(f"{label}:{prefix}", case):
                        self._items(case.body.items)

    def _for(self, s: ast.For | ast.ForIn) -> None:
        prefix = "".join(annotation_text(a) + " " for a in s.annotations)
        if isinstance(s, ast.ForIn):
            marks = "".join(annotation_text(a) + " " for a in s.variable.annotations)
            variable = f"{marks}{type_text(s.variable.type_ref)} {s.variable.name}"
            head = f"for ({variable} in {expression_text(s.collection)})"
        else:
            init = ", ".join(map(_simple, s.init))
            update = ", ".join(map(_simple, s.update))
            head = f"for ({init}; {expression_text(s.condition)}; {update})"
        self._nested(prefix + head, s.body, s)


def _open(s: ast.Statement) -> bool:
    """Does the statement end with an if that could take a following else?"""
    match s:
        case ast.If():
            return s.otherwise is None or _open(s.otherwise)
        case ast.For() | ast.ForIn():
            return _open(s.body)
    return False


def _simple(s: ast.Statement) -> str:
    """A statement without its semicolon."""
    match s:
        case ast.Assignment():
            return f"{expression_text(s.target)} {s.op} {expression_text(s.value)}"
        case ast.CallStatement():
            return expression_text(s.call)
        case ast.DirectApplication():
            return f"{type_text(s.target)}.apply{arguments_text(s.arguments)}"
        case ast.Variable():
            value = "" if s.initializer is None else f" = {expression_text(s.initializer)}"
            prefix = "".join(annotation_text(a) + " " for a in s.annotations)
            return f"{prefix}{type_text(s.type_ref)} {s.name}{value}"
    raise AssertionError(s)


def _type_parameters(parameters: Sequence[ast.TypeParameter]) -> str:
    return f"<{', '.join(p.name for p in parameters)}>" if parameters else ""


def _parameters(parameters: Sequence[ast.Parameter]) -> str:
    parts: list[str] = []
    for p in parameters:
        words = [annotation_text(a) for a in p.annotations]
        words += [p.direction] if p.direction else []
        default = "" if p.default is None else f" = {expression_text(p.default)}"
        parts.append(" ".join([*words, type_text(p.type_ref), p.name]) + default)
    return ", ".join(parts)


def _prototype(p: ast.Prototype) -> str:
    types = _type_parameters(p.type_parameters)
    return f"{type_text(p.result)} {p.name}{types}({_parameters(p.parameters)})"


def _block_type(d: ast.BlockType) -> str:
    types = _type_parameters(d.type_parameters)
    return f"{d.kind} {d.name}{types}({_parameters(d.parameters)})"


def _action_reference(a: ast.ActionReference) -> str:
    name = ("." if a.absolute else "") + a.name
    return name if a.arguments is None else name + arguments_text(a.arguments)
