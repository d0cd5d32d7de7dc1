"""Headers in and out of packets: extract, lookahead, emit, and bit strings for hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.p4.compiler import ir
from weft.p4.switch.codegen.expressions import scalars
from weft.p4.switch.codegen.layout import CodegenError, fixed_bits, flatten, width, words

if TYPE_CHECKING:
    from weft.p4.switch.codegen.body import Body


def put(body: Body, e: ir.Expression, pointer: str, at: str, bits: int) -> str:
    """The statement that stores a scalar into a zeroed bit string."""
    x = body.expressions
    if bits <= 64:
        return f"wf_put({pointer}, {at}, {bits}, {x.value(e)});"
    if bits <= 128:
        return f"wf_put128({pointer}, {at}, {bits}, {x.value(e)});"
    name = body.layout.wide(bits)
    return f"{{ {name} o_ = {x.value(e)}; wf_put_wide({pointer}, {at}, {bits}, o_.w); }}"


def get(body: Body, type_: ir.Type, place: str, pointer: str, at: str) -> str:
    bits = width(type_)
    if bits <= 128:
        big = "128" if bits > 64 else ""
        cast = body.layout.storage(type_)
        return f"{place} = ({cast})wf_get{big}({pointer}, {at}, {bits});"
    return f"wf_get_wide({place}.w, {pointer}, {at}, {bits});"


def _whole_bytes(type_: ir.Type, bits: int, location: object) -> None:
    if bits % 8:
        name = getattr(type_, "name", "this type")
        raise CodegenError(
            location,  # type: ignore[arg-type]
            f"header '{name}' is {bits} bits long; v1model moves headers of whole bytes only",
        )


def _unpack(body: Body, type_: ir.Type, place: str, pointer: str, at: int, varbit: str | None
            ) -> int:  # fmt: skip
    """Fills `place` from fixed offsets; `varbit` is the C variable with its length in bits."""
    match type_:
        case ir.StructType(fields=fields) | ir.HeaderType(fields=fields):
            shift = ""
            for field in fields:
                if isinstance(field.type, ir.VarbitType):
                    target = f"{place}.f_{field.name}"
                    body.line(f"{target}.bits = {varbit};")
                    body.line(f"memset({target}.d, 0, sizeof {target}.d);")
                    body.line(f"wf_copy_bits({target}.d, 0, {pointer}, {at}, {varbit});")
                    shift = f" + {varbit} / 8"
                    pointer = f"{pointer}{shift}"
                else:
                    at = _unpack(body, field.type, f"{place}.f_{field.name}", pointer, at, varbit)
            return at
    body.line(get(body, type_, place, pointer, str(at)))
    return at + width(type_)


def extract(body: Body, s: ir.Extract) -> None:
    """`packet.extract(header)`, section 12.8 for the order of the checks."""
    type_ = s.header.type
    bits = fixed_bits(type_)
    _whole_bytes(type_, bits, s.location)
    size, varbit = str(bits // 8), None
    body.line("{")
    if s.varbit_size is not None:
        varbit = body.fresh("n")
        most = max(t.max_width for t in flatten(type_) if isinstance(t, ir.VarbitType))
        body.line(f"uint32_t {varbit} = (uint32_t){body.expressions.value(s.varbit_size)};")
        body.fail_if(f"{varbit} % 8", "ParserInvalidArgument")
        size = f"({size} + {varbit} / 8)"
        body.fail_if(f"pk->length - pk->at < {size}", "PacketTooShort")
        body.fail_if(f"{varbit} > {most}", "HeaderTooShort")
    else:
        body.fail_if(f"pk->length - pk->at < {size}", "PacketTooShort")
    header, pointer = body.fresh("h"), body.fresh("p")
    body.line(f"{body.layout.storage(type_)} *{header} = &{body.expressions.place(s.header)};")
    body.line(f"const uint8_t *{pointer} = pk->data + pk->at;")
    _unpack(body, type_, f"(*{header})", pointer, 0, varbit)
    body.line(f"(void){pointer};")
    body.line(f"{header}->valid = 1;")
    body.line(f"pk->at += {size};")
    body.trace("EXTRACT", s.header, size)
    body.line("}")


def lookahead(body: Body, s: ir.Lookahead) -> None:
    type_ = s.target.type
    bits = fixed_bits(type_)
    body.line("{")
    body.fail_if(f"(uint64_t)(pk->length - pk->at) * 8 < {bits}", "PacketTooShort")
    target, pointer = body.fresh("h"), body.fresh("p")
    body.line(f"{body.layout.storage(type_)} {target};")
    body.line(f"memset(&{target}, 0, sizeof {target});")
    body.line(f"const uint8_t *{pointer} = pk->data + pk->at;")
    _unpack(body, type_, target, pointer, 0, None)
    body.line(f"(void){pointer};")
    if isinstance(type_, ir.HeaderType):
        body.line(f"{target}.valid = 1;")
    if isinstance(type_, ir.StructType | ir.HeaderType):
        body.line(f"{body.expressions.place(s.target)} = {target};")
    else:
        body.store(s.target, target)
    body.line("}")


def advance(body: Body, s: ir.Advance) -> None:
    bits = body.fresh("n")
    body.line(f"{{ uint32_t {bits} = (uint32_t){body.expressions.value(s.bits)};")
    body.fail_if(f"{bits} % 8", "ParserInvalidArgument")
    body.fail_if(f"pk->length - pk->at < {bits} / 8", "PacketTooShort")
    body.line(f"pk->at += {bits} / 8; }}")


def emit(body: Body, s: ir.Emit) -> None:
    """Appends a header that is valid."""
    type_ = s.header.type
    assert isinstance(type_, ir.HeaderType)
    bits = fixed_bits(type_)
    _whole_bytes(type_, bits, s.location)
    place = body.expressions.readable(s.header)
    body.line(f"if ({place}.valid) {{")
    pointer, header = body.fresh("p"), body.fresh("h")
    body.line(f"const {body.layout.storage(type_)} *{header} = &{place};")
    holder = ir.Variable(header, header, type_, ir.VariableKind.TEMPORARY)
    body.expressions.places[holder] = f"(*{header})"
    source = ir.VarRef(holder, type_)
    varbits = [s for s in scalars(source) if isinstance(s.type, ir.VarbitType)]
    extra = "".join(f" + ({body.expressions.place(v)}.bits + 7) / 8" for v in varbits)
    body.line(f"uint32_t room_ = {bits // 8}{extra};")
    body.line("if (pk->out_room - pk->out_length < room_) { pk->overrun = 1; return WF_EXIT; }")
    body.line(f"uint8_t *{pointer} = pk->out + pk->out_length;")
    body.line(f"memset({pointer}, 0, room_);")
    pack(body, source, pointer, valid=True)
    body.line("pk->out_length += room_;")
    body.line("}")


def pack(body: Body, e: ir.Expression, pointer: str, valid: bool = False) -> str:
    """Stores a value's bits one after another from `pointer` on, which holds zeros and has room.

    Returns the number of bits as C text. `valid`: the value is a header known to be valid.
    """
    at, shift = 0, ""
    for part in scalars(e):
        if valid and isinstance(part, ir.Member):
            part = _unguarded(body, part)
        if isinstance(part.type, ir.VarbitType):
            place = body.expressions.readable(part)
            body.line(f"wf_copy_bits({pointer}, {at}{shift}, {place}.d, 0, {place}.bits);")
            shift += f" + {place}.bits"
            continue
        bits = width(part.type)
        body.line(put(body, part, pointer, f"{at}{shift}", bits))
        at += bits
    return f"({at}{shift})"


def _unguarded(body: Body, e: ir.Member) -> ir.Expression:
    """The same place under a variable of its own, which no validity test surrounds."""
    holder = ir.Variable("field", "field", e.type, ir.VariableKind.TEMPORARY)
    body.expressions.places[holder] = body.expressions.place(e)
    return ir.VarRef(holder, e.type)


def bit_string(body: Body, e: ir.Expression) -> tuple[str, str]:
    """A local buffer with the value's bits; returns its name and its length in bits."""
    parts = scalars(e)
    most = sum(
        p.type.max_width if isinstance(p.type, ir.VarbitType) else width(p.type) for p in parts
    )
    buffer = body.fresh("b")
    body.line(f"uint8_t {buffer}[{max(8, words(most) * 8)}] = {{0}};")
    return buffer, pack(body, e, buffer)
