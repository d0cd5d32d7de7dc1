"""Names as the control plane gives them, and values as people write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from weft.p4.compiler import ir
from weft.p4.switch.codegen.layout import is_signed, width, words

T = TypeVar("T")
Number = int | str | bytes


class ControlError(ValueError):
    """A control operation that cannot be done; says why, by name."""


class NotFound(ControlError):
    """No such table, entry, group, ..."""


class AlreadyExists(ControlError):
    """The entry is there already."""


class Full(ControlError):
    """The table holds as much as its size allows."""


def find(kind: str, name: str, items: Mapping[str, T]) -> T:
    """The item of that control-plane name, or the only one whose name ends in `.name`."""
    name = name.removeprefix(".")  # as @name(".x") writes a name of the top level
    if name in items:
        return items[name]
    matches = [n for n in items if n.endswith(f".{name}")]
    if len(matches) == 1:
        return items[matches[0]]
    if matches:
        raise ControlError(f"{kind} '{name}' is ambiguous: {', '.join(sorted(matches))}")
    known = ", ".join(sorted(items)) or "none"
    raise NotFound(f"there is no {kind} '{name}' (the program has: {known})")


def number(value: Number, type_: ir.Type, what: str) -> int:
    """A value as its unsigned bits.

    Takes ints, big-endian bytes, decimal, 0x, 0b and 0o text, IPv4, IPv6 and MAC addresses, and the
    names of enum members.
    """
    bits = width(type_)
    result = _parse(value, type_, what)
    low = -(1 << (bits - 1)) if is_signed(type_) and bits else 0
    if not low <= result < 1 << bits:
        raise ControlError(f"{what}: {value!r} does not fit into {bits} bits")
    return result & ((1 << bits) - 1)


def _parse(value: Number, type_: ir.Type, what: str) -> int:
    if isinstance(value, bytes):
        return int.from_bytes(value, "big")
    if isinstance(value, int):
        return int(value)
    if isinstance(type_, ir.EnumType) and value.rsplit(".", 1)[-1] in type_.members:
        index = type_.members.index(value.rsplit(".", 1)[-1])
        return type_.values[index] if type_.underlying is not None else index
    if isinstance(type_, ir.BoolType) and value in ("true", "false"):
        return int(value == "true")
    try:
        if re.fullmatch(r"\d+\.\d+\.\d+\.\d+", value):
            import ipaddress

            return int(ipaddress.IPv4Address(value))
        if re.fullmatch(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}", value):
            return int("".join(part.zfill(2) for part in value.split(":")), 16)
        if ":" in value:
            import ipaddress

            return int(ipaddress.IPv6Address(value))
        if re.fullmatch(r"0\d+", value):
            return int(value, 10)
        return int(value, 0)
    except ValueError:
        raise ControlError(f"{what}: '{value}' is no number") from None


def to_words(value: int, type_: ir.Type) -> list[int]:
    """An unsigned value as words (runtime/weft_p4.h)."""
    return [(value >> (64 * i)) & 0xFFFFFFFFFFFFFFFF for i in range(words(width(type_)))]


def from_words(given: Iterable[int]) -> int:
    return sum(word << (64 * i) for i, word in enumerate(given))


def signed(value: int, type_: ir.Type) -> int:
    """Bits as the number that the type means."""
    bits = width(type_)
    if is_signed(type_) and bits and value >> (bits - 1):
        return value - (1 << bits)
    return value
