"""Calls of v1model's externs. One function per extern; `call` finds it by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from weft.p4.compiler import ir
from weft.p4.compiler.source import NOWHERE
from weft.p4.switch.codegen.expressions import member, scalars
from weft.p4.switch.codegen.layout import CodegenError, total_words, width, words
from weft.p4.switch.codegen.packets import bit_string

if TYPE_CHECKING:
    from weft.p4.switch.codegen.body import Body

#: v1model's HashAlgorithm by name, as runtime/program.h numbers them.
ALGORITHMS = (
    "crc32", "crc32_custom", "crc16", "crc16_custom", "random", "identity", "csum16", "xor16",
    "xxh64",
)  # fmt: skip


def algorithm(e: ir.Expression | ir.ExternInstance | None) -> int:
    if isinstance(e, ir.Const) and isinstance(e.type, ir.EnumType):
        name = e.type.members[e.value]
        if name in ALGORITHMS:
            return ALGORITHMS.index(name)
    location = e.location if e is not None else NOWHERE
    raise CodegenError(location, "the hash algorithm must be one of v1model's, and constant")


def call(body: Body, s: ir.ExternCall) -> None:
    if isinstance(s.instance, ir.Variable):
        raise CodegenError(s.location, f"v1model passes no extern '{s.instance.name}'")
    kind = s.instance.extern if s.instance is not None else ""
    found = _EXTERNS.get((kind, s.method))
    if found is None:
        name = f"{kind}.{s.method}" if kind else s.method
        raise CodegenError(s.location, f"extern '{name}' is not part of v1model")
    body.line("{")
    found(body, s, *(a.value for a in s.arguments))
    body.line("}")


def _index(instances: list[ir.ExternInstance], s: ir.ExternCall) -> int:
    return next(i for i, known in enumerate(instances) if known is s.instance)


def _store(body: Body, target: ir.Expression, text: str, bits: int = 64) -> None:
    """Assigns a number of `bits` bits, cut to the target's width."""
    body.store(
        target, body.expressions.cast(text, ir.BitsType(bits), ir.BitsType(width(target.type)))
    )


# ---- state ----


def _register_read(body: Body, s: ir.ExternCall, result: ir.Expression, at: ir.Expression) -> None:
    cell = _cell(body, s, at)
    position = 0
    body.line(f"static const uint64_t none_[{total_words(result.type)}];")
    body.line(f"if (!{cell}) {cell} = (uint64_t *)none_;")
    if isinstance(result.type, ir.HeaderType):
        body.line(f"{body.expressions.place(result)}.valid = 1;")
    for part in scalars(result):
        body.store(part, body.expressions.from_words(cell, position, part.type))
        position += words(width(part.type))


def _register_write(body: Body, s: ir.ExternCall, at: ir.Expression, value: ir.Expression) -> None:
    cell = _cell(body, s, at)
    body.line(f"if ({cell}) {{")
    _to_words(body, value, cell)
    body.line("}")


def _cell(body: Body, s: ir.ExternCall, at: ir.Expression) -> str:
    cell = body.fresh("cell")
    index = _index(body.names.registers, s)
    body.line(f"uint64_t *{cell} = wf_cell(pk->s, {index}, {body.expressions.small(at)});")
    return cell


def _to_words(body: Body, value: ir.Expression, cell: str) -> None:
    position = 0
    for part in scalars(value):
        if isinstance(part.type, ir.VarbitType):
            place = body.expressions.readable(part)
            body.line(f"{cell}[{position}] = {place}.bits;")
            body.line(f"memcpy(&{cell}[{position + 1}], {place}.d, ({place}.bits + 7) / 8);")
            position += 1 + words(part.type.max_width)
            continue
        for word in body.expressions.to_words(body.expressions.value(part), part.type):
            body.line(f"{cell}[{position}] = {word};")
            position += 1


def _count(body: Body, s: ir.ExternCall, at: ir.Expression) -> None:
    index = _index(body.names.counters, s)
    body.line(f"wf_count(pk, {index}, {body.expressions.small(at)});")


def _count_direct(body: Body, s: ir.ExternCall) -> None:
    assert isinstance(s.instance, ir.ExternInstance)
    body.line(f"wf_count_direct(pk, {body.names.direct_table(s.instance, s.location)});")


