"""Values of columns as the 32 and 64 bit codes that the switch compares.

`Scale` keeps order: equal codes mean equal values only where it is `exact`. `key` keeps identity:
64 bits, one to one for a single integer column, a fingerprint otherwise. A code of zero says "no
value" (NULL, NaN, out of the statistics' range); the switch lets such rows pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weft._native import _core

U64 = npt.NDArray[np.uint64]

TOP = (1 << 32) - 2
_SIGN = np.uint64(1 << 63)
#: Moves the one integer whose code is zero, which the switch skips, to where no table counts.
_ODD = np.uint64(0x9E3779B97F4A7C15)


class NoCodes(TypeError):
    """A column is of a type whose values have no codes; it is not pushed."""


def valid(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Which rows have a value."""
    if column.null_count == 0:
        return np.ones(len(column), bool)
    return np.asarray(pc.is_valid(column).to_numpy(), bool)


def ordered(column: pa.ChunkedArray) -> tuple[U64, npt.NDArray[np.bool_]]:
    """Unsigned 64 bit numbers in the order of the values, and which rows have a value.

    Integers, booleans, dates, times: the number itself, shifted. Floats: bits of the double, the
    sign turned. Decimals: scaled integers, if they fit 64 bits. Strings and binaries: their first
    eight bytes (so different strings may be equal here). Raises `NoCodes` for other types.
    """
    type_ = column.type
    present = valid(column)
    if pa.types.is_dictionary(type_):
        return ordered(column.cast(type_.value_type))
    if pa.types.is_floating(type_):
        values = column.cast(pa.float64()).fill_null(0.0).to_numpy() + 0.0  # -0.0 becomes 0.0
        present &= ~np.isnan(values)
        bits = values.view(np.uint64)
        return np.where(bits & _SIGN, ~bits, bits | _SIGN), present
    if is_text(type_):
        kind = pa.binary() if not pa.types.is_large_string(type_) else pa.large_binary()
        prefix = pc.binary_slice(column.cast(kind), 0, 8).fill_null(b"")
        fixed = np.array(prefix.to_pylist(), "S8")  # NumPy pads with zeros
        return fixed.view(">u8").astype(np.uint64), present
    return _integers(column).view(np.uint64) ^ _SIGN, present


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """What native/pruning puts on a scale: doubles, integers, or numbers that are `ordered`; any
    for NULL."""
    if pa.types.is_floating(column.type):
        return np.asarray(column.cast(pa.float64()).fill_null(0.0).to_numpy(), np.float64)
    if is_text(column.type) or pa.types.is_dictionary(column.type):
        return ordered(column)[0]
    return _integers(column)


def is_text(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(type_) or pa.types.is_large_string(type_)
        or pa.types.is_binary(type_) or pa.types.is_large_binary(type_)
    )  # fmt: skip


def is_integral(type_: pa.DataType) -> bool:
    """Is a value one 64 bit integer, to which `key` is one to one?"""
    return bool(
        pa.types.is_integer(type_) or pa.types.is_boolean(type_) or pa.types.is_temporal(type_)
        or (pa.types.is_decimal(type_) and type_.precision <= 18)
    )  # fmt: skip


