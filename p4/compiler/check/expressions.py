"""Types and compile-time values of expressions (specification 1.2.5, section 8).

`check` returns the expression typed; operands may have been replaced by implicit casts. Calls
live in `calls.py`, key sets in `keysets.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.p4.compiler import ast, values
from weft.p4.compiler import types as t
from weft.p4.compiler.check.conversions import convert, why_not
from weft.p4.compiler.check.members import MemberChecker
from weft.p4.compiler.check.operators import OperatorChecker

if TYPE_CHECKING:
    from weft.p4.compiler.check.checker import Checker


class ExpressionChecker:
    def __init__(self, checker: Checker) -> None:
        self._c = checker
        self._members = MemberChecker(checker)
        self._operators = OperatorChecker(checker)

    # -------------------------------------------------------------------------- entrances

    def check(self, e: ast.Expression) -> ast.Expression:
        """Type the expression. A name that can only be called is an error here."""
        e = self.check_callable(e)
        if isinstance(e.type, t.Callable):
            self._c.error(e.location, f"a {e.type.what} cannot be used as a value; call it")
            e.type = t.UNKNOWN
        return e

    def check_callable(self, e: ast.Expression) -> ast.Expression:
        """As `check`, but names of functions, actions and methods are let through."""
        match e:
            case ast.Integer():
                return self._integer(e)
            case ast.Name():
                return self._name(e)
            case ast.Member():
                return self._members.member(e)
            case ast.Call():
                return self._c.calls.call(e)
            case ast.Binary():
                return self._operators.binary(e)
            case ast.Unary():
                return self._operators.unary(e)
            case ast.Ternary():
                return self._operators.ternary(e)
            case ast.Cast():
                return self._operators.cast(e)
            case ast.Slice():
                return self._members.slice(e)
            case ast.Index():
                return self._members.index(e)
            case ast.TypeMember():
                return self._members.type_member(e)
            case ast.ConstructorCall():
                return self._c.constructors.expression(e)
            case ast.ListExpression():
                return self._list(e)
            case ast.StructExpression():
                return self._record(e)
            case ast.Boolean(truth=value) | ast.String(text=value):
                e.type = t.BOOL if isinstance(value, bool) else t.STRING
                e.value, e.is_static = value, True
            case ast.InvalidHeader():
                e.type, e.is_static = t.InvalidHeader(), True
            case ast.Dots():
                e.type, e.is_static = t.Dots(), True
            case ast.This():
                self._this(e)
            case ast.ImplicitCast():
                return e
            case _:
                self._c.error(e.location, "a key set cannot be used as a value")
                e.type = t.UNKNOWN
        return e

    def typed(self, e: ast.Expression, wanted: t.Type, what: str) -> ast.Expression:
        """The expression as a value of the wanted type; reports when it cannot be one."""
        return self.coerce(self.check(e), wanted, what)

    def coerce(self, e: ast.Expression, wanted: t.Type, what: str) -> ast.Expression:
        """As `typed`, for an expression that is checked already."""
        result = convert(e, wanted, self._c.diagnostics)
        if result is None:
            self._c.error(
                e.location,
                f"{what}: expected {wanted}, found {e.type}{why_not(e.type, wanted)}",
            )
            e.type = t.UNKNOWN
            return e
        return result

    def condition(self, e: ast.Expression, what: str) -> ast.Expression:
        return self.typed(e, t.BOOL, what)

    def lvalue(self, e: ast.Expression, what: str) -> ast.Expression:
        """The expression as something that can be written to."""
        e = self.check(e)
        if not e.is_lvalue and not isinstance(e.type, t.Unknown):
            self._c.error(e.location, f"{what} must be something that can be written to")
            e.type = t.UNKNOWN
        return e

    # ---------------------------------------------------------------------------- literals

    def _integer(self, e: ast.Integer) -> ast.Expression:
        e.is_static = True
        if e.width is None:
            e.type, e.value = t.INT, e.number
            return e
        least = 1 if e.signed else 0
        if not least <= e.width <= 1 << 16:
            self._c.error(e.location, f"a literal cannot have a width of {e.width} bits")
            e.type = t.UNKNOWN
            return e
        type_ = t.Bits(e.width, e.signed)
        if not values.fits(e.number, type_):
            self._c.diagnostics.warning(
                e.location, f"{e.text} does not fit {type_} and is truncated"
            )
        e.type, e.value = type_, values.wrap(e.number, type_)
        return e

    def _list(self, e: ast.ListExpression) -> ast.Expression:
        e.items = [self.check(i) for i in e.items]
        for item in e.items[:-1]:
            if isinstance(item.type, t.Dots):
                self._c.error(item.location, "'...' must be the last element")
        e.type = t.Literal(tuple(i.type for i in e.items))
        e.is_static = all(i.is_static for i in e.items)
        known = [i.value for i in e.items]
        if all(v is not None for v in known):
            e.value = tuple(v for v in known if v is not None)
        return e

    def _record(self, e: ast.StructExpression) -> ast.Expression:
        e.pairs = [(name, self.check(item)) for name, item in e.pairs]
        names = [name for name, _ in e.pairs]
        for name in names:
            if names.count(name) > 1:
                self._c.error(e.location, f"field '{name}' is given twice")
                break
        e.type = t.Record(tuple(names), tuple(item.type for _, item in e.pairs))
        e.is_static = all(item.is_static for _, item in e.pairs)
        return e

    def _this(self, e: ast.This) -> None:
        e.type = self._c.place.this or t.UNKNOWN
        if self._c.place.this is None:
            self._c.error(e.location, "'this' may stand only in an abstract method's body")

    # ------------------------------------------------------------------------------- names

    def _name(self, e: ast.Name) -> ast.Expression:
        if e.name in self._c.match_kinds and not self._c.scope.lookup(e.name):
            number = list(self._c.match_kinds).index(e.name)
            e.type, e.is_static = t.MATCH_KIND, True
            e.value = values.MemberValue(t.MATCH_KIND, e.name, number)
            return e
        found = self._c.lookup(e.name, e.absolute, e.location)
        e.type = t.UNKNOWN
        if not found:
            return e
        target = found[0]
        e.target = target
        match target:
            case ast.Constant():
                e.type, e.value, e.is_static = target.type, target.initializer.value, True
            case ast.Variable():
                e.type, e.is_lvalue = target.type, True
            case ast.Parameter():
                self._parameter(e, target)
            case ast.Instantiation():
                e.type, e.is_static = target.type, True
            case ast.Table():
                e.type = t.Table(target)
            case ast.ValueSet():
                e.type = t.Set(target.type)
            case ast.Function() | ast.ExternFunction():
                e.type = t.Callable("function")
            case ast.Action():
                e.type = t.Callable("action")
            case ast.State():
                e.type = t.Callable("state")
            case _:
                self._c.error(e.location, f"'{e.name}' is a type, not a value")
        return e

    def _parameter(self, e: ast.Name, target: ast.Parameter) -> None:
        e.type = target.type
        e.is_lvalue = target.direction in ("out", "inout")
        e.is_static = target in self._c.declarations.constructor_parameters
