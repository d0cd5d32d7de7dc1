"""Statements of the IR: everything that has an effect or may fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from weft.p4.compiler.ir.expressions import Const, Expression, LValue
from weft.p4.compiler.ir.types import VOID, Direction, Type, Variable
from weft.p4.compiler.source import NOWHERE, Location

if TYPE_CHECKING:
    from weft.p4.compiler.ir.program import Action, Control, ExternInstance, Function, Parser, Table


@dataclass(frozen=True, slots=True)
class Assign:
    target: LValue
    value: Expression
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class SetValid:
    """`header.setValid()` (fields keep their content) or `header.setInvalid()`."""

    header: LValue
    valid: bool
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class IncrementNextIndex:
    """Add one to the next index of a stack (after an Extract into `stack.next`)."""

    stack: LValue
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class PushFront:
    stack: LValue
    count: int
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class PopFront:
    stack: LValue
    count: int
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class If:
    condition: Expression
    then: Block
    otherwise: Block = ()
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class SwitchCase:
    labels: tuple[Const, ...]  # of the subject's type; () is the default case
    body: Block
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Switch:
    """At most one case runs, no fall-through; labels are distinct constants; default comes last."""

    subject: Expression
    cases: tuple[SwitchCase, ...]
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Loop:
    """`while (true) { head; if (!condition) break; body; continue: step; }`"""

    head: Block
    condition: Expression
    body: Block
    step: Block
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Break:
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Continue:
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Return:
    value: Expression | None = None
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Exit:
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Argument:
    name: str  # of the parameter
    direction: Direction
    value: Expression  # an LValue for OUT and INOUT
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Call:
    """Call of the program's own code; a control or parser callee is a sub-instance."""

    callee: Function | Action | Control | Parser
    arguments: tuple[Argument, ...]
    result: LValue | None = None
    copy_out: Block = ()
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class ApplyTable:
    table: Table
    hit: LValue | None = None  # bool
    action_run: LValue | None = None  # bit<32>: index into table.actions
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class ExternCall:
    """A call of an extern function (`instance` is None) or of a method of an extern instance.

    `instance` is a Variable where the block got the extern as a parameter of its own (externs that
    an architecture passes in, other than packet_in and packet_out).

    `type_arguments` are those of the function or method, in declaration order, inferred ones
    included. The methods of packet_in/packet_out, `verify` and `static_assert` never come here.
    """

    instance: ExternInstance | Variable | None
    method: str
    type_arguments: tuple[Type, ...]
    arguments: tuple[Argument, ...]
    result: LValue | None = None
    result_type: Type = VOID
    location: Location = NOWHERE


# What packet_in, packet_out and verify do. May fail where said (see "Parsers" above).


@dataclass(frozen=True, slots=True)
class Extract:
    """Fill the header from the packet, make it valid, advance. Fails: PacketTooShort.

    `varbit_size` (bits, bit<32>): fails with ParserInvalidArgument if not a multiple of 8, with
    HeaderTooShort if above the field's maximum.
    """

    packet: Variable
    header: LValue
    varbit_size: Expression | None = None
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Lookahead:
    """Read the target's width from the packet without advancing. Fails: PacketTooShort."""

    packet: Variable
    target: LValue  # bits, bool, serialisable enum, struct or header (becomes valid) of fixed width
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Advance:
    """Skip `bits` (bit<32>). Fails: PacketTooShort; ParserInvalidArgument unless whole bytes."""

    packet: Variable
    bits: Expression
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class PacketLength:
    """Store the packet's length in bytes into a bit<32> l-value."""

    packet: Variable
    target: LValue
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Emit:
    """Append one header if it is valid (structs, stacks and unions are already expanded)."""

    packet: Variable
    header: Expression
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True)
class Verify:
    """If the condition is false: set the parser error and go to reject."""

    condition: Expression
    error: Expression
    location: Location = NOWHERE


Statement = (
    Assign
    | SetValid
    | IncrementNextIndex
    | PushFront
    | PopFront
    | If
    | Switch
    | Loop
    | Break
    | Continue
    | Return
    | Exit
    | Call
    | ApplyTable
    | ExternCall
    | Extract
    | Lookahead
    | Advance
    | PacketLength
    | Emit
    | Verify
)
Block = tuple["Statement", ...]
