"""Declarations: types, functions, parsers, controls, tables, and the program of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from weft.p4.compiler.ast.statements import (
    Assignment,
    Block,
    Break,
    CallStatement,
    Continue,
    DirectApplication,
    Empty,
    Exit,
    For,
    ForIn,
    If,
    Return,
    Switch,
)
from weft.p4.compiler.ast.types import Node
from weft.p4.compiler.source import Location

if TYPE_CHECKING:
    from weft.p4.compiler.ast.expressions import Argument, Expression
    from weft.p4.compiler.ast.types import Annotation, TypeRef
    from weft.p4.compiler.types import Type


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