def _meter(body: Body, s: ir.ExternCall, at: ir.Expression, result: ir.Expression) -> None:
    index = _index(body.names.meters, s)
    _store(body, result, f"(uint64_t)wf_meter_run(pk, {index}, {body.expressions.small(at)})")


def _meter_direct(body: Body, s: ir.ExternCall, result: ir.Expression) -> None:
    assert isinstance(s.instance, ir.ExternInstance)
    index = _index(body.names.meters, s)
    table = body.names.direct_table(s.instance, s.location)
    _store(body, result, f"(uint64_t)wf_meter_direct(pk, {index}, {table})")


def _random(body: Body, s: ir.ExternCall, result: ir.Expression, low: ir.Expression,
            high: ir.Expression) -> None:  # fmt: skip
    bounds = f"{body.expressions.small(low)}, {body.expressions.small(high)}"
    _store(body, result, f"wf_random(pk->s, {bounds})")


# ---- hashes and checksums ----


def _hashed(body: Body, algo: ir.Expression, data: ir.Expression, payload: bool = False) -> str:
    buffer, bits = bit_string(body, data)
    rest = "pk->data + pk->at, pk->length - pk->at" if payload else "NULL, 0"
    name = body.fresh("sum")
    body.line(f"uint64_t {name} = wf_hash(pk->s, {algorithm(algo)}, {buffer}, {bits}, {rest});")
    return name


def _hash(body: Body, s: ir.ExternCall, result: ir.Expression, algo: ir.Expression,
          base: ir.Expression, data: ir.Expression, limit: ir.Expression) -> None:  # fmt: skip
    value = _hashed(body, algo, data)
    low, most = body.expressions.small(base), body.fresh("most")
    body.line(f"uint64_t {most} = {body.expressions.small(limit)};")
    _store(body, result, f"({low} + ({most} ? {value} % {most} : 0))")


def _checksum(update: bool, payload: bool) -> Callable[..., None]:
    def generate(body: Body, s: ir.ExternCall, condition: ir.Expression, data: ir.Expression,
                 checksum: ir.Expression, algo: ir.Expression) -> None:  # fmt: skip
        body.line(f"if ({body.expressions.value(condition)}) {{")
        value = _hashed(body, algo, data, payload)
        if update:
            _store(body, checksum, value)
        else:
            flat = ir.BitsType(width(checksum.type))
            wanted = body.expressions.cast(value, ir.BitsType(64), flat)
            differs = body.expressions.operate(
                ir.BinaryOp.NE, wanted, body.expressions.value(checksum), flat
            )
            body.line(f"if ({differs}) pk->checksum_error = 1;")
        body.line("}")

    return generate


def _checksum16(body: Body, s: ir.ExternCall, data: ir.Expression) -> None:
    buffer, bits = bit_string(body, data)
    if s.result is not None:
        csum16 = ALGORITHMS.index("csum16")
        _store(body, s.result, f"wf_hash(pk->s, {csum16}, {buffer}, {bits}, NULL, 0)")


# ---- what happens to the packet ----


def _mark_to_drop(body: Body, s: ir.ExternCall, standard: ir.Expression | None = None) -> None:
    place = "pk->sm" if standard is None else body.expressions.place(standard)
    body.line(f"{place}.f_egress_spec = wf_program.drop_port; {place}.f_mcast_grp = 0;")


def _clone(body: Body, s: ir.ExternCall, _: ir.Expression, session: ir.Expression,
           fields: ir.Expression | None = None) -> None:  # fmt: skip
    kept = "0" if fields is None else f"(uint32_t){body.expressions.value(fields)} + 1"
    body.line(f"pk->clone_session = (uint32_t){body.expressions.value(session)} + 1;")
    body.line(f"pk->clone_list = {kept};")


def _again(name: str) -> Callable[..., None]:
    def generate(body: Body, s: ir.ExternCall, fields: ir.Expression) -> None:
        body.line(f"pk->{name} = (uint32_t){body.expressions.value(fields)} + 1;")

    return generate


def _truncate(body: Body, s: ir.ExternCall, length: ir.Expression) -> None:
    body.line(f"pk->truncate = (uint32_t){body.expressions.value(length)} + 1;")


