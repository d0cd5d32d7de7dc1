"""Expressions of the IR: typed, pure, total."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from weft.p4.compiler.ir.types import (
    BIT32,
    BOOL,
    STRING,
    StringType,
    Type,
    Variable,
)
from weft.p4.compiler.source import NOWHERE, Location

if TYPE_CHECKING:
    from weft.p4.compiler.ir.program import ExternInstance


class UnaryOp(Enum):
    NEG = "-"
    COMPLEMENT = "~"
    NOT = "!"


class BinaryOp(Enum):
    ADD = "+"
    SUB = "-"
    MUL = "*"
    DIV = "/"
    MOD = "%"
    SADD = "|+|"
    SSUB = "|-|"
    SHL = "<<"
    SHR = ">>"
    AND = "&"
    OR = "|"
    XOR = "^"
    EQ = "=="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    LAND = "&&"
    LOR = "||"
    CONCAT = "++"


@dataclass(frozen=True, slots=True)
class Const:
    """A value of bits, bool, enum or error type."""

    value: int
    type: Type
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class StringConst:
    value: str
    type: StringType = STRING
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class ZeroValue:
    """All bits zero, headers invalid, stacks empty, varbits of length 0; of any storable type."""

    type: Type
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class VarRef:
    variable: Variable
    type: Type
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Member:
    """`base.field`; base is of struct, header or header-union type."""

    base: Expression
    field: str
    type: Type
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Index:
    """`base[index]`; base is of stack type, index of any unsigned bits type (or a Const)."""

    base: Expression
    index: Expression
    type: Type
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class NextIndex:
    """The stack's next index, as bit<32>. (`lastIndex` is this minus one.)"""

    stack: Expression
    type: Type = BIT32
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Slice:
    """Bits high..low (inclusive, low = 0 is the least significant) of a bits value."""

    base: Expression
    high: int
    low: int
    type: Type
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Unary:
    op: UnaryOp
    operand: Expression
    type: Type
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Binary:
    op: BinaryOp
    left: Expression
    right: Expression
    type: Type
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Mux:
    """`condition ? then : otherwise`."""

    condition: Expression
    then: Expression
    otherwise: Expression
    type: Type
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Cast:
    """Explicit conversion among bits types, bool <-> bit<1>, serialisable enum <-> bits.

    Narrowing keeps the low bits; widening extends by the *operand's* signedness.
    """

    operand: Expression
    type: Type
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class IsValid:
    """Validity of one header (l-value or any header-typed expression)."""

    header: Expression
    type: Type = BOOL
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class StructValue:
    """A struct or (valid) header built from one value per field, in field order."""

    fields: tuple[Expression, ...]
    type: Type
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class StackValue:
    """A stack built from its elements; its next index is 0."""

    elements: tuple[Expression, ...]
    type: Type
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class InstanceRef:
    """An extern instance as an argument of an extern function or method."""

    instance: ExternInstance
    type: Type
    location: Location = NOWHERE


Expression = (
    Const
    | StringConst
    | ZeroValue
    | VarRef
    | Member
    | Index
    | NextIndex
    | Slice
    | Unary
    | Binary
    | Mux
    | Cast
    | IsValid
    | StructValue
    | StackValue
    | InstanceRef
)

#: VarRef, or Member/Index/Slice over an l-value (Slice only outermost).
LValue = VarRef | Member | Index | Slice
