"""Declarations of the IR: functions, actions, externs, tables, parsers, controls, the program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from weft.p4.compiler.ir.expressions import Expression
from weft.p4.compiler.ir.statements import Block
from weft.p4.compiler.ir.types import Annotation, Field, NamedType, NewType, Type, Variable
from weft.p4.compiler.source import NOWHERE, Location


@dataclass(frozen=True, slots=True)
class Any:
    """`_` or `default`."""


@dataclass(frozen=True, slots=True)
class Exact:
    value: Expression


@dataclass(frozen=True, slots=True)
class Masked:
    """Matches x when x & mask == value & mask."""

    value: Expression
    mask: Expression


@dataclass(frozen=True, slots=True)
class Range:
    """Matches x when low <= x <= high."""

    low: Expression
    high: Expression


@dataclass(frozen=True, slots=True)
class InValueSet:
    """Matches when the value set has a member that matches: all keys when the pattern stands alone
    in its case, else the key in its place."""

    value_set: ValueSet


Pattern = Any | Exact | Masked | Range | InValueSet


@dataclass(slots=True, eq=False)
class Function:
    """A function specialised to its types. Also the implementation of an abstract extern method."""

    name: str
    unique_name: str
    parameters: tuple[Variable, ...]
    result_type: Type
    locals: tuple[Variable, ...] = ()
    body: Block = ()
    location: Location = NOWHERE
    annotations: tuple[Annotation, ...] = ()


@dataclass(slots=True, eq=False)
class Action:
    name: str  # as in the source
    control_plane_name: str  # dotted path of instances, @name applied
    unique_name: str  # a C identifier, unique in the program
    parameters: tuple[Variable, ...]
    locals: tuple[Variable, ...] = ()
    body: Block = ()
    location: Location = NOWHERE
    annotations: tuple[Annotation, ...] = ()


@dataclass(slots=True, eq=False)
class ExternInstance:
    """An instance of an extern type (register, counter, ...) with folded constructor arguments."""

    extern: str
    control_plane_name: str
    unique_name: str
    type_arguments: tuple[Type, ...]
    arguments: Mapping[str, Expression | ExternInstance]
    methods: Mapping[str, Function] = field(default_factory=dict)  # abstract ones, implemented
    location: Location = NOWHERE
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True, slots=True)
class Key:
    name: str  # control-plane name
    expression: Expression
    match_kind: str  # exact, lpm, ternary, range, optional, selector, or the user's own
    type_name: str | None = None
    annotations: tuple[Annotation, ...] = ()
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class TableAction:
    action: Action
    table_only: bool = False  # @tableonly: may not be the default action
    default_only: bool = False  # @defaultonly: may not be in entries
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True, slots=True)
class ActionCall:
    """An action with values for all its control-plane parameters."""

    action: Action
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A static entry; one pattern of constants per key, in key order."""

    patterns: tuple[Pattern, ...]
    call: ActionCall
    priority: int  # given or assigned by the rules of section 14.2.1.4; see largest_priority_wins
    is_const: bool
    annotations: tuple[Annotation, ...] = ()
    location: Location = NOWHERE


@dataclass(slots=True, eq=False)
class Table:
    name: str
    control_plane_name: str
    unique_name: str
    keys: tuple[Key, ...]
    actions: tuple[TableAction, ...]
    default_action: ActionCall
    default_is_const: bool
    entries: tuple[Entry, ...] = ()
    entries_are_const: bool = False
    largest_priority_wins: bool = True
    size: int | None = None
    properties: Mapping[str, Expression | ExternInstance | str] = field(default_factory=dict)
    #: `implementation`, `counters`, `meters`, `support_timeout`, ... as the architecture names them
    prologue: Block = ()
    locals: tuple[Variable, ...] = ()  # temporaries of the prologue
    location: Location = NOWHERE
    annotations: tuple[Annotation, ...] = ()


@dataclass(slots=True, eq=False)
class ValueSet:
    """A parser value set: the control plane fills it with up to `size` members.

    `keys` are the fields of the element type (one unnamed field for a scalar); `@match(kind)` on
    a field gives its match kind, exact otherwise.
    """

    name: str
    control_plane_name: str
    unique_name: str
    keys: tuple[Field, ...]
    size: int
    location: Location = NOWHERE
    annotations: tuple[Annotation, ...] = ()


ACCEPT = "accept"
REJECT = "reject"
START = "start"


@dataclass(frozen=True, slots=True)
class Goto:
    target: str  # a state's name, "accept" or "reject"
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class SelectCase:
    patterns: tuple[Pattern, ...]  # as many as the select has keys (a value set: one alone)
    target: str
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Select:
    keys: tuple[Expression, ...]
    cases: tuple[SelectCase, ...]
    location: Location = NOWHERE


@dataclass(slots=True, eq=False)
class State:
    name: str
    body: Block
    transition: Goto | Select
    location: Location = NOWHERE
    annotations: tuple[Annotation, ...] = ()


@dataclass(slots=True, eq=False)
class Parser:
    """One parser instance. `instances` are the externs and sub-parsers it owns."""

    type_name: str
    control_plane_name: str
    unique_name: str
    parameters: tuple[Variable, ...]
    locals: tuple[Variable, ...]
    prologue: Block
    states: Mapping[str, State]
    value_sets: tuple[ValueSet, ...] = ()
    externs: tuple[ExternInstance, ...] = ()
    children: tuple[Parser, ...] = ()
    location: Location = NOWHERE
    annotations: tuple[Annotation, ...] = ()


@dataclass(slots=True, eq=False)
class Control:
    """One control instance. `locals` live for one apply and are shared with its actions."""

    type_name: str
    control_plane_name: str
    unique_name: str
    parameters: tuple[Variable, ...]
    locals: tuple[Variable, ...]
    actions: tuple[Action, ...]
    tables: tuple[Table, ...]
    body: Block
    externs: tuple[ExternInstance, ...] = ()
    children: tuple[Control, ...] = ()
    location: Location = NOWHERE
    annotations: tuple[Annotation, ...] = ()


@dataclass(slots=True, eq=False)
class Package:
    """`main`: the package's type and its blocks by parameter name (p, vr, ig, eg, ck, dep)."""

    type_name: str
    arguments: Mapping[str, Parser | Control | ExternInstance | Package | Expression]
    type_arguments: tuple[Type, ...] = ()
    location: Location = NOWHERE
    annotations: tuple[Annotation, ...] = ()


@dataclass(slots=True, eq=False)
class Program:
    """A whole program; walk the instances from `main`."""

    main: Package
    types: tuple[NamedType, ...]
    errors: tuple[str, ...]  # index is the value; those of core.p4 come first, NoError is 0
    match_kinds: tuple[str, ...]
    functions: tuple[Function, ...] = ()  # callees before callers
    externs: tuple[ExternInstance, ...] = ()  # global ones
    actions: tuple[Action, ...] = ()  # global ones that are used
    new_types: Mapping[str, NewType] = field(default_factory=dict)  # by name
    source: str = ""  # path of the main file