def _digest(body: Body, s: ir.ExternCall, _: ir.Expression, data: ir.Expression) -> None:
    known = next((i for i, t in enumerate(body.names.digests) if t is data.type), None)
    if known is None:
        known = len(body.names.digests)
        body.names.digests.append(data.type)
    slot = body.fresh("digest")
    body.line(f"uint64_t *{slot} = wf_digest_slot(pk, {known});")
    _to_words(body, data, slot)


# ---- for the programmer ----


def _assert(body: Body, s: ir.ExternCall, check: ir.Expression) -> None:
    body.line(f"if (!{body.expressions.value(check)}) {{ wf_assert_failed(pk); return WF_EXIT; }}")


def _log(body: Body, s: ir.ExternCall, message: ir.Expression, data: ir.Expression | None = None
         ) -> None:  # fmt: skip
    assert isinstance(message, ir.StringConst)
    first, *rest = message.value.split("{}")
    _log_text(body, first)
    values: list[ir.Expression] = []
    if data is not None:
        values = _members(data) if isinstance(data.type, ir.StructType) else [data]
    for number, piece in enumerate(rest):
        if number < len(values):
            _log_value(body, values[number])
        _log_text(body, piece)
    _log_text(body, "\n")


def _members(value: ir.Expression) -> list[ir.Expression]:
    assert isinstance(value.type, ir.StructType | ir.HeaderType | ir.HeaderUnionType)
    return [member(value, i) for i in range(len(value.type.fields))]


def _log_text(body: Body, text: str) -> None:
    quoted = "".join(f"\\{b:03o}" for b in text.encode())
    if text:
        body.line(f'wf_log_text(pk->s, "{quoted}", {len(text.encode())});')


def _log_value(body: Body, value: ir.Expression) -> None:
    """As simple_switch writes it: decimal, and (field:value,...) for headers and structs."""
    type_ = value.type
    if isinstance(type_, ir.StructType | ir.HeaderType | ir.HeaderUnionType):
        for number, (field, part) in enumerate(zip(type_.fields, _members(value), strict=True)):
            _log_text(body, f"{',' if number else '('}{field.name}:")
            _log_value(body, part)
        _log_text(body, ")" if type_.fields else "()")
    elif isinstance(type_, ir.StackType):
        for part in scalars(value):
            _log_value(body, part)
            _log_text(body, " ")
    elif isinstance(type_, ir.BitsType) and type_.signed and type_.width <= 64:
        body.line(f"wf_log_signed(pk->s, {body.expressions.value(value)}, {type_.width});")
    elif not isinstance(type_, ir.VarbitType):
        parts = body.expressions.to_words(body.expressions.value(value), type_)
        name = body.fresh("log")
        body.line(f"uint64_t {name}[] = {{{', '.join(parts)}}};")
        body.line(f"wf_log_number(pk->s, {name}, {len(parts)});")


_EXTERNS: dict[tuple[str, str], Callable[..., None]] = {
    ("register", "read"): _register_read,
    ("register", "write"): _register_write,
    ("counter", "count"): _count,
    ("direct_counter", "count"): _count_direct,
    ("meter", "execute_meter"): _meter,
    ("direct_meter", "read"): _meter_direct,
    ("Checksum16", "get"): _checksum16,
    ("", "random"): _random,
    ("", "hash"): _hash,
    ("", "verify_checksum"): _checksum(update=False, payload=False),
    ("", "update_checksum"): _checksum(update=True, payload=False),
    ("", "verify_checksum_with_payload"): _checksum(update=False, payload=True),
    ("", "update_checksum_with_payload"): _checksum(update=True, payload=True),
    ("", "mark_to_drop"): _mark_to_drop,
    ("", "clone"): _clone,
    ("", "clone_preserving_field_list"): _clone,
    ("", "resubmit_preserving_field_list"): _again("resubmit"),
    ("", "recirculate_preserving_field_list"): _again("recirculate"),
    ("", "truncate"): _truncate,
    ("", "digest"): _digest,
    ("", "assert"): _assert,
    ("", "assume"): _assert,
    ("", "log_msg"): _log,
}
