"""A slow, obvious evaluator of the IR: what a v1model program does to one packet.

It shares nothing with the code generator: values are Python ints and dicts, arguments are copied in
and out, tables are lists searched from the top. It knows unicast, drop and multicast, not clones.
"""

from __future__ import annotations

import contextlib
import copy
from dataclasses import dataclass, field
from typing import Any

from weft.p4.compiler import ir

DROP = 511


class _Exit(Exception):
    pass


class _Return(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


class _Reject(Exception):
    pass


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


def bits_of(type_: ir.Type) -> int:
    if isinstance(type_, ir.BitsType):
        return type_.width
    if isinstance(type_, ir.BoolType):
        return 1
    if isinstance(type_, ir.EnumType) and type_.underlying:
        return type_.underlying.width
    return 32


def signed(type_: ir.Type) -> bool:
    if isinstance(type_, ir.EnumType) and type_.underlying:
        return type_.underlying.signed
    return isinstance(type_, ir.BitsType) and type_.signed


def fit(number: int, type_: ir.Type) -> int:
    """Two's complement wrap to the type."""
    bits = bits_of(type_)
    number &= (1 << bits) - 1
    if signed(type_) and bits and number >> (bits - 1):
        number -= 1 << bits
    return number


def zero(type_: ir.Type) -> Any:
    match type_:
        case ir.VarbitType():
            return (0, 0)  # length in bits, value
        case ir.StackType(element=element, size=size):
            return {"next": 0, "e": [zero(element) for _ in range(size)]}
        case ir.StructType() | ir.HeaderUnionType():
            return {f.name: zero(f.type) for f in type_.fields}
        case ir.HeaderType():
            return {"$valid": False} | {f.name: zero(f.type) for f in type_.fields}
    return 0


@dataclass
class Installed:
    """A table entry: one predicate (value, second) per key, as `Entry.matches` has it."""

    matches: tuple[tuple[int, int], ...]
    rank: int
    action: int
    arguments: tuple[int, ...]


@dataclass
class Oracle:
    program: ir.Program
    entries: dict[str, list[Installed]] = field(default_factory=dict)
    groups: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store: dict[ir.Variable, Any] = {}
        self.registers: dict[int, dict[int, Any]] = {}

    # ----------------------------------------------------------------------------- packets

    def run(self, port: int, data: bytes) -> list[tuple[int, bytes]]:
        blocks: dict[str, Any] = dict(self.program.main.arguments)
        parser = blocks["p"]
        types = [p.type for p in parser.parameters if not isinstance(p.type, ir.PacketType)]
        headers, meta, standard = (zero(t) for t in types)
        standard["ingress_port"], standard["packet_length"] = port, len(data)
        state = {"h": headers, "m": meta, "s": standard}
        self.data, self.at, self.error, self.bad_sum = data, 0, 0, 0
        self.block(parser, state, ["h", "m", "s"])
        state["s"]["parser_error"] = self.error
        self.block(blocks["vr"], state, ["h", "m"])
        state["s"]["checksum_error"] = self.bad_sum
        self.block(blocks["ig"], state, ["h", "m", "s"])
        group = state["s"]["mcast_grp"]
        if group:
            copies = self.groups.get(group, [])
        elif state["s"]["egress_spec"] == DROP:
            copies = []
        else:
            copies = [(state["s"]["egress_spec"], 0)]
        sent = []
        for number, rid in copies:
            one = copy.deepcopy(state)
            one["s"].update(egress_port=number, egress_rid=rid, egress_spec=0)
            one["s"]["instance_type"] = 5 if group else 0
            self.block(blocks["eg"], one, ["h", "m", "s"])
            if one["s"]["egress_spec"] == DROP:
                continue
            self.block(blocks["ck"], one, ["h", "m"])
            self.out: list[tuple[int, int]] = []
            self.block(blocks["dep"], one, ["h"])
            value = total = 0
            for width, part in self.out:
                value, total = value << width | part, total + width
            assert total % 8 == 0
            sent.append((number, value.to_bytes(total // 8, "big") + data[self.at :]))
        return sent

    def block(self, block: Any, state: dict[str, Any], names: list[str]) -> None:
        parameters = [p for p in block.parameters if not isinstance(p.type, ir.PacketType)]
        for parameter, name in zip(parameters, names, strict=True):
            self.store[parameter] = state[name]
        try:
            if isinstance(block, ir.Parser):
                self.parse(block)
            else:
                self.body(block.body)
        except (_Exit, _Reject, _Return):
            pass
        for parameter, name in zip(parameters, names, strict=True):
            state[name] = self.store[parameter]

    def parse(self, parser: ir.Parser) -> None:
        self.body(parser.prologue)
        name = ir.START
        for _ in range(100_000):
            if name == ir.ACCEPT:
                return
            if name == ir.REJECT:
                raise _Reject
            state = parser.states[name]
            self.body(state.body)
            name = self.transition(state.transition)
        raise AssertionError("endless parser")

    def transition(self, t: ir.Goto | ir.Select) -> str:
        if isinstance(t, ir.Goto):
            return t.target
        keys = [self.value(k) for k in t.keys]
        for case in t.cases:
            if all(
                self.fits(p, k, e.type) for p, k, e in zip(case.patterns, keys, t.keys, strict=True)
            ):
                return case.target
        return self.fail("NoMatch")

    def fits(self, pattern: ir.Pattern, key: int, type_: ir.Type) -> bool:
        match pattern:
            case ir.Exact(value=value):
                return bool(key == self.value(value))
            case ir.Masked(value=value, mask=mask):
                m = self.value(mask)
                return bool(key & m == self.value(value) & m)
            case ir.Range(low=low, high=high):
                return bool(self.value(low) <= key <= self.value(high))
            case ir.Any():
                return True
        raise AssertionError(pattern)

    def fail(self, error: str) -> Any:
        self.error = self.program.errors.index(error)
        raise _Reject

    def take(self, bits: int, advance: bool) -> int:
        start, end = self.at * 8, self.at * 8 + bits
        whole = int.from_bytes(self.data, "big")
        value = whole >> (len(self.data) * 8 - end) & ((1 << bits) - 1)
        if advance:
            self.at = (start + bits) // 8
        return value

    # -------------------------------------------------------------------------- statements

    def body(self, statements: ir.Block) -> None:
        for s in statements:
            self.statement(s)

    def statement(self, s: ir.Statement) -> None:
        match s:
            case ir.Assign(target=target, value=value):
                self.set(target, copy.deepcopy(self.value(value)))
            case ir.SetValid(header=header, valid=valid):
                self.value(header)["$valid"] = valid
            case ir.IncrementNextIndex(stack=stack):
                self.value(stack)["next"] += 1
            case ir.PushFront(stack=stack, count=count) | ir.PopFront(stack=stack, count=count):
                self.shift(stack, count if isinstance(s, ir.PushFront) else -count)
            case ir.If(condition=condition, then=then, otherwise=otherwise):
                self.body(then if self.value(condition) else otherwise)
            case ir.Switch(subject=subject, cases=cases):
                value = self.value(subject)
                for case in cases:
                    if not case.labels or value in [self.value(x) for x in case.labels]:
                        self.body(case.body)
                        break
            case ir.Loop():
                self.loop(s)
            case ir.Break():
                raise _Break
            case ir.Continue():
                raise _Continue
            case ir.Return(value=value):
                raise _Return(None if value is None else copy.deepcopy(self.value(value)))
            case ir.Exit():
                raise _Exit
            case ir.Call():
                self.call(s)
            case ir.ApplyTable():
                self.apply(s)
            case ir.ExternCall():
                self.extern(s)
            case ir.Verify(condition=condition, error=error):
                if not self.value(condition):
                    self.error = self.value(error)
                    raise _Reject
            case ir.Extract():
                self.extract(s)
            case ir.Lookahead(target=target):
                bits = sum(bits_of(t) for t in leaves(target.type))
                if (len(self.data) - self.at) * 8 < bits:
                    self.fail("PacketTooShort")
                self.set(target, unpack(target.type, self.take(bits, False), bits)[0])
            case ir.Advance(bits=bits):
                n = self.value(bits)
                if n % 8:
                    self.fail("ParserInvalidArgument")
                if (len(self.data) - self.at) * 8 < n:
                    self.fail("PacketTooShort")
                self.at += n // 8
            case ir.PacketLength(target=target):
                self.set(target, len(self.data))
            case ir.Emit(header=header):
                value = self.value(header)
                if value["$valid"]:
                    self.out += pack(header.type, value)

    def shift(self, stack: ir.LValue, by: int) -> None:
        assert isinstance(stack.type, ir.StackType)
        value, size = self.value(stack), stack.type.size
        fresh = [zero(stack.type.element) for _ in range(min(abs(by), size))]
        if by > 0:
            value["e"] = (fresh + value["e"])[:size]
        else:
            value["e"] = (value["e"][-by:] if -by < size else []) + fresh
        value["next"] = max(0, min(size, value["next"] + by))

    def loop(self, s: ir.Loop) -> None:
        while True:
            self.body(s.head)
            if not self.value(s.condition):
                return
            try:
                self.body(s.body)
            except _Break:
                return
            except _Continue:
                pass
            self.body(s.step)

    def call(self, s: ir.Call) -> None:
        pairs = list(zip(s.callee.parameters, s.arguments, strict=True))
        pairs = [(p, a) for p, a in pairs if not isinstance(p.type, ir.PacketType)]
        for p, a in pairs:
            self.store[p] = copy.deepcopy(self.value(a.value))
        left: Exception | None = None
        result = None
        try:
            if isinstance(s.callee, ir.Parser):
                self.parse(s.callee)
            else:
                self.body(s.callee.body)
        except _Return as returned:
            result = returned.value
        except (_Exit, _Reject) as problem:
            left = problem
        for p, a in pairs:
            if a.direction in (ir.Direction.OUT, ir.Direction.INOUT):
                self.set(a.value, copy.deepcopy(self.store[p]))
        if isinstance(left, _Reject):
            raise left
        if s.result is not None and left is None:
            self.set(s.result, result)
        self.body(s.copy_out)
        if left is not None:
            raise left

    def apply(self, s: ir.ApplyTable) -> None:
        table = s.table
        self.body(table.prologue)
        keys = [(fit(self.value(k.expression), ir.BitsType(bits_of(k.expression.type))), k)
                for k in table.keys]  # fmt: skip
        found = None
        for e in self.entries.get(table.control_plane_name, []):
            hits = all(matched(v, k, m) for (v, k), m in zip(keys, e.matches, strict=True))
            if hits and (found is None or e.rank > found.rank):
                found = e
        actions = [a.action for a in table.actions]
        if found is None:
            index = actions.index(table.default_action.action)
            arguments = tuple(self.value(a) for a in table.default_action.arguments)
        else:
            index, arguments = found.action, found.arguments
        if s.hit is not None:
            self.set(s.hit, int(found is not None))
        if s.action_run is not None:
            self.set(s.action_run, index)
        for p, value in zip(actions[index].parameters, arguments, strict=True):
            self.store[p] = fit(value, p.type)
        with contextlib.suppress(_Return):
            self.body(actions[index].body)

    def extract(self, s: ir.Extract) -> None:
        type_ = s.header.type
        assert isinstance(type_, ir.HeaderType)
        extra = 0 if s.varbit_size is None else self.value(s.varbit_size)
        if extra % 8:
            self.fail("ParserInvalidArgument")
        bits = sum(bits_of(t) for t in leaves(type_) if not isinstance(t, ir.VarbitType)) + extra
        if (len(self.data) - self.at) * 8 < bits:
            self.fail("PacketTooShort")
        if any(isinstance(t, ir.VarbitType) and extra > t.max_width for t in leaves(type_)):
            self.fail("HeaderTooShort")
        value, _ = unpack(type_, self.take(bits, True), bits, extra)
        self.set(s.header, value)

    def extern(self, s: ir.ExternCall) -> None:
        given = [a.value for a in s.arguments]
        if s.method == "mark_to_drop":
            self.value(given[0]).update(egress_spec=DROP, mcast_grp=0)
        elif s.method in ("update_checksum", "verify_checksum"):
            if self.value(given[0]):
                parts = pack(given[1].type, self.value(given[1]))
                value = total = 0
                for width, part in parts:
                    value, total = value << width | part, total + width
                pad = -total % 16
                octets = (value << pad).to_bytes((total + pad) // 8, "big")
                answer = checksum(octets)
                if s.method == "update_checksum":
                    self.set(given[2], answer)
                elif answer != self.value(given[2]):
                    self.bad_sum = 1
        elif s.method == "read":
            cells = self.registers.setdefault(id(s.instance), {})
            self.set(given[0], copy.deepcopy(cells.get(self.value(given[1]), zero(given[0].type))))
        elif s.method == "write":
            cells = self.registers.setdefault(id(s.instance), {})
            cells[self.value(given[0])] = copy.deepcopy(self.value(given[1]))
        else:
            raise AssertionError(f"the oracle does not know {s.method}")

    # ------------------------------------------------------------------------------ values

    def set(self, target: ir.Expression, value: Any) -> None:
        match target:
            case ir.VarRef(variable=variable):
                self.store[variable] = value
            case ir.Slice(base=base, high=high, low=low):
                ones = (1 << (high + 1)) - (1 << low)
                old = self.value(base)
                self.set(base, fit((old & ~ones) | (value << low & ones), base.type))
            case ir.Member(base=base, field=name):
                owner = self.value(base)
                if self.writable(base):
                    owner[name] = value
            case ir.Index(base=base, index=index):
                cells, i = self.value(base)["e"], self.value(index)
                if 0 <= i < len(cells):
                    cells[i] = value

    def writable(self, e: ir.Expression) -> bool:
        """Is every header around this place valid?"""
        while True:
            if isinstance(e.type, ir.HeaderType) and not self.value(e)["$valid"]:
                return False
            if not isinstance(e, ir.Member):
                return True
            if isinstance(e.base.type, ir.HeaderUnionType):
                return True
            e = e.base
            if isinstance(e.type, ir.StructType | ir.HeaderType) is False:
                return True

    def value(self, e: ir.Expression) -> Any:
        match e:
            case ir.Const(value=value):
                return value
            case ir.ZeroValue(type=type_):
                return zero(type_)
            case ir.VarRef(variable=variable):
                return self.store[variable]
            case ir.Member(base=base, field=name):
                owner = self.value(base)
                if owner.get("$valid") is False:
                    return zero(e.type)
                return owner[name]
            case ir.Index(base=base, index=index):
                cells, i = self.value(base)["e"], self.value(index)
                return cells[i] if 0 <= i < len(cells) else zero(e.type)
            case ir.NextIndex(stack=stack):
                return self.value(stack)["next"]
            case ir.Slice(base=base, high=high, low=low):
                flat = fit(self.value(base), ir.BitsType(bits_of(base.type)))
                return flat >> low & ((1 << (high - low + 1)) - 1)
            case ir.Unary(op=op, operand=operand):
                v = self.value(operand)
                if op is ir.UnaryOp.NOT:
                    return int(not v)
                return fit(-v if op is ir.UnaryOp.NEG else ~v, e.type)
            case ir.Binary():
                return self.binary(e)
            case ir.Mux(condition=condition, then=then, otherwise=otherwise):
                return self.value(then if self.value(condition) else otherwise)
            case ir.Cast(operand=operand, type=type_):
                return fit(self.value(operand), type_)
            case ir.IsValid(header=header):
                return int(self.value(header)["$valid"])
            case ir.StructValue(fields=fields, type=type_):
                assert isinstance(type_, ir.StructType | ir.HeaderType | ir.HeaderUnionType)
                parts = {f.name: copy.deepcopy(self.value(x))
                         for f, x in zip(type_.fields, fields, strict=True)}  # fmt: skip
                return {"$valid": True} | parts if isinstance(type_, ir.HeaderType) else parts
            case ir.StackValue(elements=elements):
                return {"next": 0, "e": [copy.deepcopy(self.value(x)) for x in elements]}
        raise AssertionError(e)

    def binary(self, e: ir.Binary) -> Any:
        op, t = ir.BinaryOp, e.left.type
        if e.op is op.LAND:
            return int(self.value(e.left) and self.value(e.right))
        if e.op is op.LOR:
            return int(self.value(e.left) or self.value(e.right))
        a, b = self.value(e.left), self.value(e.right)
        comparisons = {op.EQ: a == b, op.NE: a != b}
        if e.op in comparisons:
            return int(comparisons[e.op])
        if e.op is op.CONCAT:
            low = bits_of(e.right.type)
            return fit(a << low | (b & ((1 << low) - 1)), e.type)
        if e.op in (op.SADD, op.SSUB):
            number = a + b if e.op is op.SADD else a - b
            half = 1 << (bits_of(t) - 1)
            low, high = (-half, half - 1) if signed(t) else (0, 2 * half - 1)
            return max(low, min(high, number))
        if e.op is op.SHL:
            return 0 if b >= bits_of(t) else fit(a << b, t)
        if e.op is op.SHR:
            return a >> min(b, 10_000)
        if e.op in (op.DIV, op.MOD):
            if b == 0:
                return 0
            return a // b if e.op is op.DIV else a % b
        return fit({
            op.ADD: a + b, op.SUB: a - b, op.MUL: a * b, op.AND: a & b, op.OR: a | b,
            op.XOR: a ^ b, op.LT: int(a < b), op.LE: int(a <= b), op.GT: int(a > b),
            op.GE: int(a >= b),
        }[e.op], e.type)  # fmt: skip


def matched(value: int, key: ir.Key, match: tuple[int, int]) -> bool:
    first, second = match
    bits = bits_of(key.expression.type)
    if key.match_kind == "lpm":
        return value >> (bits - second) == first >> (bits - second)
    if key.match_kind == "range":
        return first <= value <= second
    return value & second == first & second


def leaves(type_: ir.Type) -> list[ir.Type]:
    if isinstance(type_, ir.StructType | ir.HeaderType | ir.HeaderUnionType):
        return [x for f in type_.fields for x in leaves(f.type)]
    if isinstance(type_, ir.StackType):
        return leaves(type_.element) * type_.size
    return [type_]


def unpack(type_: ir.Type, value: int, bits: int, varbit: int = 0) -> tuple[Any, int]:
    """The value of a type from the top of a bit string; also how many bits are left."""
    if isinstance(type_, ir.StructType | ir.HeaderType):
        made: dict[str, Any] = {"$valid": True} if isinstance(type_, ir.HeaderType) else {}
        for f in type_.fields:
            made[f.name], bits = unpack(f.type, value, bits, varbit)
        return made, bits
    if isinstance(type_, ir.VarbitType):
        bits -= varbit
        return (varbit, value >> bits & ((1 << varbit) - 1)), bits
    bits -= bits_of(type_)
    return fit(value >> bits, type_), bits


def pack(type_: ir.Type, value: Any) -> list[tuple[int, int]]:
    """(width, unsigned value) of every scalar in order."""
    if isinstance(type_, ir.StructType | ir.HeaderType | ir.HeaderUnionType):
        if value.get("$valid") is False:
            value = zero(type_)
        return [x for f in type_.fields for x in pack(f.type, value[f.name])]
    if isinstance(type_, ir.StackType):
        return [x for v in value["e"] for x in pack(type_.element, v)]
    if isinstance(type_, ir.VarbitType):
        return [value]
    return [(bits_of(type_), value & ((1 << bits_of(type_)) - 1))]


def checksum(octets: bytes) -> int:
    """RFC 1071."""
    total = sum(int.from_bytes(octets[i : i + 2], "big") for i in range(0, len(octets), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
