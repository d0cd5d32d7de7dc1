"""Expressions, calls and key sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from weft.p4.compiler.ast.types import Node
from weft.p4.compiler.source import Location

if TYPE_CHECKING:
    from weft.p4.compiler.ast.types import TypeRef
    from weft.p4.compiler.types import Type
    from weft.p4.compiler.values import Value


@dataclass(slots=True, eq=False)
class Expression(Node):
    #: Set by the checker; `value` only where the value is known at compile time already.
    type: Type = field(init=False, repr=False)
    value: Value | None = field(init=False, default=None, repr=False)
    #: Known when instances are made: literals, constants, constructor parameters, and what is
    #: made of them.
    is_static: bool = field(init=False, default=False, repr=False)
    is_lvalue: bool = field(init=False, default=False, repr=False)


@dataclass(slots=True, eq=False)
class Integer(Expression):
    number: int
    width: int | None
    signed: bool
    text: str


@dataclass(slots=True, eq=False)
class Boolean(Expression):
    truth: bool


@dataclass(slots=True, eq=False)
class String(Expression):
    text: str  # without quotes, escapes resolved


@dataclass(slots=True, eq=False)
class Name(Expression):
    name: str
    absolute: bool = False
    target: Any = field(init=False, default=None, repr=False)  # the declaration (checker)


@dataclass(slots=True, eq=False)
class This(Expression):
    pass


@dataclass(slots=True, eq=False)
class Dots(Expression):
    pass


@dataclass(slots=True, eq=False)
class InvalidHeader(Expression):
    pass


@dataclass(slots=True, eq=False)
class ListExpression(Expression):
    items: list[Expression]


@dataclass(slots=True, eq=False)
class StructExpression(Expression):
    pairs: list[tuple[str, Expression]]
    has_dots: bool


@dataclass(slots=True, eq=False)
class Member(Expression):
    base: Expression
    name: str
    name_location: Location


@dataclass(slots=True, eq=False)
class TypeMember(Expression):
    """`EnumType.member`, `error.Member`, or `ControlType.apply` before its arguments."""

    base: TypeRef
    name: str
    name_location: Location


@dataclass(slots=True, eq=False)
class Index(Expression):
    base: Expression
    index: Expression


@dataclass(slots=True, eq=False)
class Slice(Expression):
    """`base[high:low]`, or `base[low +: width]` when `plus`: then `high` holds the low bound."""

    base: Expression
    high: Expression
    low: Expression
    plus: bool = False


@dataclass(slots=True, eq=False)
class Unary(Expression):
    op: str
    operand: Expression


@dataclass(slots=True, eq=False)
class Binary(Expression):
    op: str
    left: Expression
    right: Expression


@dataclass(slots=True, eq=False)
class Ternary(Expression):
    condition: Expression
    then: Expression
    otherwise: Expression


@dataclass(slots=True, eq=False)
class Cast(Expression):
    target: TypeRef
    operand: Expression


@dataclass(slots=True, eq=False)
class ImplicitCast(Expression):
    """Put in by the checker; `type` is the target."""

    operand: Expression


@dataclass(slots=True, eq=False)
class Argument(Node):
    """`value` is None for `_`."""

    name: str | None
    value: Expression | None


@dataclass(slots=True, eq=False)
class Call(Expression):
    callee: Expression
    type_arguments: list[TypeRef]
    arguments: list[Argument]
    resolved: Any = field(init=False, default=None, repr=False)  # checker's ResolvedCall


@dataclass(slots=True, eq=False)
class ConstructorCall(Expression):
    target: TypeRef
    arguments: list[Argument]
    resolved: Any = field(init=False, default=None, repr=False)  # checker's ResolvedCall


# Key sets (in select cases and entries)


@dataclass(slots=True, eq=False)
class Default(Expression):
    pass


@dataclass(slots=True, eq=False)
class DontCare(Expression):
    pass


@dataclass(slots=True, eq=False)
class Mask(Expression):
    base: Expression
    mask: Expression


@dataclass(slots=True, eq=False)
class Range(Expression):
    low: Expression
    high: Expression


@dataclass(slots=True, eq=False)
class TupleKeyset(Expression):
    items: list[Expression]
