"""One worker of an all-reduce in the switch, without clock or sockets.

Chunk i goes through slot i mod slots. A slot has one packet open at a time: its result is the
acknowledgement, and the permission to send the next (a window of `slots` packets). What stays
unanswered is sent again; the switch adds nobody twice. Floats take one round more per slot: the
first only fetches an exponent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from weft.p4.aggregation import blocks, wire

_MAX_BACKOFF = 32


class AggregationError(RuntimeError):
    """The switch did not give every result in time; says how much is missing."""


@dataclass(slots=True)
class Membership:
    """What a worker keeps of a job from one operation to the next: the rounds of its slots."""

    job: int
    epoch: int
    worker: int
    workers: int
    slots: int
    host: int
    rounds: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rounds = self.rounds or [1] * self.slots


class Worker:
    """One operation: the sum of `values` (int32 or float32, any shape) over all workers."""

    def __init__(
        self,
        membership: Membership,
        values: npt.NDArray[np.generic],
        *,
        timeout_us: float = 500.0,
        straggler_us: float | None = None,
    ) -> None:
        """`timeout_us` until a packet is sent again.

        `straggler_us`: after so long a slot's sum is asked for as it is, without those who are late
        (`contributors` then tells how many came); the job must allow it.
        """
        if values.dtype not in (np.dtype(np.int32), np.dtype(np.float32)):
            raise TypeError(f"the switch sums int32 and float32, not {values.dtype}")
        self.m = membership
        self._float = values.dtype == np.dtype(np.float32)
        self._shape, self._size = values.shape, values.size
        self._mine = blocks.blocks(values, values.dtype.type)
        self._sums = np.zeros_like(self._mine)
        self.contributors = np.zeros(len(self._mine), np.int32)
        self._exponents = blocks.exponents(self._mine) if self._float else None
        self._agreed = np.zeros(len(self._mine), np.int8)
        self._timeout, self._straggler = timeout_us, straggler_us
        self._left = len(self._mine)
        #: By slot: chunk under way (its round of exponents: -1), when sent, how often, since when.
        self._open: dict[int, _Open] = {}
        self._started = False
        self.sent = self.resent = self.refused = 0

    @property
    def done(self) -> bool:
        return self._left == 0

    def result(self) -> npt.NDArray[np.generic]:
        """The sums; raises `AggregationError` before all are there."""
        if not self.done:
            raise AggregationError(
                f"worker {self.m.worker} of job {self.m.job} (epoch {self.m.epoch}) misses "
                f"{self._left} of {len(self._mine)} chunks"
            )
        return self._sums.reshape(-1)[: self._size].reshape(self._shape)

    def poll(self, now: float) -> list[bytes]:
        if not self._started:
            self._started = True
            for slot in range(min(self.m.slots, len(self._mine))):
                self._open[slot] = _Open(-1 if self._float else slot, slot)
        frames = []
        for slot, open_ in self._open.items():
            if now < open_.due:
                continue
            close = (
                self._straggler is not None
                and open_.times > 0
                and now >= open_.since + self._straggler
            )
            frames.append(self._frame(slot, open_, wire.CLOSE if close else wire.ADD))
            if open_.times == 0:
                open_.since = now
            self.resent += open_.times > 0
            open_.due = now + self._timeout * min(1 << open_.times, _MAX_BACKOFF)
            if self._straggler is not None and now < open_.since + self._straggler:
                open_.due = min(open_.due, open_.since + self._straggler)
            open_.times += 1
        self.sent += len(frames)
        return frames

    def wake(self) -> float | None:
        return min((o.due for o in self._open.values()), default=None)

    def on_frame(self, frame: bytes, now: float) -> None:
        """A result; what is broken, foreign or stale is counted and changes nothing."""
        try:
            update = wire.decode(frame)
        except wire.WireError:
            self.refused += 1
            return
        m = self.m
        mine = (update.kind, update.job, update.epoch) == (wire.RESULT, m.job, m.epoch)
        open_ = self._open.get(update.slot) if mine else None
        if open_ is None or update.round != m.rounds[update.slot]:
            self.refused += 1
            return
        if open_.chunk >= 0:
            self._take(open_.chunk, update)
        if self._float and open_.next < len(self._mine):
            self._agreed[open_.next] = update.exponent
        m.rounds[update.slot] += 1
        del self._open[update.slot]
        if open_.next < len(self._mine):
            self._open[update.slot] = _Open(open_.next, open_.next)

    def _take(self, chunk: int, update: wire.Update) -> None:
        if self._float:
            exponent = int(self._agreed[chunk])
            self._sums[chunk] = blocks.to_floats(update.values, exponent, self.m.workers)
        else:
            self._sums[chunk] = update.values
        self.contributors[chunk] = update.contributors
        self._left -= 1

    def _frame(self, slot: int, open_: _Open, kind: int) -> bytes:
        m, chunk = self.m, open_.chunk
        values = np.zeros(wire.VALUES, np.int32)
        if chunk >= 0 and self._float:
            row = self._mine[chunk].astype(np.float32)
            values = blocks.to_integers(row, int(self._agreed[chunk]), m.workers)
        elif chunk >= 0:
            values = self._mine[chunk].astype(np.int32)
        open_.next = slot if chunk < 0 else chunk + m.slots
        exponent = 0
        if self._exponents is not None and open_.next < len(self._mine):
            exponent = int(self._exponents[open_.next])
        update = wire.Update(kind, m.job, m.epoch, m.worker, slot, m.rounds[slot], exponent, 1,
                             values)  # fmt: skip
        return wire.encode(update, m.host, 254)


@dataclass(slots=True)
class _Open:
    chunk: int  # -1: only the exponent of the first chunk is asked for
    next: int  # the chunk that this slot has afterwards
    due: float = 0.0
    times: int = 0
    since: float = 0.0
