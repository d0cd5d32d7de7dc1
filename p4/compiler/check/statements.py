"""Statements (specification 1.2.5, sections 11 and 12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from weft.p4.compiler import ast
from weft.p4.compiler import types as t
from weft.p4.compiler.check.keysets import constant_pattern
from weft.p4.compiler.check.scope import Where
from weft.p4.compiler.check.wellformed import storable

if TYPE_CHECKING:
    from weft.p4.compiler.check.checker import Checker


#: Else-ifs nest in the tree, so honest programs have some hundreds.
MAX_NESTING = 400


class StatementChecker:
    def __init__(self, checker: Checker) -> None:
        self._c = checker
        self._depth = 0

    def block(self, block: ast.Block) -> None:
        with self._c.nested():
            self.sequence(block.items)

    def sequence(self, items: Sequence[ast.Statement]) -> None:
        for item in items:
            self.statement(item)

    def statement(self, s: ast.Statement) -> None:
        match s:
            case ast.Assignment():
                self._assignment(s)
            case ast.CallStatement():
                s.call = self._call(s.call)
            case ast.DirectApplication():
                self._c.calls.direct_application(s)
            case ast.Block():
                self.block(s)
            case ast.If():
                s.condition = self._c.expressions.condition(s.condition, "the condition of if")
                self._nested(s.then)
                if s.otherwise is not None:
                    self._nested(s.otherwise)
            case ast.Variable():
                self._hides_parameter(s)
                self.variable(s)
            case ast.Constant():
                self._c.declarations.constant(s)
            case ast.Return():
                self._return(s)
            case ast.Exit():
                self._only(s, "exit", {Where.CONTROL, Where.ACTION})
            case ast.Break() | ast.Continue():
                if not self._c.place.in_loop:
                    word = type(s).__name__.lower()
                    self._c.error(s.location, f"'{word}' may stand only in a loop")
            case ast.Switch():
                self._switch(s)
            case ast.For() | ast.ForIn():
                self._loop(s)

    def _nested(self, s: ast.Statement) -> None:
        """The branch of an if or the body of a loop: a scope of its own."""
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self._c.diagnostics.fatal(
                s.location, f"statements nested deeper than {MAX_NESTING} levels"
            )
        with self._c.nested():
            self.statement(s)
        self._depth -= 1

    def _only(self, s: ast.Node, word: str, places: set[Where]) -> None:
        if self._c.place.where not in places:
            self._c.error(s.location, f"'{word}' may not stand {self._c.place.where.value}")

    # -------------------------------------------------------------------------- assignment

    def _assignment(self, s: ast.Assignment) -> None:
        s.target = self._c.expressions.lvalue(s.target, "the left side of an assignment")
        wanted = s.target.type
        if s.op != "=":
            combined = ast.Binary(s.location, s.op[:-1], s.target, s.value)
            s.value = self._c.expressions.check(combined)
        else:
            s.value = self._c.expressions.check(s.value)
        if isinstance(wanted, t.Unknown):
            return
        if isinstance(wanted, t.Extern | t.Block | t.Callable):
            self._c.error(s.location, f"{wanted} cannot be assigned")
            return
        s.value = self._c.expressions.coerce(s.value, wanted, "this assignment")

    def _call(self, e: ast.Call) -> ast.Call:
        self._c.expressions.check(e)
        return e

    def variable(self, v: ast.Variable) -> None:
        v.type = self._c.types.resolve(v.type_ref)
        if not storable(v.type):
            self._c.error(v.type_ref.location, f"a variable cannot have type {v.type}")
            v.type = t.UNKNOWN
        if v.initializer is not None:
            v.initializer = self._c.expressions.typed(
                v.initializer, v.type, f"the initializer of '{v.name}'"
            )
        self._c.declare(v.name, v, v.name_location)

    def _hides_parameter(self, v: ast.Variable) -> None:
        """Among statements a parameter's name stays the parameter's, as in p4c."""
        found = self._c.scope.lookup(v.name)
        if found and isinstance(found[0], ast.Parameter):
            self._c.error(
                v.name_location, f"variable '{v.name}' would hide the parameter of this name",
                ("declared here", found[0].location),
            )  # fmt: skip

    def _return(self, s: ast.Return) -> None:
        place = self._c.place
        if place.where is Where.PARSER:
            self._c.error(s.location, "'return' may not stand in a parser")
        wanted = place.result or t.VOID
        if s.value is None:
            if wanted not in (t.VOID, t.UNKNOWN):
                self._c.error(s.location, f"this function must return a value of type {wanted}")
            return
        if wanted == t.VOID:
            self._c.expressions.check(s.value)
            self._c.error(s.value.location, f"no value can be returned {place.where.value} here")
            return
        s.value = self._c.expressions.typed(s.value, wanted, "the returned value")

    # ------------------------------------------------------------------------------- loops

    def _loop(self, s: ast.For | ast.ForIn) -> None:
        self._only(s, "for", {Where.CONTROL, Where.ACTION, Where.FUNCTION})
        place = self._c.place
        with self._c.nested():
            before, place.in_loop = place.in_loop, True
            if isinstance(s, ast.For):
                self.sequence(s.init)
                s.condition = self._c.expressions.condition(s.condition, "the condition of for")
                self.sequence(s.update)
            else:
                self._collection(s)
            self._nested(s.body)
            place.in_loop = before

    def _collection(self, s: ast.ForIn) -> None:
        variable = s.variable
        variable.type = wanted = self._c.types.resolve(variable.type_ref)
        self._c.declare(variable.name, variable, variable.name_location)
        check = self._c.expressions
        if isinstance(s.collection, ast.Range):
            if not isinstance(t.resolve_new(wanted), t.Bits | t.Unknown):
                self._c.error(variable.location, f"a variable of type {wanted} cannot count")
            s.collection.low = check.typed(s.collection.low, wanted, "the start of the range")
            s.collection.high = check.typed(s.collection.high, wanted, "the end of the range")
            return
        s.collection = collection = check.check(s.collection)
        match collection.type:
            case t.Unknown():
                return
            case t.Stack(element, _) | t.List(element):
                items: tuple[t.Type, ...] = (element,)
            case t.Tuple(parts):
                items = parts
            case t.Literal():
                s.collection = check.coerce(collection, t.List(wanted), "the elements to visit")
                return
            case _:
                self._c.error(collection.location, f"{collection.type} has no elements to visit")
                return
        for item in items:
            if item != wanted:
                self._c.error(variable.location, f"the elements are {item}, not {wanted}")
                return

    # ------------------------------------------------------------------------------ switch

    def _switch(self, s: ast.Switch) -> None:
        self._only(s, "switch", {Where.CONTROL, Where.ACTION, Where.FUNCTION})
        s.subject = self._c.expressions.check(s.subject)
        type_ = s.subject.type
        inner = t.resolve_new(type_)
        if isinstance(type_, t.ActionList):
            s.is_action_run = True
        elif not isinstance(inner, t.Bits | t.Enum | t.Unknown) and inner != t.ERROR:
            self._c.error(s.subject.location, f"a switch cannot be on {type_}")
            type_ = t.UNKNOWN
        seen: dict[object, ast.SwitchCase] = {}
        for index, case in enumerate(s.cases):
            key: object = "default"
            if isinstance(case.label, ast.Default):
                case.label.type = t.ANY
                if index != len(s.cases) - 1:
                    self._c.error(case.location, "'default' must be the last label of a switch")
            elif s.is_action_run:
                assert isinstance(type_, t.ActionList)
                key = self._action_label(case, type_.declaration)
            else:
                key = self._value_label(case, type_)
            if key is not None and key in seen:
                self._c.error(
                    case.location, "this label occurs twice", ("first here", seen[key].location)
                )
            elif key is not None:
                seen[key] = case
            if case.body is not None:
                self.block(case.body)
            elif index == len(s.cases) - 1:
                self._c.diagnostics.warning(case.location, "the last label has no statement")

    def _action_label(self, case: ast.SwitchCase, table: ast.Table) -> object:
        label = case.label
        if not isinstance(label, ast.Name):
            self._c.error(label.location, "this label must be the name of an action")
            return None
        found = self._c.lookup(label.name, label.absolute, label.location)
        listed = [a.target for a in table.actions or []]
        if found and found[0] not in listed:
            self._c.error(
                label.location, f"'{label.name}' is not an action of table {table.name}",
                ("the table", table.location),
            )  # fmt: skip
        label.type = t.ANY
        label.target = found[0] if found else None
        return label.target

    def _value_label(self, case: ast.SwitchCase, type_: t.Type) -> object:
        case.label = self._c.expressions.typed(case.label, type_, "this label")
        if not case.label.is_static and not isinstance(case.label.type, t.Unknown):
            self._c.error(case.label.location, "a switch label must be a compile-time constant")
        return constant_pattern(case.label)


def terminates(items: Sequence[ast.Statement]) -> bool:
    """Does every path through the statements end in return or exit?"""
    return any(_ends(s) for s in items)


def _ends(s: ast.Statement | None) -> bool:
    match s:
        case ast.Return() | ast.Exit():
            return True
        case ast.Block():
            return terminates(s.items)
        case ast.If():
            return _ends(s.then) and _ends(s.otherwise)
        case ast.Switch():
            complete = any(isinstance(c.label, ast.Default) for c in s.cases)
            return complete and all(c.body is None or _ends(c.body) for c in s.cases)
    return False
