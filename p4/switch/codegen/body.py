"""Statements of the IR as C statements: the body of one function, action, parser or control.

Every body returns WF_DONE, WF_EXIT or WF_REJECT; callers run `copy_out` and pass an exit on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from weft.p4.compiler import ir
from weft.p4.compiler.ir.text import text
from weft.p4.compiler.source import Location
from weft.p4.switch.codegen import externs, packets
from weft.p4.switch.codegen.expressions import Expressions, element, member
from weft.p4.switch.codegen.layout import STANDARD, CodegenError, Layout, is_scalar, width


@dataclass
class Site:
    """Something that a trace event can name."""

    text: str
    location: Location


@dataclass
class Names:
    """What the whole program numbers, so that C code, runtime and control agree."""

    errors: tuple[str, ...]
    tables: list[ir.Table] = field(default_factory=list)
    owners: dict[int, ir.Control] = field(default_factory=dict)  # control of each action, by id
    registers: list[ir.ExternInstance] = field(default_factory=list)
    counters: list[ir.ExternInstance] = field(default_factory=list)
    meters: list[ir.ExternInstance] = field(default_factory=list)  # direct ones too
    profiles: list[ir.ExternInstance] = field(default_factory=list)
    sets: list[ir.ValueSet] = field(default_factory=list)
    digests: list[ir.Type] = field(default_factory=list)
    states: list[tuple[ir.Parser, ir.State]] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)

    def direct_table(self, instance: ir.ExternInstance, location: Location) -> int:
        """The table that a direct counter or meter belongs to."""
        for index, table in enumerate(self.tables):
            if any(value is instance for value in table.properties.values()):
                return index
        raise CodegenError(
            location, f"{instance.extern} '{instance.control_plane_name}' belongs to no table"
        )


class Body:
    def __init__(self, layout: Layout, names: Names, expressions: Expressions) -> None:
        self.layout, self.names, self.expressions = layout, names, expressions
        self.lines: list[str] = []
        self._count = 0
        self._loops: list[int] = []

    # ------------------------------------------------------------------------------ writing

    def line(self, text: str) -> None:
        self.lines.append(text)

    def fresh(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}_"

    def fail_if(self, condition: str, error: str) -> None:
        number = self.names.errors.index(error)
        self.line(f"if ({condition}) {{ pk->error = {number}; return WF_REJECT; }}")

    def trace(self, kind: str, target: ir.Expression, value: str) -> None:
        number = len(self.names.sites)
        self.names.sites.append(Site(text(target), target.location))
        self.line(f"WF_TRACE(WF_EVENT_{kind}, {number}, {value});")

    def locals(self, variables: Iterable[ir.Variable]) -> None:
        """Declares variables in C and says where they are. (Assigned before read, says the IR.)"""
        for variable in variables:
            self.expressions.places[variable] = f"v_{variable.unique_name}"
            storage = self.layout.storage(variable.type)
            self.line(f"{storage} v_{variable.unique_name} __attribute__((unused));")

    # --------------------------------------------------------------------------- statements

    def block(self, statements: ir.Block) -> None:
        for statement in statements:
            self._statements[type(statement)](self, statement)

    def _assign(self, s: ir.Assign) -> None:
        self.assign(s.target, s.value)

    def assign(self, target: ir.Expression, value: ir.Expression) -> None:
        type_ = target.type
        if is_scalar(type_):
            self.store(target, self.expressions.value(value))
            if not isinstance(target, ir.VarRef) and width(type_) <= 64:
                self.trace("ASSIGN", target, self.expressions.value(target))
            return
        place, guard = self.expressions.place(target), self.expressions.guard(target)
        if guard is not None:
            self.line(f"if ({guard}) {{")
        match value:
            case ir.ZeroValue():
                self.line(f"memset(&{place}, 0, sizeof {place});")
            case ir.StructValue(fields=fields):
                if isinstance(type_, ir.HeaderType):
                    self.line(f"{place}.valid = 1;")
                for index, part in enumerate(fields):
                    self.assign(member(target, index), part)
            case ir.StackValue(elements=elements):
                for index, part in enumerate(elements):
                    self.assign(element(target, index), part)
                self.line(f"{place}.next = 0;")
            case _:
                self.line(f"{place} = {self.expressions.readable(value)};")
        if guard is not None:
            self.line("}")

    def store(self, target: ir.Expression, value: str) -> None:
        """Assigns a computed value to a scalar l-value; slices and guards are seen to."""
        if isinstance(target, ir.Slice):
            self._store_slice(target, value)
            return
        guard, place = self.expressions.guard(target), self.expressions.place(target)
        cast = "" if width(target.type) > 128 else f"({self.layout.storage(target.type)})"
        assignment = f"{place} = {cast}({value});"
        self.line(assignment if guard is None else f"if ({guard}) {assignment}")

    def _store_slice(self, target: ir.Slice, value: str) -> None:
        bits = width(target.base.type)
        flat = ir.BitsType(bits)
        ones = (1 << (target.high + 1)) - (1 << target.low)
        kept = ir.Binary(
            ir.BinaryOp.AND, target.base, ir.Const(((1 << bits) - 1) ^ ones, flat), flat
        )
        piece = ir.Variable("piece", self.fresh("piece"), target.type, ir.VariableKind.TEMPORARY)
        self.line("{")
        self.locals([piece])
        self.store(ir.VarRef(piece, target.type), value)
        wide = ir.Cast(ir.VarRef(piece, target.type), flat)
        new: ir.Expression = ir.VarRef(piece, flat) if width(target.type) == bits else wide
        shifted = ir.Binary(ir.BinaryOp.SHL, new, ir.Const(target.low, ir.BIT32), flat)
        whole = ir.Binary(ir.BinaryOp.OR, kept, shifted, flat)
        self.store(target.base, self.expressions.value(whole))
        self.line("}")

    def _set_valid(self, s: ir.SetValid) -> None:
        self.line(f"{self.expressions.place(s.header)}.valid = {int(s.valid)};")

    def _increment(self, s: ir.IncrementNextIndex) -> None:
        self.line(f"{self.expressions.place(s.stack)}.next++;")

    def _push_front(self, s: ir.PushFront) -> None:
        stack, size = self._stack(s.stack)
        count = min(s.count, size)
        self.line(f"memmove({stack}.e + {count}, {stack}.e, {size - count} * sizeof *{stack}.e);")
        self.line(f"memset({stack}.e, 0, {count} * sizeof *{stack}.e);")
        self.line(f"{stack}.next += {count};")
        self.line(f"if ({stack}.next > {size}) {stack}.next = {size};")

    def _pop_front(self, s: ir.PopFront) -> None:
        stack, size = self._stack(s.stack)
        count = min(s.count, size)
        rest = size - count
        self.line(f"memmove({stack}.e, {stack}.e + {count}, {rest} * sizeof *{stack}.e);")
        self.line(f"memset({stack}.e + {rest}, 0, {count} * sizeof *{stack}.e);")
        self.line(f"{stack}.next = {stack}.next > {count} ? {stack}.next - {count} : 0;")

    def _stack(self, e: ir.LValue) -> tuple[str, int]:
        assert isinstance(e.type, ir.StackType)
        return self.expressions.place(e), e.type.size

    # ------------------------------------------------------------------------------ control

    def _if(self, s: ir.If) -> None:
        self.line(f"if ({self.expressions.value(s.condition)}) {{")
        self.block(s.then)
        if s.otherwise:
            self.line("} else {")
            self.block(s.otherwise)
        self.line("}")

    def _switch(self, s: ir.Switch) -> None:
        """A chain of ifs, which C compilers turn into a jump table where that is better."""
        subject = ir.Variable("subject", self.fresh("x"), s.subject.type, ir.VariableKind.TEMPORARY)
        self.line("{")
        self.locals([subject])
        self.store(ir.VarRef(subject, s.subject.type), self.expressions.value(s.subject))
        value = self.expressions.value(ir.VarRef(subject, s.subject.type))
        for case in s.cases:
            tests = [
                self.expressions.operate(
                    ir.BinaryOp.EQ, value, self.expressions.value(label), s.subject.type
                )
                for label in case.labels
            ]
            self.line(f"if ({' || '.join(tests) if tests else '1'}) {{")
            self.block(case.body)
            self.line("} else {")
        self.line("}" * (len(s.cases) + 1))

    def _loop(self, s: ir.Loop) -> None:
        self._count += 1
        number = self._count
        self._loops.append(number)
        self.line("for (;;) {")
        self.line("WF_STEP();")
        self.block(s.head)
        self.line(f"if (!{self.expressions.value(s.condition)}) break;")
        self.block(s.body)
        self.line(f"next{number}_: __attribute__((unused));")
        self.block(s.step)
        self.line("}")
        self.line(f"end{number}_: __attribute__((unused));")
        self._loops.pop()

    def _break(self, _: ir.Break) -> None:
        self.line(f"goto end{self._loops[-1]}_;")

    def _continue(self, _: ir.Continue) -> None:
        self.line(f"goto next{self._loops[-1]}_;")

    def _return(self, s: ir.Return) -> None:
        if s.value is not None:
            if is_scalar(s.value.type):
                storage = self.layout.storage(s.value.type)
                cast = "" if width(s.value.type) > 128 else f"({storage})"
                self.line(f"*result_ = {cast}({self.expressions.value(s.value)});")
            else:
                self.line(f"*result_ = {self.expressions.readable(s.value)};")
        self.line("return WF_DONE;")

    def _exit(self, _: ir.Exit) -> None:
        self.line("return WF_EXIT;")

    def _verify(self, s: ir.Verify) -> None:
        error = self.expressions.value(s.error)
        self.line(f"if (!{self.expressions.value(s.condition)}) {{")
        self.line(f"pk->error = (uint32_t){error}; return WF_REJECT; }}")

    # -------------------------------------------------------------------------------- calls

    def _call(self, s: ir.Call) -> None:
        given = ["pk"]
        if isinstance(s.callee, ir.Action) and id(s.callee) in self.names.owners:
            given.append("F")
        after: list[tuple[ir.LValue, str]] = []
        self.line("{")
        for parameter, argument in zip(s.callee.parameters, s.arguments, strict=True):
            if not isinstance(parameter.type, ir.PacketType):
                given.append(self._argument(parameter, argument, after))
        if isinstance(s.callee, ir.Function) and not isinstance(s.callee.result_type, ir.VoidType):
            result = self.fresh("r")
            self.line(f"{self.layout.storage(s.callee.result_type)} {result};")
            given.append(f"&{result}")
            if s.result is not None:
                after.append((s.result, result))
        returned = self.fresh("rc")
        name = f"fn_{s.callee.unique_name}"
        self.line(f"int {returned} = {name}({', '.join(given)});")
        self.line(f"if ({returned} == WF_REJECT) return WF_REJECT;")
        for target, source in after:
            if is_scalar(target.type):
                self.store(target, source)
            else:
                guard = self.expressions.guard(target)
                test = f"if ({guard}) " if guard is not None else ""
                self.line(f"{test}{self.expressions.place(target)} = {source};")
        self.block(s.copy_out)
        self.line(f"if ({returned}) return {returned};")
        self.line("}")

    def _argument(
        self, parameter: ir.Variable, a: ir.Argument, after: list[tuple[ir.LValue, str]]
    ) -> str:
        """What to pass. Scalars that are written go through a temporary: their storage in a header
        or in standard metadata may be guarded or of another size."""
        storage = self.layout.storage(parameter.type)
        written = a.direction in (ir.Direction.OUT, ir.Direction.INOUT)
        if is_scalar(parameter.type):
            cast = "" if width(parameter.type) > 128 else f"({storage})"
            if not written:
                return f"{cast}({self.expressions.value(a.value)})"
            name = self.fresh("a")
            self.line(f"{storage} {name} = {cast}({self.expressions.value(a.value)});")
            after.append((a.value, name))  # type: ignore[arg-type]
            return f"&{name}"
        if written and self.expressions.guard(a.value) is not None:
            name = self.fresh("a")
            self.line(f"{storage} {name} = {self.expressions.readable(a.value)};")
            after.append((a.value, name))  # type: ignore[arg-type]
            return f"&{name}"
        return f"&{self.expressions.readable(a.value)}"

    def _apply(self, s: ir.ApplyTable) -> None:
        index = next(i for i, t in enumerate(self.names.tables) if t is s.table)
        hit, run, returned = self.fresh("hit"), self.fresh("run"), self.fresh("rc")
        self.line(f"{{ uint32_t {hit} = 0, {run} = 0;")
        self.line(f"int {returned} = tb_{index}(pk, F, &{hit}, &{run});")
        if s.hit is not None:
            self.store(s.hit, hit)
        if s.action_run is not None:
            self.store(s.action_run, run)
        self.line(f"(void){hit}; (void){run}; if ({returned}) return {returned}; }}")

    def _extern(self, s: ir.ExternCall) -> None:
        externs.call(self, s)

    def _packet_length(self, s: ir.PacketLength) -> None:
        self.store(s.target, "pk->length")

    _statements: ClassVar[dict[type, Callable[..., None]]] = {
        ir.Assign: _assign, ir.SetValid: _set_valid, ir.IncrementNextIndex: _increment,
        ir.PushFront: _push_front, ir.PopFront: _pop_front, ir.If: _if, ir.Switch: _switch,
        ir.Loop: _loop, ir.Break: _break, ir.Continue: _continue, ir.Return: _return,
        ir.Exit: _exit, ir.Verify: _verify, ir.Call: _call, ir.ApplyTable: _apply,
        ir.ExternCall: _extern, ir.PacketLength: _packet_length, ir.Extract: packets.extract,
        ir.Lookahead: packets.lookahead, ir.Advance: packets.advance, ir.Emit: packets.emit,
    }  # fmt: skip


def is_standard(type_: ir.Type) -> bool:
    return isinstance(type_, ir.StructType) and type_.name == STANDARD
