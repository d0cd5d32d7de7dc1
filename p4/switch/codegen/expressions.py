"""Expressions of the IR as C expressions.

`value` gives a scalar in its computed type (`Layout.computed`), masked; `place` a C l-value for
what is stored or composite. Both may be repeated and reordered, as the IR's are. Fields of
invalid headers read as zero: `value` tests validity, and statements ask `guard` before they write.
"""

from __future__ import annotations

from weft.p4.compiler import ir
from weft.p4.switch.codegen.layout import Layout, is_scalar, is_signed, width, words

_PLAIN = {
    ir.BinaryOp.AND: "&", ir.BinaryOp.OR: "|", ir.BinaryOp.XOR: "^", ir.BinaryOp.EQ: "==",
    ir.BinaryOp.NE: "!=", ir.BinaryOp.LT: "<", ir.BinaryOp.LE: "<=", ir.BinaryOp.GT: ">",
    ir.BinaryOp.GE: ">=", ir.BinaryOp.LAND: "&&", ir.BinaryOp.LOR: "||",
}  # fmt: skip
_WRAPPING = {ir.BinaryOp.ADD: "+", ir.BinaryOp.SUB: "-", ir.BinaryOp.MUL: "*"}
_COMPARISONS = {
    ir.BinaryOp.EQ, ir.BinaryOp.NE, ir.BinaryOp.LT, ir.BinaryOp.LE, ir.BinaryOp.GT, ir.BinaryOp.GE
}  # fmt: skip
_WIDE = {
    ir.BinaryOp.ADD: "add", ir.BinaryOp.SUB: "sub", ir.BinaryOp.MUL: "mul", ir.BinaryOp.AND: "and",
    ir.BinaryOp.OR: "or", ir.BinaryOp.XOR: "xor",
}  # fmt: skip


def member(base: ir.Expression, index: int) -> ir.Expression:
    """Field number `index` of a struct, header or union; taken from a StructValue directly."""
    assert isinstance(base.type, ir.StructType | ir.HeaderType | ir.HeaderUnionType)
    field = base.type.fields[index]
    if isinstance(base, ir.StructValue):
        return base.fields[index]
    if isinstance(base, ir.ZeroValue):
        return ir.ZeroValue(field.type)
    return ir.Member(base, field.name, field.type)


def element(base: ir.Expression, index: int) -> ir.Expression:
    assert isinstance(base.type, ir.StackType)
    if isinstance(base, ir.StackValue):
        return base.elements[index]
    if isinstance(base, ir.ZeroValue):
        return ir.ZeroValue(base.type.element)
    return ir.Index(base, ir.Const(index, ir.BIT32), base.type.element)


def scalars(e: ir.Expression) -> list[ir.Expression]:
    """The scalars and varbits in a value, in order; of an invalid header they read as zero."""
    type_ = e.type
    if isinstance(type_, ir.StructType | ir.HeaderType | ir.HeaderUnionType):
        return [s for i in range(len(type_.fields)) for s in scalars(member(e, i))]
    if isinstance(type_, ir.StackType):
        return [s for i in range(type_.size) for s in scalars(element(e, i))]
    return [e]


def literal(value: int, bits: int, layout: Layout) -> str:
    """A constant in the computed type of that width."""
    value &= (1 << bits) - 1
    limbs = [(value >> (64 * i)) & 0xFFFFFFFFFFFFFFFF for i in range(words(bits))]
    if bits <= 64:
        return f"UINT64_C({limbs[0]:#x})"
    if bits <= 128:
        return f"WF128({limbs[1]:#x}, {limbs[0]:#x})"
    return f"(({layout.wide(bits)}){{{{{', '.join(f'UINT64_C({x:#x})' for x in limbs)}}}}})"


