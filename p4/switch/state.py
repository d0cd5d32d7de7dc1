"""Counters, meters, registers and value sets of a running switch, by cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weft.p4.compiler import ir
from weft.p4.switch.codegen.layout import flatten, total_words, width, words
from weft.p4.switch.names import ControlError, Number, from_words, number, signed, to_words


def _size(extern: ir.ExternInstance) -> int:
    value = extern.arguments.get("size")
    return value.value if isinstance(value, ir.Const) else 0


def _checked(name: str, index: int, size: int) -> int:
    if not 0 <= index < size:
        raise ControlError(f"{name} has cells 0..{size - 1}, not {index}")
    return index


class Counter:
    """An indexed counter; cells are (packets, bytes)."""

    def __init__(self, switch: Any, index: int, extern: ir.ExternInstance) -> None:
        self._switch = switch
        self.name, self.size = extern.control_plane_name, _size(extern)
        self._cells = switch.lib.wf_counter(switch.handle, index)

    def read(self, index: int) -> tuple[int, int]:
        self._switch.check_open()
        at = 2 * _checked(self.name, index, self.size)
        return int(self._cells[at]), int(self._cells[at + 1])

    def write(self, index: int, packets: int = 0, octets: int = 0) -> None:
        self._switch.check_open()
        at = 2 * _checked(self.name, index, self.size)
        self._cells[at], self._cells[at + 1] = packets, octets


class Register:
    """A register; a cell is an int, or a tuple of ints for structs. Signed types read as such."""

    def __init__(self, switch: Any, index: int, extern: ir.ExternInstance) -> None:
        self._switch = switch
        self.name, self.size = extern.control_plane_name, _size(extern)
        self._type = extern.type_arguments[0]
        self._fields = list(flatten(self._type))
        self._words = total_words(self._type)
        self._cells = switch.lib.wf_register(switch.handle, index)

    def scalar(self) -> ir.Type:
        """The type of a cell that is one number; raises `ControlError` for structs."""
        if len(self._fields) != 1:
            raise ControlError(f"a cell of {self.name} is not one number")
        return self._fields[0]

    def read(self, index: int) -> int | tuple[int, ...]:
        self._switch.check_open()
        at = self._words * _checked(self.name, index, self.size)
        values = []
        for field in self._fields:
            count = words(width(field))
            values.append(signed(from_words(self._cells[at + i] for i in range(count)), field))
            at += count
        return values[0] if len(values) == 1 else tuple(values)

    def write(self, index: int, value: Number | Sequence[Number]) -> None:
        self._switch.check_open()
        at = self._words * _checked(self.name, index, self.size)
        given = [value] if isinstance(value, int | str | bytes) else list(value)
        if len(given) != len(self._fields):
            raise ControlError(f"{self.name}: a cell has {len(self._fields)} fields")
        for item, field in zip(given, self._fields, strict=True):
            for word in to_words(number(item, field, self.name), field):
                self._cells[at] = word
                at += 1

    def reset(self) -> None:
        """All cells to zero."""
        self.clear(0, self.size)

    def clear(self, first: int, count: int) -> None:
        """Cells `first` to `first + count - 1` to zero."""
        self._switch.check_open()
        if count > 0:
            begin = self._words * _checked(self.name, first, self.size)
            _checked(self.name, first + count - 1, self.size)
            self._switch.ffi.memmove(self._cells + begin, bytes(8 * self._words * count),
                                     8 * self._words * count)  # fmt: skip


class Meter:
    """A meter with two rates (RFC 2698's colours): 0 green, 1 yellow, 2 red.

    Rates are in packets or bytes per second, bursts in packets or bytes; without rates all is
    green.
    """

    def __init__(self, switch: Any, index: int, extern: ir.ExternInstance) -> None:
        self._switch, self._index = switch, index
        self.name, self.size = extern.control_plane_name, _size(extern)
        self._rates: dict[int, tuple[tuple[float, float], tuple[float, float]]] = {}

    def rates(self, index: int) -> tuple[tuple[float, float], ...]:
        """(rate, burst) committed and peak, as configured; () without rates."""
        return self._rates.get(_checked(self.name, index, self.size), ())

    def configure(
        self, index: int, rate: float, burst: float, peak_rate: float, peak_burst: float
    ) -> None:
        cell = _checked(self.name, index, self.size)
        self._set(cell, None, rate, burst, peak_rate, peak_burst)
        self._rates[cell] = ((rate, burst), (peak_rate, peak_burst))

    def configure_entry(
        self, entry: Any, rate: float, burst: float, peak_rate: float, peak_burst: float
    ) -> None:
        """Of a direct meter."""
        self._set(0, entry, rate, burst, peak_rate, peak_burst)

    def reset(self, index: int) -> None:
        ffi = self._switch.ffi
        zero = ffi.new("double[2]")
        cell = _checked(self.name, index, self.size)
        self._rates.pop(cell, None)
        lib = self._switch.lib
        lib.wf_meter_rates(self._switch.handle, self._index, cell, ffi.NULL, 0, zero, zero)

    def _set(self, cell: int, entry: Any, rate: float, burst: float, peak: float, peak_burst: float
             ) -> None:  # fmt: skip
        ffi = self._switch.ffi
        rates = ffi.new("double[2]", [rate / 1e6, peak / 1e6])
        bursts = ffi.new("double[2]", [burst, peak_burst])
        pointer = ffi.NULL if entry is None else entry.pointer
        lib = self._switch.lib
        self._switch.checked(
            lib.wf_meter_rates(self._switch.handle, self._index, cell, pointer, 1, rates, bursts)
        )


class ValueSet:
    """A parser value set; members are values, or pairs as @match says: (value, mask) etc."""

    def __init__(self, switch: Any, index: int, declaration: ir.ValueSet) -> None:
        self._switch, self._index, self._declaration = switch, index, declaration
        self.name = declaration.control_plane_name
        self.members: list[Sequence[Number | tuple[Number, Number]]] = []

    def set(self, members: Sequence[Sequence[Number | tuple[Number, Number]] | Number]) -> None:
        """Replaces all members at once."""
        keys = self._declaration.keys
        rows = [[m] if isinstance(m, int | str | bytes) else list(m) for m in members]
        if len(rows) > self._declaration.size:
            raise ControlError(f"value set {self.name} holds {self._declaration.size} members")
        low: list[int] = []
        mask: list[int] = []
        high: list[int] = []
        for row in rows:
            if len(row) != len(keys):
                raise ControlError(f"a member of value set {self.name} has {len(keys)} fields")
            for item, key in zip(row, keys, strict=True):
                for part, out in zip(self._one(item, key), (low, mask, high), strict=True):
                    out += to_words(part, key.type)
        ffi = self._switch.ffi
        arrays = [ffi.new("uint64_t[]", part or [0]) for part in (low, mask, high)]
        lib = self._switch.lib
        self._switch.checked(lib.wf_value_set(self._switch.handle, self._index, *arrays, len(rows)))
        self.members = [tuple(r) for r in rows]

    def _one(self, item: Number | tuple[Number, Number], key: ir.Field) -> tuple[int, int, int]:
        kind = next((a.values[0] for a in key.annotations if a.name == "match"), "exact")
        ones = (1 << width(key.type)) - 1
        if not isinstance(item, tuple):
            value = number(item, key.type, self.name)
            return value, ones, 0
        first = number(item[0], key.type, self.name)
        if kind == "range":
            return first, 0, number(item[1], key.type, self.name)
        if kind == "lpm":
            length = number(item[1], ir.BIT32, self.name)
            mask = ones ^ (ones >> length)
        else:
            mask = number(item[1], key.type, self.name)
        # In the runtime a mask of zero means a range, so "anything" is the range of everything.
        return (first & mask, mask, 0) if mask else (0, 0, ones)
