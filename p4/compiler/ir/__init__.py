"""The typed intermediate form: what every back end reads (code generator, switch, fit, P4Info).

It is what remains of a P4_16 program after type checking and elaboration (`elaborate/`): one tree
per *instance*, in which nothing is left to look up, infer, specialise or order.

What a reader may assume
  Names       Every use refers to its declaration object (`Variable`, `Action`, `Table`, ...),
              compared by identity. Named types (`StructType`, `HeaderType`, `HeaderUnionType`,
              `EnumType`) are interned per program: identity is type equality. Struct-like types
              are listed in `Program.types` so that each stands after the types it contains.
              `Variable.unique_name` is a C identifier, unique in its function, action, parser or
              control (control variables and those of its actions never share one).
  Types       Every expression has `.type`, never generic, never `int` (arbitrary precision):
              literals have taken the width their use gave them. `typedef` and `type` are erased
              (their names stay in `Field.type_name`, `Key.type_name`, `Variable.type_name` for
              P4Info). Tuples are structs with fields `f0, f1, ...` and `is_tuple`. Both operands
              of an operator have the same type, except shifts (right operand: any unsigned width)
              and CONCAT (left ++ right); all other conversions are `Cast` nodes. Arithmetic wraps
              modulo 2**width (two's complement for signed), SADD/SSUB saturate. A shift by >=
              width gives 0, or -1 for SHR of a negative signed value. Division or remainder by
              zero is defined here as 0.
  Purity      Expressions have no side effects and cannot fail; they may be evaluated in any
              order, twice, or not at all. Everything that has effects is a statement; calls
              inside source expressions were lifted, left to right, into statements with
              temporaries, and `&&`, `||`, `?:` whose later operands held calls became `If`, so
              short-circuit is kept.
  Values      Reads of an invalid header's fields give 0; writes to them are no-ops. A stack index
              out of range reads as an invalid header and writes nowhere. A slice has constant
              bounds. Reading never traps.
  Zero        Storage may arrive with any content: every variable is assigned before it is read on
              every path (declarations without initialiser and `out` parameters on entry are
              assigned a `ZeroValue`, where headers are invalid and stacks empty with next index
              0). In loops and parser states that holds on each pass.
  Calls       `in` and directionless arguments are expressions, `out`/`inout` arguments are
              l-values with no dynamic index left unfixed (indices sit in temporaries). Arguments
              may be passed by reference in both cases: where a source argument overlaps another
              argument or storage that the callee can reach, it was replaced by a temporary and
              `Call.copy_out` holds the assignments back. `copy_out` runs after the callee
              returns, also when the callee executed `exit`; afterwards an exit goes on outwards.
              Constructor arguments are folded into the instance. Default and named arguments are
              in place and in order. There is no recursion.
  Assign      The right side is of the left side's exact type. A `StructValue`/`StackValue` on the
              right never reads storage that the left side writes. Header assignment copies the
              validity bit too; assigning a `StructValue` of header type makes the header valid.
              Stack assignment copies next index.
  Unions      A header union is a struct of headers, of which elaboration keeps at most one valid:
              `SetValid`, `Extract` and assignments into members are followed by explicit
              statements that invalidate the others. A reader need not know unions at all, save
              for `Emit` and `IsValid`, which are already expanded to single headers. Equality of
              structs, headers, stacks and unions is expanded into that of their fields; only
              scalars, varbits, enums and errors are compared.
  Parsers     `Parser.prologue` runs once, then state `start`. `accept` and `reject` are targets,
              not states. The statements `Extract`, `Advance`, `Lookahead`, `Verify` and a sub-
              parser `Call` may fail: the parser error is set and control goes to `reject` of this
              and every calling parser at once (no copy_out). `Select` tries its cases in order;
              with none matching the error is NoMatch. `hs.next` and `hs.last` are lowered to a
              `Verify` against StackOutOfBounds and an `Index`; an `Extract` into `next` is
              followed by `IncrementNextIndex`. `push_front`/`pop_front` adjust next index as the
              specification says.
  Tables      `Table.prologue` computes what key expressions need and runs at each apply. Table
              actions take only control-plane parameters (direction NONE); source-level bound
              arguments (`a(x)`) were wrapped into an action of their own that keeps the control-
              plane name. The action-run result of `ApplyTable` is the index into `Table.actions`.
              The default action is always present (NoAction when the source gives none, then
              appended with `default_only`).
  Control     `Exit` leaves the whole top-level block (through all callers, running their
              copy_out); `Return` leaves the function, action or control body it stands in. `Loop`
              means: `while (true) { head; if (!condition) break; body; continue: step; }`. `Break`
              and `Continue` belong to the innermost `Loop`, also from inside a `Switch`.
  Integers    `Const.value` is a Python int, in range for its type: two's complement value for
              signed, 0/1 for bool, member index for plain enums (the value for serialisable
              ones), index into `Program.errors` for error.
"""

