"""Statements: checked syntax to IR statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from weft.p4.compiler import ast, ir
from weft.p4.compiler import types as t
from weft.p4.compiler.elaborate import build
from weft.p4.compiler.source import Location

if TYPE_CHECKING:
    from weft.p4.compiler.elaborate.unit import Unit


class StatementLowering:
    def __init__(self, unit: Unit) -> None:
        self._u = unit

    def collect(self, items: Sequence[ast.Statement]) -> ir.Block:
        """The statements as a block of their own."""
        with self._u.block() as out:
            self.sequence(items)
        return tuple(out)

    def sequence(self, items: Sequence[ast.Statement]) -> None:
        for item in items:
            self.statement(item)

    def statement(self, s: ast.Statement) -> None:
        match s:
            case ast.Assignment():
                self._assignment(s)
            case ast.CallStatement():
                self._u.calls.statement(s.call)
            case ast.DirectApplication():
                instance = self._u.program.blocks.direct(s, self._u)
                self._u.instances.append(instance)
                self._u.calls.invoke(instance, s.resolved, s.location)
            case ast.Block():
                self.sequence(s.items)
            case ast.If():
                self._if(s)
            case ast.Variable():
                self._variable(s)
            case ast.Return():
                value = None if s.value is None else self._u.expressions.lower(s.value)
                self._u.emit(ir.Return(value, s.location))
            case ast.Exit():
                self._u.emit(ir.Exit(s.location))
            case ast.Break():
                self._u.emit(ir.Break(s.location))
            case ast.Continue():
                self._u.emit(ir.Continue(s.location))
            case ast.Switch():
                self._switch(s)
            case ast.For():
                self._for(s)
            case ast.ForIn():
                self._for_in(s)

    # -------------------------------------------------------------------------- assignment

    def _variable(self, s: ast.Variable) -> None:
        value = None if s.initializer is None else self._u.expressions.lower(s.initializer)
        variable = self._u.declare(s)
        target = ir.VarRef(variable, variable.type, s.location)
        if value is None:
            value = build.zero(variable.type, s.location)
        self._u.assign(target, value, s.location)

    def _assignment(self, s: ast.Assignment) -> None:
        lower = self._u.expressions
        slice_ = s.target
        if isinstance(slice_, ast.Slice) and slice_.plus and lower.static(slice_.high) is None:
            self._moving_slice(s, slice_)
            return
        if s.op != "=":
            target = lower.lvalue(s.target)
            lower.known[s.target] = target
            value = lower.lower(s.value)
            del lower.known[s.target]
            self._store(target, value, s.location)
            return
        mark = len(self._u.out)
        target = lower.lvalue(s.target) if _has_effects(s.target) else lower.place(s.target)
        before = len(self._u.out)
        value = lower.lower(s.value)
        if before != len(self._u.out) and mark == before:
            # The value has effects: the target's indices must be read before them.
            with self._u.block() as fixed:
                target = lower.fix(target)
            self._u.out[before:before] = fixed
        self._store(target, value, s.location)

    def _store(self, target: ir.LValue, value: ir.Expression, location: Location) -> None:
        literal = isinstance(value, ir.StructValue | ir.StackValue)
        if literal and any(build.overlap(target, r) for r in build.reads(value)):
            value = self._u.save(value, location)
        self._u.assign(target, value, location)
        for other in self._u.expressions.union_members_to_clear(target):
            self._u.emit(ir.SetValid(other, False, location))

    def _moving_slice(self, s: ast.Assignment, e: ast.Slice) -> None:
        """`base[low +: width] = value` with low known at run time only."""
        lower = self._u.expressions
        base = lower.lvalue(e.base)
        low = self._u.save(lower.lower(e.high), s.location)
        width = lower.static_int(e.low, "the width of the slice")
        shifted = build.binary(ir.BinaryOp.SHR, base, low, s.location)
        lower.known[s.target] = build.slice_of(shifted, width - 1, 0, s.location)
        value = build.cast(lower.lower(s.value), base.type, s.location)
        del lower.known[s.target]
        assert isinstance(base.type, ir.BitsType)
        ones = ir.Const((1 << width) - 1, ir.BitsType(base.type.width), s.location)
        mask = build.binary(
            ir.BinaryOp.SHL, build.cast(ones, base.type, s.location), low, s.location
        )
        kept = build.binary(
            ir.BinaryOp.AND, base, build.unary(ir.UnaryOp.COMPLEMENT, mask, s.location), s.location
        )
        moved = build.binary(ir.BinaryOp.SHL, value, low, s.location)
        self._u.assign(base, build.binary(ir.BinaryOp.OR, kept, moved, s.location), s.location)

    # ------------------------------------------------------------------------------ choice

    def _if(self, s: ast.If) -> None:
        condition = self._u.expressions.lower(s.condition)
        if isinstance(condition, ir.Const):
            chosen = s.then if condition.value else s.otherwise
            if chosen is not None:
                self.statement(chosen)
            return
        then = self.collect([s.then])
        otherwise = () if s.otherwise is None else self.collect([s.otherwise])
        self._u.emit(ir.If(condition, then, otherwise, s.location))

    def _switch(self, s: ast.Switch) -> None:
        table: ir.Table | None = None
        if s.is_action_run:
            table = self._u.calls.table_of(s.subject)
        subject = self._u.expressions.lower(s.subject)
        cases: list[ir.SwitchCase] = []
        labels: list[ir.Const] = []
        is_default = False
        for case in s.cases:
            if isinstance(case.label, ast.Default):
                is_default = True
            else:
                labels.append(self._label(case.label, table, subject.type))
            if case.body is None:
                continue
            body = self.collect([case.body])
            cases.append(ir.SwitchCase(() if is_default else tuple(labels), body, case.location))
            labels = []
        self._u.emit(ir.Switch(subject, tuple(cases), s.location))

    def _label(self, e: ast.Expression, table: ir.Table | None, type_: ir.Type) -> ir.Const:
        if table is not None:
            assert isinstance(e, ast.Name)
            index = self._u.program.tables.index_of(table, e.target)
            return ir.Const(index, ir.BIT32, e.location)
        label = self._u.expressions.lower(e)
        assert isinstance(label, ir.Const)
        return ir.Const(label.value, type_, e.location)

    # ------------------------------------------------------------------------------- loops

    def _for(self, s: ast.For) -> None:
        self.sequence(s.init)
        with self._u.block() as head:
            condition = self._u.expressions.lower(s.condition)
        body = self.collect([s.body])
        step = self.collect(s.update)
        self._u.emit(ir.Loop(tuple(head), condition, body, step, s.location))

    def _for_in(self, s: ast.ForIn) -> None:
        if isinstance(s.collection, ast.Range):
            self._range_loop(s, s.collection)
            return
        values = self._elements(s.collection)
        variable = self._u.declare(s.variable)
        target = ir.VarRef(variable, variable.type, s.location)
        counter = self._u.temporary(ir.BIT32, s.location, "index")
        self._u.assign(counter, ir.Const(0, ir.BIT32), s.location)
        size = ir.Const(len(values), ir.BIT32, s.location)
        choose = ir.Switch(
            counter,
            tuple(
                ir.SwitchCase(
                    (ir.Const(i, ir.BIT32),), (ir.Assign(target, value, s.location),), s.location
                )
                for i, value in enumerate(values)
            ),
            s.location,
        )
        one = ir.Const(1, ir.BIT32, s.location)
        step = ir.Assign(
            counter, build.binary(ir.BinaryOp.ADD, counter, one, s.location), s.location
        )
        condition = build.binary(ir.BinaryOp.LT, counter, size, s.location)
        body = (choose, *self.collect([s.body]))
        self._u.emit(ir.Loop((), condition, body, (step,), s.location))

    def _elements(self, e: ast.Expression) -> list[ir.Expression]:
        """The values to visit, evaluated once, before the loop."""
        lower = self._u.expressions
        while isinstance(e, ast.Name) and isinstance(e.target, ast.Constant):
            e = e.target.initializer
        if isinstance(e, ast.ListExpression) and isinstance(e.type, t.List):
            return [self._u.save(v, e.location) for v in lower.sequence(e.items)]
        collection = self._u.save(lower.lower(e), e.location)
        if isinstance(collection.type, ir.StackType):
            count = collection.type.size
            return [build.element(collection, i, e.location) for i in range(count)]
        assert isinstance(collection.type, ir.StructType)
        return [build.member(collection, f.name, e.location) for f in collection.type.fields]

    def _range_loop(self, s: ast.ForIn, range_: ast.Range) -> None:
        """Both bounds are included, so the counter must not step past the last one."""
        low, high = self._u.expressions.sequence([range_.low, range_.high])
        high = self._u.save(high, s.location)
        counter = self._u.temporary(low.type, s.location, "counter")
        self._u.assign(counter, low, s.location)
        going = self._u.temporary(ir.BOOL, s.location, "going")
        first = build.binary(ir.BinaryOp.LE, counter, high, s.location)
        self._u.assign(going, first, s.location)
        variable = self._u.declare(s.variable)
        target = ir.VarRef(variable, variable.type, s.location)
        body = (ir.Assign(target, counter, s.location), *self.collect([s.body]))
        one = ir.Const(1, low.type, s.location)
        step = (
            ir.Assign(going, build.binary(ir.BinaryOp.LT, counter, high, s.location), s.location),
            ir.Assign(counter, build.binary(ir.BinaryOp.ADD, counter, one, s.location), s.location),
        )
        self._u.emit(ir.Loop((), going, body, step, s.location))


def _has_effects(target: ast.Expression) -> bool:
    """Does naming the target check or read something (next, last, a dynamic index)?"""
    match target:
        case ast.Member(base=base, name=name):
            return name in ("next", "last") or _has_effects(base)
        case ast.Index(base=base, index=index):
            return index.value is None or _has_effects(base)
        case ast.Slice(base=base):
            return _has_effects(base)
    return False
