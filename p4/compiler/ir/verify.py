"""Holds a program to the promises of the IR (`ir/__init__.py`), for tests and doubtful back ends.

`verify` returns what is broken, as text, one line per breach; an empty list is a sound program.
"""

from __future__ import annotations

from collections.abc import Iterable

from weft.p4.compiler import ir
from weft.p4.compiler.ir.walk import blocks

_COMPARE = {
    ir.BinaryOp.EQ, ir.BinaryOp.NE, ir.BinaryOp.LT, ir.BinaryOp.LE, ir.BinaryOp.GT, ir.BinaryOp.GE
}  # fmt: skip
_LOGICAL = {ir.BinaryOp.LAND, ir.BinaryOp.LOR}
_SHIFT = {ir.BinaryOp.SHL, ir.BinaryOp.SHR}
_SCALAR = ir.BitsType | ir.BoolType | ir.EnumType | ir.ErrorType | ir.VarbitType
_STRUCT = ir.StructType | ir.HeaderType | ir.HeaderUnionType


def verify(program: ir.Program) -> list[str]:
    verifier = _Verifier(program)
    verifier.run()
    return verifier.breaches


class _Verifier:
    def __init__(self, program: ir.Program) -> None:
        self._program = program
        self.breaches: list[str] = []
        self._visible: set[ir.Variable] = set()
        self._result: ir.Type | None = None
        self._loops = 0

    def _check(self, holds: bool, what: str, node: object = None) -> None:
        if not holds:
            place = getattr(node, "location", "")
            self.breaches.append(f"{place}: {what}")

    def run(self) -> None:
        self._types()
        for function in (*self._program.functions, *self._methods()):
            self._body(function.parameters, function.locals, (function.body,), function.result_type)
        for action in self._program.actions:
            self._body(action.parameters, action.locals, (action.body,))
        names: list[str] = []
        for block in blocks(self._program):
            names.append(block.unique_name)
            if isinstance(block, ir.Parser):
                self._parser(block)
            else:
                self._control(block)
                names += [a.unique_name for a in block.actions]
                names += [x.unique_name for x in block.tables]
        self._check(len(names) == len(set(names)), f"unique names are not: {sorted(names)}")

    def _methods(self) -> Iterable[ir.Function]:
        externs = [*self._program.externs, *(e for b in blocks(self._program) for e in b.externs)]
        return [m for e in externs for m in e.methods.values()]

    def _types(self) -> None:
        """Named types stand after the types they contain."""
        seen: set[int] = set()
        for type_ in self._program.types:
            if not isinstance(type_, ir.EnumType):
                for field in type_.fields:
                    inner = field.type
                    if isinstance(inner, ir.StackType):
                        inner = inner.element
                    if isinstance(inner, _STRUCT | ir.EnumType):
                        self._check(id(inner) in seen, f"type {inner.name} after {type_.name}")
            seen.add(id(type_))

    # ------------------------------------------------------------------------------ bodies

    def _body(
        self,
        parameters: tuple[ir.Variable, ...],
        locals_: tuple[ir.Variable, ...],
        bodies: Iterable[ir.Block],
        result: ir.Type | None = None,
    ) -> None:
        before, self._visible = self._visible, self._visible | {*parameters, *locals_}
        self._result = result
        names = [v.unique_name for v in (*parameters, *locals_)]
        self._check(len(names) == len(set(names)), f"variables share a name: {names}")
        for body in bodies:
            self._block(body)
        self._visible = before

    def _parser(self, parser: ir.Parser) -> None:
        self._check(ir.START in parser.states, f"{parser.unique_name} has no start state")
        bodies = [parser.prologue, *(s.body for s in parser.states.values())]
        self._body(parser.parameters, parser.locals, bodies)
        self._visible = {*parser.parameters, *parser.locals}
        targets = {*parser.states, ir.ACCEPT, ir.REJECT}
        for state in parser.states.values():
            transition = state.transition
            if isinstance(transition, ir.Goto):
                self._check(transition.target in targets, f"no state {transition.target}", state)
                continue
            for key in transition.keys:
                self._value(key)
            for case in transition.cases:
                self._check(case.target in targets, f"no state {case.target}", case)
                self._patterns(case.patterns, [k.type for k in transition.keys], case)
        self._visible = set()

    def _control(self, control: ir.Control) -> None:
        self._body(control.parameters, control.locals, (control.body,))
        self._visible = {*control.parameters, *control.locals}
        names = {v.unique_name for v in self._visible}
        for action in control.actions:
            own = {v.unique_name for v in (*action.parameters, *action.locals)}
            self._check(not own & names, f"{action.unique_name} shares {own & names}", action)
            self._body(action.parameters, action.locals, (action.body,))
        for table in control.tables:
            self._table(table)
        self._visible = set()

    def _table(self, table: ir.Table) -> None:
        self._body((), table.locals, (table.prologue,))
        before, self._visible = self._visible, self._visible | {*table.locals}
        for key in table.keys:
            self._value(key.expression)
        self._visible = before
        actions = [a.action for a in table.actions]
        for call in (table.default_action, *(e.call for e in table.entries)):
            self._check(call.action in actions, f"{call.action.name} is not listed", table)
            given = [a.type for a in call.arguments]
            wanted = [p.type for p in call.action.parameters]
            self._check(given == wanted, f"{call.action.name}({given}) wants {wanted}", table)
            self._check(all(isinstance(a, _CONSTANTS) for a in call.arguments), "not const", table)
        for action in actions:
            directions = {p.direction for p in action.parameters}
            self._check(directions <= {ir.Direction.NONE}, "a directed table action", table)
        for entry in table.entries:
            self._check(len(entry.patterns) == len(table.keys), "entry arity", entry)
            self._patterns(entry.patterns, [k.expression.type for k in table.keys], entry)

    def _patterns(
        self, patterns: tuple[ir.Pattern, ...], keys: list[ir.Type], node: object
    ) -> None:
        whole = len(patterns) == 1 and isinstance(patterns[0], ir.InValueSet)
        self._check(whole or len(patterns) == len(keys), "pattern arity", node)
        for pattern, key in zip(patterns, keys, strict=False):
            match pattern:
                case ir.Exact(value=value):
                    parts = [value]
                case ir.Masked(value=value, mask=mask):
                    parts = [value, mask]
                case ir.Range(low=low, high=high):
                    parts = [low, high]
                case _:
                    continue
            for part in parts:
                self._value(part)
                self._check(part.type == key, f"pattern of {part.type} for {key}", node)

    # -------------------------------------------------------------------------- statements

    def _block(self, block: ir.Block) -> None:
        for statement in block:
            self._statement(statement)

    def _statement(self, s: ir.Statement) -> None:
        match s:
            case ir.Assign(target=target, value=value):
                self._lvalue(target, s)
                self._value(value)
                self._check(target.type == value.type, f"{target.type} := {value.type}", s)
            case ir.SetValid(header=header):
                self._lvalue(header, s)
                self._check(isinstance(header.type, ir.HeaderType), "validity of no header", s)
            case ir.IncrementNextIndex(stack=x) | ir.PushFront(stack=x) | ir.PopFront(stack=x):
                self._lvalue(x, s)
                self._check(isinstance(x.type, ir.StackType), "not a stack", s)
            case ir.If(condition=condition, then=then, otherwise=otherwise):
                self._boolean(condition, s)
                self._block(then)
                self._block(otherwise)
            case ir.Switch():
                self._switch(s)
            case ir.Loop(head=head, condition=condition, body=body, step=step):
                self._loops += 1
                self._block(head)
                self._boolean(condition, s)
                self._block(body)
                self._block(step)
                self._loops -= 1
            case ir.Break() | ir.Continue():
                self._check(self._loops > 0, "break or continue outside a loop", s)
            case ir.Return(value=value):
                if value is not None:
                    self._value(value)
                    self._check(value.type == self._result, "type of returned value", s)
            case ir.Verify(condition=condition, error=error):
                self._boolean(condition, s)
                self._check(isinstance(error.type, ir.ErrorType), "verify without error", s)
            case ir.Call() | ir.ExternCall() | ir.ApplyTable():
                self._call(s)
            case ir.Extract(header=target) | ir.Lookahead(target=target):
                self._lvalue(target, s)
            case ir.PacketLength(target=target):
                self._lvalue(target, s)
                self._check(target.type == ir.BIT32, "length is bit<32>", s)
            case ir.Advance(bits=bits):
                self._value(bits)
                self._check(bits.type == ir.BIT32, "advance takes bit<32>", s)
            case ir.Emit(header=header):
                self._value(header)
                self._check(isinstance(header.type, ir.HeaderType), "emit of no header", s)

    def _switch(self, s: ir.Switch) -> None:
        self._value(s.subject)
        labels = [label.value for case in s.cases for label in case.labels]
        self._check(len(labels) == len(set(labels)), "a label occurs twice", s)
        for index, case in enumerate(s.cases):
            self._check(bool(case.labels) or index == len(s.cases) - 1, "default not last", case)
            for label in case.labels:
                self._check(label.type == s.subject.type, "label type", case)
            self._block(case.body)

    def _call(self, s: ir.Call | ir.ExternCall | ir.ApplyTable) -> None:
        if isinstance(s, ir.ApplyTable):
            for result, type_ in ((s.hit, ir.BOOL), (s.action_run, ir.BIT32)):
                if result is not None:
                    self._lvalue(result, s)
                    self._check(result.type == type_, "apply result type", s)
            return
        for argument in s.arguments:
            if isinstance(argument.value.type, ir.PacketType):
                continue
            self._value(argument.value)
            if argument.direction in (ir.Direction.OUT, ir.Direction.INOUT):
                self._lvalue(argument.value, s)
        if s.result is not None:
            self._lvalue(s.result, s)
        if isinstance(s, ir.Call):
            parameters = s.callee.parameters
            self._check(len(parameters) == len(s.arguments), "argument count", s)
            for parameter, argument in zip(parameters, s.arguments, strict=False):
                fits = parameter.type == argument.value.type
                self._check(fits, f"argument {parameter.name}: {argument.value.type}", s)
            self._block(s.copy_out)

    # ------------------------------------------------------------------------- expressions

    def _boolean(self, e: ir.Expression, node: object) -> None:
        self._value(e)
        self._check(isinstance(e.type, ir.BoolType), "a condition that is no bool", node)

    def _lvalue(self, e: ir.Expression, node: object) -> None:
        self._check(isinstance(e, ir.VarRef | ir.Member | ir.Index | ir.Slice), "no l-value", node)
        inner = e.base if isinstance(e, ir.Slice) else e
        while isinstance(inner, ir.Member | ir.Index):
            inner = inner.base
        self._check(isinstance(inner, ir.VarRef), f"l-value rooted in {type(inner).__name__}", node)
        self._value(e)

    def _value(self, e: ir.Expression) -> None:
        match e:
            case ir.Const(value=value, type=type_):
                self._check(_in_range(value, type_), f"constant {value} of {type_}", e)
            case ir.VarRef(variable=variable):
                self._check(variable in self._visible, f"{variable.name} is not visible", e)
                self._check(e.type == variable.type, "type of a variable", e)
            case ir.Member(base=base, field=name):
                self._value(base)
                fields = base.type.fields if isinstance(base.type, _STRUCT) else ()
                found = [f.type for f in fields if f.name == name]
                self._check(found == [e.type], f"member {name} of {base.type}", e)
            case ir.Index(base=base, index=index):
                self._value(base)
                self._value(index)
                whole = isinstance(base.type, ir.StackType) and base.type.element is e.type
                self._check(whole and isinstance(index.type, ir.BitsType), "index", e)
            case ir.NextIndex(stack=stack):
                self._value(stack)
            case ir.Slice(base=base, high=high, low=low):
                self._value(base)
                width = base.type.width if isinstance(base.type, ir.BitsType) else -1
                self._check(0 <= low <= high < width, f"slice [{high}:{low}] of {base.type}", e)
            case ir.Unary(operand=operand):
                self._value(operand)
                self._check(operand.type == e.type, "unary type", e)
            case ir.Binary():
                self._binary(e)
            case ir.Mux(condition=condition, then=then, otherwise=otherwise):
                self._boolean(condition, e)
                self._value(then)
                self._value(otherwise)
                self._check(then.type == otherwise.type == e.type, "mux types", e)
            case ir.Cast(operand=operand):
                self._value(operand)
                fits = isinstance(operand.type, _SCALAR) and isinstance(e.type, _SCALAR)
                self._check(fits and operand.type != e.type, "cast", e)
            case ir.IsValid(header=header):
                self._value(header)
                self._check(isinstance(header.type, ir.HeaderType), "validity", e)
            case ir.StructValue(fields=parts):
                self._parts(parts, [f.type for f in getattr(e.type, "fields", ())], e)
            case ir.StackValue(elements=parts):
                assert isinstance(e.type, ir.StackType)
                self._parts(parts, [e.type.element] * e.type.size, e)

    def _parts(
        self, parts: tuple[ir.Expression, ...], wanted: list[ir.Type], e: ir.Expression
    ) -> None:
        for part in parts:
            self._value(part)
        self._check([p.type for p in parts] == wanted, f"parts of {e.type}", e)

    def _binary(self, e: ir.Binary) -> None:
        self._value(e.left)
        self._value(e.right)
        left, right = e.left.type, e.right.type
        self._check(isinstance(left, _SCALAR), f"{e.op.value} on {left}", e)
        if e.op in _SHIFT:
            signed = isinstance(right, ir.BitsType) and right.signed
            self._check(not signed and left == e.type, "shift", e)
        elif e.op is ir.BinaryOp.CONCAT:
            bits = isinstance(left, ir.BitsType) and isinstance(right, ir.BitsType)
            self._check(bits, "concatenation", e)
        elif e.op in _COMPARE or e.op in _LOGICAL:
            self._check(left == right and e.type == ir.BOOL, f"{left} {e.op.value} {right}", e)
        else:
            self._check(left == right == e.type, f"{left} {e.op.value} {right}", e)


_CONSTANTS = ir.Const | ir.StringConst | ir.ZeroValue | ir.StructValue


def _in_range(value: int, type_: ir.Type) -> bool:
    match type_:
        case ir.BitsType(width=width, signed=False):
            return 0 <= value < 1 << width
        case ir.BitsType(width=width):
            return -(1 << (width - 1)) <= value < 1 << (width - 1)
        case ir.BoolType():
            return value in (0, 1)
        case ir.EnumType(underlying=None):
            return 0 <= value < len(type_.members)
        case ir.EnumType() | ir.ErrorType():
            return True
    return False