class Expressions:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        #: Where each variable lives in the function being written.
        self.places: dict[ir.Variable, str] = {}

    # ------------------------------------------------------------------------------ places

    def place(self, e: ir.Expression) -> str:
        """A C l-value; for what is not stored, a compound literal."""
        match e:
            case ir.VarRef(variable=variable):
                return self.places[variable]
            case ir.Member(base=base, field=name):
                return f"{self.place(base)}.f_{name}"
            case ir.Index():
                return self._element(e)
            case ir.Mux(condition=condition, then=then, otherwise=otherwise):
                test = self.value(condition)
                return f"(*({test} ? &{self.readable(then)} : &{self.readable(otherwise)}))"
            case ir.ZeroValue(type=type_):
                return f"(({self._layout.storage(type_)}){{0}})"
            case ir.StructValue(fields=fields, type=type_):
                parts = [self._initial(f) for f in fields]
                if isinstance(type_, ir.HeaderType):
                    parts.insert(0, "1")
                return f"(({self._layout.storage(type_)}){{{', '.join(parts) or '0'}}})"
            case ir.StackValue(elements=elements, type=type_):
                inner = ", ".join(self._initial(x) for x in elements)
                return f"(({self._layout.storage(type_)}){{0, {{{inner}}}}})"
        raise AssertionError(f"no place for {type(e).__name__}")

    def _initial(self, e: ir.Expression) -> str:
        return self.value(e) if is_scalar(e.type) else self.readable(e)

    def readable(self, e: ir.Expression) -> str:
        """A place to read a composite from: zero where the header around it is invalid."""
        guard = self.guard(e)
        if guard is None:
            return self.place(e)
        zero = f"(({self._layout.storage(e.type)}){{0}})"
        return f"(*({guard} ? &{self.place(e)} : &{zero}))"

    def _element(self, e: ir.Index) -> str:
        assert isinstance(e.base.type, ir.StackType)
        stack, size = self.place(e.base), e.base.type.size
        sink = self._layout.sink(e.type)
        if isinstance(e.index, ir.Const):
            return f"{stack}.e[{e.index.value}]" if 0 <= e.index.value < size else f"(*{sink})"
        index = self.small(e.index)
        return f"(*({{ uint64_t i_ = {index}; i_ < {size} ? &{stack}.e[i_] : {sink}; }}))"

    def guard(self, e: ir.Expression) -> str | None:
        """The condition under which a write to this place counts: its header is valid."""
        while isinstance(e, ir.Slice):
            e = e.base
        while isinstance(e, ir.Member):
            e = e.base
            if isinstance(e.type, ir.HeaderType):
                if isinstance(e, ir.StructValue):
                    return None
                return f"{self.place(e)}.valid"
        return None

    # -------------------------------------------------------------------------------- kinds

    def convert(self, text: str, source: int, target: int) -> str:
        """From the computed type of one width to that of another; the value must fit."""
        if (source <= 64 and target <= 64) or words(source) == words(target):
            return text
        if target <= 64:
            return f"(uint64_t)({text})" if source <= 128 else f"({text}).w[0]"
        if target <= 128:
            if source <= 64:
                return f"(wf_u128)({text})"
            name = self._layout.wide(source)
            return f"({{ {name} c_ = {text}; (wf_u128)c_.w[1] << 64 | c_.w[0]; }})"
        if source <= 128:
            parts = f"uint64_t c_[2] = {{(uint64_t)v_, {'v_ >> 64' if source > 64 else '0'}}};"
            kind = "wf_u128" if source > 64 else "uint64_t"
            return self._wide(
                target, f"{kind} v_ = {text}; {parts}", f"from(r_.w, {target}, c_, 2, 0)"
            )
        return self._wide(
            target,
            f"{self._layout.wide(source)} v_ = {text};",
            f"from(r_.w, {target}, v_.w, {words(source)}, 0)",
        )

    def small(self, e: ir.Expression) -> str:
        """An unsigned value as uint64_t, saturated if it is larger."""
        bits = width(e.type)
        text = self.value(e)
        if bits <= 64:
            return text
        if bits <= 128:
            return f"wf_saturated({text})"
        return f"({{ {self._layout.wide(bits)} s_ = {text}; wfw_saturated(s_.w, {bits}); }})"

    def _wide(self, bits: int, declarations: str, call: str) -> str:
        return f"({{ {declarations} {self._layout.wide(bits)} r_ = {{{{0}}}}; wfw_{call}; r_; }})"

    def _mask(self, text: str, bits: int) -> str:
        if bits in (64, 128):
            return f"({text})"
        return f"(({text}) & {literal((1 << bits) - 1, bits, self._layout)})"

    # ------------------------------------------------------------------------------- values

    def value(self, e: ir.Expression) -> str:
        """A scalar, parenthesised, in its computed type."""
        match e:
            case ir.Const(value=value, type=type_):
                return literal(value, width(type_), self._layout)
            case ir.ZeroValue(type=type_):
                return literal(0, width(type_), self._layout)
            case ir.VarRef() | ir.Member() | ir.Index():
                return self._stored(e)
            case ir.NextIndex(stack=stack):
                return f"(uint64_t){self.place(stack)}.next"
            case ir.Slice():
                return self._slice(e)
            case ir.Unary():
                return self._unary(e)
            case ir.Binary():
                return self._binary(e)
            case ir.Mux(condition=condition, then=then, otherwise=otherwise):
                return f"({self.value(condition)} ? {self.value(then)} : {self.value(otherwise)})"
            case ir.Cast():
                return self.cast(self.value(e.operand), e.operand.type, e.type)
            case ir.IsValid(header=header):
                return f"(uint64_t){self.place(header)}.valid"
        raise AssertionError(f"no value for {type(e).__name__}")

    def _stored(self, e: ir.Expression) -> str:
        if isinstance(e, ir.Member) and isinstance(e.base, ir.StructValue):
            names = [f.name for f in e.base.type.fields]  # type: ignore[union-attr]
            return self.value(e.base.fields[names.index(e.field)])
        bits, place, guard = width(e.type), self.place(e), self.guard(e)
        text = place if bits > 128 else f"({self._layout.computed(e.type)}){place}"
        if guard is None:
            return text
        return f"({guard} ? {text} : {literal(0, bits, self._layout)})"

    def _slice(self, e: ir.Slice) -> str:
        bits, result = width(e.base.type), e.high - e.low + 1
        text = self.value(e.base)
        if bits > 128:
            shifted = self._wide(
                bits, f"{self._layout.wide(bits)} v_ = {text};", f"shr(r_.w, v_.w, {e.low}, {bits})"
            )
            return self.cast(shifted, ir.BitsType(bits), ir.BitsType(result))
        shifted = f"({text} >> {e.low})" if e.low else text
        return self._mask(self.convert(shifted, bits, result), result) if result < bits else shifted

    def cast(self, text: str, source: ir.Type, target: ir.Type) -> str:
        """Converts a value (see `ir.Cast`)."""
        before, after = width(source), width(target)
        if after < before:
            if before <= 128:
                return self._mask(self.convert(text, before, after), after)
            if after <= 128:
                return self._mask(self.convert(text, before, after), after)
            return self._wide(
                after,
                f"{self._layout.wide(before)} v_ = {text};",
                f"from(r_.w, {after}, v_.w, {words(after)}, 0)",
            )
        if not is_signed(source) or after == before or before == 0:
            return self.convert(text, before, after)
        if after <= 64:
            return self._mask(f"(uint64_t)wf_sext({text}, {before})", after)
        if after <= 128:
            return self._mask(f"(wf_u128)wf_sext128({text}, {before})", after)
        if before <= 128:
            inner = f"wf_u128 v_ = {text}; uint64_t c_[2] = {{(uint64_t)v_, (uint64_t)(v_ >> 64)}};"
        else:
            inner = f"{self._layout.wide(before)} v_ = {text}; uint64_t *c_ = v_.w;"
        return self._wide(after, inner, f"from(r_.w, {after}, c_, {words(before)}, {before})")

    def _unary(self, e: ir.Unary) -> str:
        text, bits = self.value(e.operand), width(e.type)
        if e.op is ir.UnaryOp.NOT:
            return f"(uint64_t)!{text}"
        if bits > 128:
            name = "neg" if e.op is ir.UnaryOp.NEG else "not"
            return self._wide(
                bits, f"{self._layout.wide(bits)} v_ = {text};", f"{name}(r_.w, v_.w, {bits})"
            )
        return self._mask(f"0 - {text}" if e.op is ir.UnaryOp.NEG else f"~{text}", bits)

    def _binary(self, e: ir.Binary) -> str:
        if isinstance(e.left.type, ir.VarbitType):
            a, b = self.readable(e.left), self.readable(e.right)
            same = f"({a}.bits == {b}.bits && !memcmp({a}.d, {b}.d, ({a}.bits + 7) / 8))"
            return same if e.op is ir.BinaryOp.EQ else f"!{same}"
        if e.op is ir.BinaryOp.CONCAT:
            return self._concat(e)
        left = self.value(e.left)
        if e.op in (ir.BinaryOp.SHL, ir.BinaryOp.SHR):
            return self._shift(e.op, left, self.small(e.right), e.type)
        return self.operate(e.op, left, self.value(e.right), e.left.type)

    def operate(self, op: ir.BinaryOp, a: str, b: str, type_: ir.Type) -> str:
        """`a op b` on two values of one type; comparisons give 0 or 1."""
        bits, signed = width(type_), is_signed(type_)
        if bits > 128:
            return self._operate_wide(op, a, b, bits, signed)
        big = "128" if bits > 64 else ""
        if op in _WRAPPING:
            return self._mask(f"{a} {_WRAPPING[op]} {b}", bits)
        if op in (ir.BinaryOp.DIV, ir.BinaryOp.MOD):
            return f"wf_{'div' if op is ir.BinaryOp.DIV else 'mod'}{big}({a}, {b})"
        if op in (ir.BinaryOp.SADD, ir.BinaryOp.SSUB):
            name = "sadd" if op is ir.BinaryOp.SADD else "ssub"
            if signed:
                text = f"wf_{name}_signed({a}, {b}, {bits})"
            else:
                text = f"wf_{name}({a}, {b}{f', {bits}' if name == 'sadd' else ''})"
            return text if big else f"(uint64_t){text}"
        if signed and op in _COMPARISONS:
            a, b = f"wf_sext{big}({a}, {bits})", f"wf_sext{big}({b}, {bits})"
        return f"({a} {_PLAIN[op]} {b})"

    def _shift(self, op: ir.BinaryOp, a: str, by: str, type_: ir.Type) -> str:
        bits, signed = width(type_), is_signed(type_)
        name = "shl" if op is ir.BinaryOp.SHL else "sar" if signed else "shr"
        if bits > 128:
            return self._wide(
                bits,
                f"{self._layout.wide(bits)} v_ = {a};",
                f"{name}(r_.w, v_.w, {by}, {bits})",
            )
        big = "128" if bits > 64 else ""
        return f"wf_{name}{big}({a}, {by}{'' if name == 'shr' else f', {bits}'})"

    def _operate_wide(self, op: ir.BinaryOp, a: str, b: str, bits: int, signed: bool) -> str:
        name = self._layout.wide(bits)
        # Both operands get names of their own: an operand's text may declare the same names inside.
        take = f"{name} a_ = {a}; {name} b_ = ({{ {name} t_ = {b}; t_; }});"
        if op in _COMPARISONS:
            return f"({{ {take} wfw_compare(a_.w, b_.w, {bits}, {int(signed)}) {_PLAIN[op]} 0; }})"
        if op in (ir.BinaryOp.SADD, ir.BinaryOp.SSUB):
            call = "sadd" if op is ir.BinaryOp.SADD else "ssub"
            return self._wide(bits, take, f"{call}(r_.w, a_.w, b_.w, {bits}, {int(signed)})")
        if op is ir.BinaryOp.DIV:
            return self._wide(bits, f"{take} {name} m_;", f"divide(r_.w, m_.w, a_.w, b_.w, {bits})")
        if op is ir.BinaryOp.MOD:
            return self._wide(bits, f"{take} {name} q_;", f"divide(q_.w, r_.w, a_.w, b_.w, {bits})")
        return self._wide(bits, take, f"{_WIDE[op]}(r_.w, a_.w, b_.w, {bits})")

    def _concat(self, e: ir.Binary) -> str:
        bits, low = width(e.type), width(e.right.type)
        high = self.convert(self.value(e.left), width(e.left.type), bits)
        right = self.convert(self.value(e.right), low, bits)
        shifted = self._shift(ir.BinaryOp.SHL, high, str(low), ir.BitsType(bits))
        if bits <= 128:
            return f"({shifted} | {right})"
        return self._operate_wide(ir.BinaryOp.OR, shifted, right, bits, False)

    # -------------------------------------------------------------------------------- words

    def to_words(self, text: str, type_: ir.Type) -> list[str]:
        """A scalar as words; `text` is evaluated once per word."""
        bits = width(type_)
        if bits <= 64:
            return [text]
        if bits <= 128:
            return [f"(uint64_t){text}", f"(uint64_t)({text} >> 64)"]
        return [f"({text}).w[{i}]" for i in range(words(bits))]

    def from_words(self, source: str, at: int, type_: ir.Type) -> str:
        """A scalar from the words `source[at]...`."""
        bits = width(type_)
        if bits <= 64:
            return f"{source}[{at}]"
        if bits <= 128:
            return f"((wf_u128){source}[{at + 1}] << 64 | {source}[{at}])"
        name = self._layout.wide(bits)
        return f"({{ {name} r_; memcpy(r_.w, {source} + {at}, sizeof r_); r_; }})"
