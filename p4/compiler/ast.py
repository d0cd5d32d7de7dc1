"""Syntax tree of a P4_16 program, as the parser builds it and the printer prints it.

One class per construct of the specification's grammar. `location` is the place of the node's
first token. The checker fills `Expression.type` and `.value` and may put `ImplicitCast` nodes in;
all else stays as parsed. Parentheses are not kept: the printer sets those that precedence needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from weft.p4.compiler.source import Location

if TYPE_CHECKING:
    from weft.p4.compiler.types import Type
    from weft.p4.compiler.values import Value


@dataclass(slots=True, eq=False)
class Node:
    location: Location


# ------------------------------------------------------------------------------- annotations


@dataclass(slots=True, eq=False)
class Annotation(Node):
    """`tokens` for `@a(...)`, `items`/`pairs` for `@a[...]`; all None for a bare `@a`."""

    name: str
    tokens: list[str] | None = None
    items: list[Expression] | None = None
    pairs: list[tuple[str, Expression]] | None = None


# --------------------------------------------------------------------------- type references


@dataclass(slots=True, eq=False)
class BaseTypeRef(Node):
    """bool, error, string, match_kind, void, int, `_`, or a sized bit/int/varbit."""

    kind: str
    width: Expression | None = None


@dataclass(slots=True, eq=False)
class NamedTypeRef(Node):
    name: str
    absolute: bool = False
    arguments: list[TypeRef] | None = None


@dataclass(slots=True, eq=False)
class StackTypeRef(Node):
    element: TypeRef
    size: Expression


@dataclass(slots=True, eq=False)
class TupleTypeRef(Node):
    arguments: list[TypeRef]


@dataclass(slots=True, eq=False)
class ListTypeRef(Node):
    element: TypeRef


TypeRef = BaseTypeRef | NamedTypeRef | StackTypeRef | TupleTypeRef | ListTypeRef


# ------------------------------------------------------------------------------- expressions


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


# -------------------------------------------------------------------------------- statements


@dataclass(slots=True, eq=False)
class Assignment(Node):
    """`op` is "=" or a compound one such as "+="."""

    target: Expression
    op: str
    value: Expression


@dataclass(slots=True, eq=False)
class CallStatement(Node):
    call: Call


@dataclass(slots=True, eq=False)
class DirectApplication(Node):
    """`Type.apply(...)`: an anonymous instance, applied where it stands."""

    target: TypeRef
    arguments: list[Argument]
    resolved: Any = field(init=False, default=None, repr=False)


@dataclass(slots=True, eq=False)
class Block(Node):
    annotations: list[Annotation]
    items: list[Statement]


@dataclass(slots=True, eq=False)
class If(Node):
    condition: Expression
    then: Statement
    otherwise: Statement | None


@dataclass(slots=True, eq=False)
class Empty(Node):
    pass


@dataclass(slots=True, eq=False)
class Return(Node):
    value: Expression | None


@dataclass(slots=True, eq=False)
class Break(Node):
    pass


@dataclass(slots=True, eq=False)
class Continue(Node):
    pass


@dataclass(slots=True, eq=False)
class Exit(Node):
    pass


@dataclass(slots=True, eq=False)
class SwitchCase(Node):
    """`body` is None where the label falls through to the next one."""

    label: Expression
    body: Block | None


@dataclass(slots=True, eq=False)
class Switch(Node):
    subject: Expression
    cases: list[SwitchCase]
    is_action_run: bool = field(init=False, default=False)


@dataclass(slots=True, eq=False)
class For(Node):
    annotations: list[Annotation]
    init: list[Statement]
    condition: Expression
    update: list[Statement]
    body: Statement


@dataclass(slots=True, eq=False)
class ForIn(Node):
    annotations: list[Annotation]
    variable: Variable
    collection: Expression  # Range or a list/stack expression
    body: Statement


# ------------------------------------------------------------------------------ declarations


@dataclass(slots=True, eq=False)
class Declaration(Node):
    annotations: list[Annotation]
    name: str
    name_location: Location


@dataclass(slots=True, eq=False)
class Parameter(Declaration):
    direction: str
    type_ref: TypeRef
    default: Expression | None
    type: Type = field(init=False, repr=False)


@dataclass(slots=True, eq=False)
class Constant(Declaration):
    type_ref: TypeRef
    initializer: Expression
    type: Type = field(init=False, repr=False)


@dataclass(slots=True, eq=False)
class Variable(Declaration):
    type_ref: TypeRef
    initializer: Expression | None
    type: Type = field(init=False, repr=False)


@dataclass(slots=True, eq=False)
class Instantiation(Declaration):
    type_ref: TypeRef
    arguments: list[Argument]
    initializer: list[Function | Instantiation] | None
    type: Type = field(init=False, repr=False)
    resolved: Any = field(init=False, default=None, repr=False)


@dataclass(slots=True, eq=False)
class Field(Declaration):
    type_ref: TypeRef
    type: Type = field(init=False, repr=False)


@dataclass(slots=True, eq=False)
class Struct(Declaration):
    kind: str  # struct, header, header_union
    type_parameters: list[TypeParameter]
    fields: list[Field]


@dataclass(slots=True, eq=False)
class TypeParameter(Declaration):
    pass


@dataclass(slots=True, eq=False)
class EnumMember(Declaration):
    initializer: Expression | None


@dataclass(slots=True, eq=False)
class Enum(Declaration):
    underlying: TypeRef | None
    members: list[EnumMember]


@dataclass(slots=True, eq=False)
class Errors(Node):
    names: list[tuple[str, Location]]


@dataclass(slots=True, eq=False)
class MatchKinds(Node):
    names: list[tuple[str, Location]]


@dataclass(slots=True, eq=False)
class Typedef(Declaration):
    """`typedef`, or `type` when `is_new`; the target may declare a struct or enum itself."""

    is_new: bool
    target: TypeRef | Struct | Enum


@dataclass(slots=True, eq=False)
class Prototype(Declaration):
    """Signature of a function, an extern function or method."""

    result: TypeRef
    type_parameters: list[TypeParameter]
    parameters: list[Parameter]
    is_abstract: bool = False
    is_constructor: bool = False


@dataclass(slots=True, eq=False)
class Function(Declaration):
    prototype: Prototype
    body: Block


@dataclass(slots=True, eq=False)
class ExternFunction(Declaration):
    prototype: Prototype


@dataclass(slots=True, eq=False)
class ExternType(Declaration):
    type_parameters: list[TypeParameter]
    methods: list[Prototype]


@dataclass(slots=True, eq=False)
class BlockType(Declaration):
    """`parser P(...);`, `control C(...);` or `package K(...);`."""

    kind: str
    type_parameters: list[TypeParameter]
    parameters: list[Parameter]


@dataclass(slots=True, eq=False)
class Transition(Node):
    """To `target`, or by `keys` and `cases` when it is a select (then `target` is None)."""

    target: str | None
    target_location: Location
    keys: list[Expression] = field(default_factory=list)
    cases: list[SelectCase] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class SelectCase(Node):
    keyset: Expression
    target: str
    target_location: Location


@dataclass(slots=True, eq=False)
class State(Declaration):
    body: list[Statement]
    transition: Transition | None


@dataclass(slots=True, eq=False)
class ValueSet(Declaration):
    element: TypeRef
    size: Expression
    type: Type = field(init=False, repr=False)


@dataclass(slots=True, eq=False)
class Parser(Declaration):
    signature: BlockType
    constructor_parameters: list[Parameter]
    locals: list[Declaration]
    states: list[State]


@dataclass(slots=True, eq=False)
class Control(Declaration):
    signature: BlockType
    constructor_parameters: list[Parameter]
    locals: list[Declaration]
    body: Block


@dataclass(slots=True, eq=False)
class Action(Declaration):
    parameters: list[Parameter]
    body: Block


@dataclass(slots=True, eq=False)
class KeyElement(Node):
    expression: Expression
    match_kind: str
    match_kind_location: Location
    annotations: list[Annotation]


@dataclass(slots=True, eq=False)
class ActionReference(Node):
    """In `actions`, `default_action` and entries; `arguments` is None without parentheses."""

    annotations: list[Annotation]
    name: str
    absolute: bool
    arguments: list[Argument] | None
    target: Any = field(init=False, default=None, repr=False)
    resolved: Any = field(init=False, default=None, repr=False)


@dataclass(slots=True, eq=False)
class Entry(Node):
    is_const: bool
    priority: Expression | None
    keyset: Expression
    action: ActionReference
    annotations: list[Annotation]


@dataclass(slots=True, eq=False)
class Property(Node):
    """Any other table property, `default_action` and `size` included."""

    annotations: list[Annotation]
    is_const: bool
    name: str
    value: Expression


@dataclass(slots=True, eq=False)
class Entries(Node):
    annotations: list[Annotation]
    is_const: bool
    entries: list[Entry]


@dataclass(slots=True, eq=False)
class Table(Declaration):
    keys: list[KeyElement] | None
    actions: list[ActionReference] | None
    entries: Entries | None
    properties: list[Property]
    order: list[str]  # property names as written, for the printer
    default_action: ActionReference | None = field(init=False, default=None, repr=False)


@dataclass(slots=True, eq=False)
class Program(Node):
    declarations: list[Node]


Statement = (
    Assignment
    | CallStatement
    | DirectApplication
    | Block
    | If
    | Empty
    | Return
    | Break
    | Continue
    | Exit
    | Switch
    | For
    | ForIn
    | Constant
    | Variable
)
