"""What a worker does with rows before they go to the switch: three codes and a lane for each.

Encoders are plain values, because the planner makes them and workers, which may be other processes,
call them. Which code means what is said by the operator's program in `programs/pruning/include`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weft.p4.pruning import codes, wire
from weft.p4.pruning.tables import present, upwards

#: Codes (n, 3), lanes (n), and which of the given rows go through the switch at all (n).
Encoded = tuple[wire.Codes, npt.NDArray[np.uint8], npt.NDArray[np.bool_]]


class Encoder(Protocol):
    #: Do all rows of a key survive, or none? Then one of them goes for all.
    key_decides: ClassVar[bool]
    #: Do more rows survive if values come in a rising order? Then they are not to.
    order_matters: ClassVar[bool]

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that it reads."""

    def __call__(self, rows: pa.Table) -> Encoded: ...


def _split(keys: codes.U64, values: npt.NDArray[np.uint32] | int = 0) -> Encoded:
    """A 64 bit key in a and b, a value in c; equal keys share a lane."""
    made = codes.split(keys, values)
    return made, codes.lanes(keys, wire.LANES), keys != 0


def _columns(table: pa.Table, names: Sequence[str]) -> list[pa.ChunkedArray]:
    return [table.column(name) for name in names]


@dataclass(frozen=True, slots=True)
class Keys:
    """DISTINCT: the key alone."""

    keys: tuple[str, ...]
    salt: int
    key_decides: ClassVar[bool] = False
    order_matters: ClassVar[bool] = False

    @property
    def needs(self) -> tuple[str, ...]:
        return self.keys

    def __call__(self, rows: pa.Table) -> Encoded:
        return _split(codes.key(_columns(rows, self.keys), self.salt))


@dataclass(frozen=True, slots=True)
class Best:
    """GROUP BY MAX or MIN (`turned`): a key, and the value's place."""

    keys: tuple[str, ...]
    value: str
    scale: codes.Scale
    turned: bool
    salt: int
    key_decides: ClassVar[bool] = False
    order_matters: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.keys, self.value]))

    def __call__(self, rows: pa.Table) -> Encoded:
        keys = codes.key(_columns(rows, self.keys), self.salt)
        value = self.scale.codes(rows.column(self.value), self.turned)
        made, lanes, usable = _split(keys, value)
        return made, lanes, usable & (value != 0)  # a group of NULLs only still has its row


@dataclass(frozen=True, slots=True)
class Amounts:
    """HAVING: a key, and what its row adds, in units; without a column each row counts one."""

    keys: tuple[str, ...]
    value: str | None
    unit: float
    salt: int
    key_decides: ClassVar[bool] = False
    order_matters: ClassVar[bool] = False

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.keys, *([self.value] if self.value else [])]))

    def __call__(self, rows: pa.Table) -> Encoded:
        keys = codes.key(_columns(rows, self.keys), self.salt)
        amount = 1 if self.value is None else upwards(rows.column(self.value), self.unit)
        return _split(keys, amount)


@dataclass(frozen=True, slots=True)
class JoinKeys:
    """JOIN: the key. A NULL meets nothing, so its row neither builds nor probes.

    The switch skips the one key whose code is 0: it does not build, and its row is kept.
    """

    keys: tuple[str, ...]
    salt: int
    key_decides: ClassVar[bool] = True
    order_matters: ClassVar[bool] = False

    @property
    def needs(self) -> tuple[str, ...]:
        return self.keys

    def __call__(self, rows: pa.Table) -> Encoded:
        columns = _columns(rows, self.keys)
        made, lanes, _ = _split(codes.key(columns, self.salt))
        return made, lanes, present(columns)


@dataclass(frozen=True, slots=True)
class Places:
    """TOP N, FILTER, SKYLINE: places of up to three columns' values, (name, scale, turned) each;
    lanes in turn."""

    columns: tuple[tuple[str, codes.Scale, bool], ...]
    key_decides: ClassVar[bool] = False
    order_matters: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(name for name, _, _ in self.columns)

    def __call__(self, rows: pa.Table) -> Encoded:
        made = np.zeros((len(rows), 3), np.uint32)
        usable = np.ones(len(rows), bool)
        for i, (name, scale, turned) in enumerate(self.columns):
            made[:, i] = scale.codes(rows.column(name), turned)
            usable &= made[:, i] != 0
        return made, (np.arange(len(rows)) % wire.LANES).astype(np.uint8), usable