from __future__ import annotations

from weft.p4.compiler.ir.expressions import (
    Binary as Binary,
)
from weft.p4.compiler.ir.expressions import (
    BinaryOp as BinaryOp,
)
from weft.p4.compiler.ir.expressions import (
    Cast as Cast,
)
from weft.p4.compiler.ir.expressions import (
    Const as Const,
)
from weft.p4.compiler.ir.expressions import (
    Expression as Expression,
)
from weft.p4.compiler.ir.expressions import (
    Index as Index,
)
from weft.p4.compiler.ir.expressions import (
    InstanceRef as InstanceRef,
)
from weft.p4.compiler.ir.expressions import (
    IsValid as IsValid,
)
from weft.p4.compiler.ir.expressions import (
    LValue as LValue,
)
from weft.p4.compiler.ir.expressions import (
    Member as Member,
)
from weft.p4.compiler.ir.expressions import (
    Mux as Mux,
)
from weft.p4.compiler.ir.expressions import (
    NextIndex as NextIndex,
)
from weft.p4.compiler.ir.expressions import (
    Slice as Slice,
)
from weft.p4.compiler.ir.expressions import (
    StackValue as StackValue,
)
from weft.p4.compiler.ir.expressions import (
    StringConst as StringConst,
)
from weft.p4.compiler.ir.expressions import (
    StructValue as StructValue,
)
from weft.p4.compiler.ir.expressions import (
    Unary as Unary,
)
from weft.p4.compiler.ir.expressions import (
    UnaryOp as UnaryOp,
)
from weft.p4.compiler.ir.expressions import (
    VarRef as VarRef,
)
from weft.p4.compiler.ir.expressions import (
    ZeroValue as ZeroValue,
)
from weft.p4.compiler.ir.program import (
    ACCEPT as ACCEPT,
)
from weft.p4.compiler.ir.program import (
    REJECT as REJECT,
)
from weft.p4.compiler.ir.program import (
    START as START,
)
from weft.p4.compiler.ir.program import (
    Action as Action,
)
from weft.p4.compiler.ir.program import (
    ActionCall as ActionCall,
)
from weft.p4.compiler.ir.program import (
    Any as Any,
)
from weft.p4.compiler.ir.program import (
    Control as Control,
)
from weft.p4.compiler.ir.program import (
    Entry as Entry,
)
from weft.p4.compiler.ir.program import (
    Exact as Exact,
)
from weft.p4.compiler.ir.program import (
    ExternInstance as ExternInstance,
)
from weft.p4.compiler.ir.program import (
    Function as Function,
)
from weft.p4.compiler.ir.program import (
    Goto as Goto,
)
from weft.p4.compiler.ir.program import (
    InValueSet as InValueSet,
)
from weft.p4.compiler.ir.program import (
    Key as Key,
)
from weft.p4.compiler.ir.program import (
    Masked as Masked,
)
from weft.p4.compiler.ir.program import (
    Package as Package,
)
from weft.p4.compiler.ir.program import (
    Parser as Parser,
)
from weft.p4.compiler.ir.program import (
    Pattern as Pattern,
)
from weft.p4.compiler.ir.program import (
    Program as Program,
)
from weft.p4.compiler.ir.program import (
    Range as Range,
)
from weft.p4.compiler.ir.program import (
    Select as Select,
)
from weft.p4.compiler.ir.program import (
    SelectCase as SelectCase,
)
from weft.p4.compiler.ir.program import (
    State as State,
)
from weft.p4.compiler.ir.program import (
    Table as Table,
)
from weft.p4.compiler.ir.program import (
    TableAction as TableAction,
)
from weft.p4.compiler.ir.program import (
    ValueSet as ValueSet,
)
from weft.p4.compiler.ir.statements import (
    Advance as Advance,
)
from weft.p4.compiler.ir.statements import (
    ApplyTable as ApplyTable,
)
from weft.p4.compiler.ir.statements import (
    Argument as Argument,
)
from weft.p4.compiler.ir.statements import (
    Assign as Assign,
)
from weft.p4.compiler.ir.statements import (
    Block as Block,
)
from weft.p4.compiler.ir.statements import (
    Break as Break,
)
from weft.p4.compiler.ir.statements import (
    Call as Call,
)
from weft.p4.compiler.ir.statements import (
    Continue as Continue,
)
from weft.p4.compiler.ir.statements import (
    Emit as Emit,
)
from weft.p4.compiler.ir.statements import (
    Exit as Exit,
)
from weft.p4.compiler.ir.statements import (
    ExternCall as ExternCall,
)
from weft.p4.compiler.ir.statements import (
    Extract as Extract,
)
from weft.p4.compiler.ir.statements import (
    If as If,
)
from weft.p4.compiler.ir.statements import (
    IncrementNextIndex as IncrementNextIndex,
)
from weft.p4.compiler.ir.statements import (
    Lookahead as Lookahead,
)
from weft.p4.compiler.ir.statements import (
    Loop as Loop,
)
from weft.p4.compiler.ir.statements import (
    PacketLength as PacketLength,
)
from weft.p4.compiler.ir.statements import (
    PopFront as PopFront,
)
from weft.p4.compiler.ir.statements import (
    PushFront as PushFront,
)
from weft.p4.compiler.ir.statements import (
    Return as Return,
)
from weft.p4.compiler.ir.statements import (
    SetValid as SetValid,
)
from weft.p4.compiler.ir.statements import (
    Statement as Statement,
)
from weft.p4.compiler.ir.statements import (
    Switch as Switch,
)
from weft.p4.compiler.ir.statements import (
    SwitchCase as SwitchCase,
)
from weft.p4.compiler.ir.statements import (
    Verify as Verify,
)
from weft.p4.compiler.ir.types import (
    BIT32 as BIT32,
)
from weft.p4.compiler.ir.types import (
    BOOL as BOOL,
)
from weft.p4.compiler.ir.types import (
    STRING as STRING,
)
from weft.p4.compiler.ir.types import (
    VOID as VOID,
)
from weft.p4.compiler.ir.types import (
    Annotation as Annotation,
)
from weft.p4.compiler.ir.types import (
    BitsType as BitsType,
)
from weft.p4.compiler.ir.types import (
    BoolType as BoolType,
)
from weft.p4.compiler.ir.types import (
    Direction as Direction,
)
from weft.p4.compiler.ir.types import (
    EnumType as EnumType,
)
from weft.p4.compiler.ir.types import (
    ErrorType as ErrorType,
)
from weft.p4.compiler.ir.types import (
    Field as Field,
)
from weft.p4.compiler.ir.types import (
    HeaderType as HeaderType,
)
from weft.p4.compiler.ir.types import (
    HeaderUnionType as HeaderUnionType,
)
from weft.p4.compiler.ir.types import (
    NamedType as NamedType,
)
from weft.p4.compiler.ir.types import (
    NewType as NewType,
)
from weft.p4.compiler.ir.types import (
    PacketType as PacketType,
)
from weft.p4.compiler.ir.types import (
    StackType as StackType,
)
from weft.p4.compiler.ir.types import (
    StringType as StringType,
)
from weft.p4.compiler.ir.types import (
    StructType as StructType,
)
from weft.p4.compiler.ir.types import (
    Type as Type,
)
from weft.p4.compiler.ir.types import (
    VarbitType as VarbitType,
)
from weft.p4.compiler.ir.types import (
    Variable as Variable,
)
from weft.p4.compiler.ir.types import (
    VariableKind as VariableKind,
)
from weft.p4.compiler.ir.types import (
    VoidType as VoidType,
)
