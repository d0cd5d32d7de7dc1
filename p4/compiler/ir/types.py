"""Types and variables of the IR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from weft.p4.compiler.source import NOWHERE, Location


@dataclass(frozen=True, slots=True)
class BitsType:
    """`bit<width>` or, when signed, `int<width>`; width in bits, 0 allowed."""

    width: int
    signed: bool = False


@dataclass(frozen=True, slots=True)
class VarbitType:
    """`varbit<max_width>`: a bit string with a current length of 0..max_width bits."""

    max_width: int


@dataclass(frozen=True, slots=True)
class BoolType:
    """`bool`; one bit when it stands in a header."""


@dataclass(frozen=True, slots=True)
class ErrorType:
    """`error`; values index `Program.errors`."""


@dataclass(frozen=True, slots=True)
class StringType:
    """Compile-time text; appears only as an argument of externs."""


@dataclass(frozen=True, slots=True)
class VoidType:
    """The result type of a function that returns nothing."""


@dataclass(frozen=True, slots=True)
class PacketType:
    """An extern that a block gets as a parameter: packet_in, packet_out, or another."""

    name: str


@dataclass(frozen=True, slots=True)
class Annotation:
    """`@name`, `@name(...)` or `@name[...]`.

    `values` holds the folded expressions or the raw tokens of the body (ints, strings,
    identifiers as str), `keywords` the pairs of a structured key-value list.
    """

    name: str
    values: tuple[object, ...] = ()
    keywords: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class EnumType:
    """An enum; serialisable when `underlying` is set: then `members[i]` stands for `values[i]`."""

    name: str
    members: tuple[str, ...]
    underlying: BitsType | None = None
    values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    type: Type
    type_name: str | None = None  # the typedef/newtype the source named, if any
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True, slots=True)
class NewType:
    """`type underlying name`: erased from types, kept for P4Info (translation annotations)."""

    name: str
    underlying: Type
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class StructType:
    name: str
    fields: tuple[Field, ...]
    is_tuple: bool = False
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class HeaderType:
    """Fields in wire order; struct fields nest; at most one varbit."""

    name: str
    fields: tuple[Field, ...]
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class HeaderUnionType:
    name: str
    fields: tuple[Field, ...]
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True, slots=True)
class StackType:
    """`element[size]`; element is a header or a header union; has a next index in 0..size."""

    element: HeaderType | HeaderUnionType
    size: int


BOOL = BoolType()
BIT32 = BitsType(32)
STRING = StringType()
VOID = VoidType()

NamedType = EnumType | StructType | HeaderType | HeaderUnionType
Type = (
    BitsType
    | VarbitType
    | BoolType
    | ErrorType
    | StringType
    | VoidType
    | PacketType
    | EnumType
    | StructType
    | HeaderType
    | HeaderUnionType
    | StackType
)


class Direction(Enum):
    NONE = ""
    IN = "in"
    OUT = "out"
    INOUT = "inout"


class VariableKind(Enum):
    PARAMETER = "parameter"
    LOCAL = "local"
    TEMPORARY = "temporary"


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """One storage location: a parameter, a declared variable, or a temporary of elaboration."""

    name: str  # as in the source; for temporaries a made-up one
    unique_name: str
    type: Type
    kind: VariableKind
    direction: Direction = Direction.NONE  # meaningful for parameters
    location: Location = NOWHERE
    type_name: str | None = None
    annotations: tuple[Annotation, ...] = ()

    @property
    def control_plane_name(self) -> str:
        """What `@name` says, else the name: for parameters of actions."""
        given = [a.values[0] for a in self.annotations if a.name == "name" and a.values]
        return str(given[0]) if given else self.name