def _integers(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    type_ = column.type
    if not is_integral(type_) or pa.types.is_interval(type_):
        raise NoCodes(f"columns of type {type_} have no 64 bit codes")
    if pa.types.is_decimal(type_):
        unscaled = pc.multiply(column, pa.scalar(10**type_.scale, pa.decimal128(19, 0)))
        column = unscaled.cast(pa.decimal128(38, 0)).cast(pa.int64())
    elif pa.types.is_uint64(type_):
        values = column.fill_null(0).to_numpy()
        return np.asarray((values ^ _SIGN).view(np.int64), np.int64)
    elif pa.types.is_date32(type_) or pa.types.is_time32(type_):
        column = column.cast(pa.int32())
    return np.asarray(column.cast(pa.int64()).fill_null(0).to_numpy(), np.int64)


@dataclass(frozen=True, slots=True)
class Scale:
    """Order-keeping codes 1..top for values between `low` and `low` + (top - 1) * 2^shift."""

    low: int
    shift: int
    top: int
    text: bool

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Scale:
        """The finest scale for the values in a column."""
        numbers, present = ordered(column)
        used = numbers[present]
        low, high = (int(used.min()), int(used.max())) if len(used) else (0, 0)
        return cls.between(low, high, is_text(column.type))

    @classmethod
    def between(cls, low: int, high: int, text: bool = False, most: int = TOP) -> Scale:
        """For ordered numbers `low`..`high`, in at most `most` codes."""
        shift = 0
        while (high - low) >> shift >= most:
            shift += 1
        return cls(low, shift, ((high - low) >> shift) + 1, text)

    @property
    def exact(self) -> bool:
        """Do equal codes mean equal values?"""
        return self.shift == 0 and not self.text

    def codes(self, column: pa.ChunkedArray, descending: bool = False) -> npt.NDArray[np.uint32]:
        """Codes, 0 for no value; `descending` turns the order (for MIN and ascending TOP N)."""
        scale = self.low, self.shift, self.top, descending
        made: npt.NDArray[np.uint32] = _core.pruning.places(_numbers(column), *scale)
        return np.where(valid(column), made, np.uint32(0)) if column.null_count else made


def mix(values: U64) -> U64:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): one to one, and well spread."""
    mixed: U64 = _core.pruning.mix(values)
    return mixed


def _identity(column: pa.ChunkedArray, salt: int) -> U64:
    """64 bits per value, NULLs as any; texts by a hash, floats by their own bytes."""
    if is_integral(column.type):
        return mix(_integers(column).view(np.uint64) ^ _ODD)
    if pa.types.is_floating(column.type):
        values = column.cast(pa.float64()).fill_null(0.0).to_numpy() + 0.0
        values = np.where(np.isnan(values), np.nan, values)  # one NaN
        return mix(values.view(np.uint64))
    if pa.types.is_dictionary(column.type):
        return _identity(column.cast(column.type.value_type), salt)
    if not is_text(column.type):
        raise NoCodes(f"columns of type {column.type} have no 64 bit codes")
    pieces = (_hashes(chunk, salt) for chunk in column.chunks)
    return np.concatenate([np.zeros(0, np.uint64), *pieces])


def _hashes(texts: pa.Array, salt: int) -> U64:
    """A hash of each text, by native/pruning: salted, so that nobody can prepare two that meet."""
    large = pa.types.is_large_string(texts.type) or pa.types.is_large_binary(texts.type)
    _, edges, octets = texts.buffers()
    if edges is None:
        return np.zeros(0, np.uint64)
    every = np.frombuffer(edges, np.int64 if large else np.int32)
    mine = every[texts.offset :][: len(texts) + 1]
    hashes: U64 = _core.pruning.hash_texts(mine, np.frombuffer(octets or b"", np.uint8), salt)
    return hashes


def check_key(type_: pa.DataType) -> None:
    """Raises `NoCodes` for a type whose values `key` cannot tell apart."""
    if pa.types.is_dictionary(type_):
        check_key(type_.value_type)
    elif not (is_integral(type_) or pa.types.is_floating(type_) or is_text(type_)):
        raise NoCodes(f"columns of type {type_} have no 64 bit codes")


def one_to_one(types: list[pa.DataType]) -> bool:
    """Does `key` tell all keys of these columns apart? Else it is a 64 bit fingerprint."""
    return len(types) == 1 and is_integral(types[0])


def key(columns: list[pa.ChunkedArray], salt: int = 0) -> U64:
    """One 64 bit key per row; `salt` is that of fingerprints.

    A NULL in a single column gives 0; among several it is a value like others, as DISTINCT and
    GROUP BY have it.
    """
    if len(columns) == 1:
        made = _identity(columns[0], salt)
        return (
            made if columns[0].null_count == 0 else np.where(valid(columns[0]), made, np.uint64(0))
        )
    made = np.zeros(len(columns[0]), np.uint64)
    for i, column in enumerate(columns):
        part = _identity(column, salt)
        if column.null_count:
            part = np.where(valid(column), part, np.uint64(0x5851F42D4C957F2D))
        with np.errstate(over="ignore"):
            made = mix(made * np.uint64(0x9E3779B97F4A7C15) + part + np.uint64(i + 1))
    return made


def split(keys: U64, values: npt.NDArray[np.uint32] | int = 0) -> npt.NDArray[np.uint32]:
    """Three codes per row: a 64 bit key in a and b, a value in c."""
    given = np.ascontiguousarray(np.atleast_1d(values), np.uint32)
    made: npt.NDArray[np.uint32] = _core.pruning.split(np.ascontiguousarray(keys), given)
    return made


def lanes(keys: U64, count: int) -> npt.NDArray[np.uint8]:
    """The lane of each key, of at most 256: equal keys meet in one lane."""
    found: npt.NDArray[np.uint8] = _core.pruning.lanes(keys, count)
    return found


def first_alike(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """For rows of three codes: for each the place of an earlier row of the same key, or its own."""
    found: npt.NDArray[np.uint32] = _core.pruning.first_alike(codes)
    return found
