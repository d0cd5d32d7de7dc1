"""A worker on a modelled wire: the native slot protocol (`native/innet`) at a port of a star."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from weft.p4.aggregation import wire

_TYPES = {np.dtype(np.int32): wire.innet.Type.int32, np.dtype(np.float32): wire.innet.Type.float32}
_OVER = ("done", "mismatch", "silent")


class AggregationError(RuntimeError):
    """The switch did not give every result in time; says how much is missing."""


@dataclass(slots=True)
class Membership:
    """One worker of a job, from one operation to the next. `host` is its number on the star."""

    job: int
    epoch: int
    worker: int
    workers: int
    slots: int
    values: int
    host: int
    _member: Any = field(default=None, repr=False)
    calls: int = 0

    def member(self, timeout_us: float, straggler_us: float | None) -> Any:
        """The native worker; the first operation decides its timing."""
        if self._member is None:
            timing = wire.innet.Timing()
            timing.first = timing.least = round(timeout_us * 1e3)
            timing.most = 32 * timing.first
            timing.silence = 2**62  # a run's deadline ends it
            timing.straggler = round((straggler_us or 0) * 1e3)
            self._member = wire.innet.Member(
                job=self.job, epoch=self.epoch, worker=self.worker, workers=self.workers,
                slots=self.slots, values=self.values, timing=timing,
            )  # fmt: skip
        return self._member


class Worker:
    """One operation: the sum of `values` (int32 or float32, any shape) over all workers.

    `timeout_us`: until a packet is sent again. `straggler_us`: after so long a slot's sum is asked
    for as it is, without those who are late (`contributors` then tells how many came); the job must
    allow it. Both are a job's, as its first operation has them. `ready_us`: when it begins.
    """

    def __init__(
        self,
        membership: Membership,
        values: npt.NDArray[np.generic],
        *,
        timeout_us: float = 500.0,
        straggler_us: float | None = None,
        ready_us: float = 0.0,
    ) -> None:
        if values.dtype not in _TYPES:
            raise TypeError(f"the switch sums int32 and float32, not {values.dtype}")
        self.m = membership
        self._values = np.ascontiguousarray(values)
        self._member = membership.member(timeout_us, straggler_us)
        self._resent = self._member.resent
        self._started, self._ready = False, ready_us

    @property
    def done(self) -> bool:
        return self._started and self._member.state.name in _OVER

    @property
    def contributors(self) -> npt.NDArray[np.int32]:
        """By chunk: of how many workers its sum is."""
        return np.array(self._member.contributors, np.int32)

    @property
    def resent(self) -> int:
        resent: int = self._member.resent - self._resent
        return resent

    def result(self) -> npt.NDArray[np.generic]:
        """The sums; raises `AggregationError` before all are there."""
        if self._member.state.name != "done":
            missing = self.contributors.tolist().count(0)
            raise AggregationError(
                f"worker {self.m.worker} of job {self.m.job} (epoch {self.m.epoch}) misses "
                f"{missing} of {len(self.contributors)} chunks"
                + (": the workers called different things" if self._mismatch else "")
            )
        sums = np.frombuffer(self._member.buffer, self._values.dtype)
        return sums.reshape(self._values.shape)

    @property
    def _mismatch(self) -> bool:
        return bool(self._member.state.name == "mismatch")

    def poll(self, now: float) -> list[bytes]:
        at = round(now * 1e3)
        if now < self._ready:
            return []
        if not self._started:
            self._started = True
            self.m.calls += 1
            kind = _TYPES[self._values.dtype]
            signature = self._values.size << 16 | self.m.calls & 0xFFFF
            self._member.start(self._values.tobytes(), kind, signature, at)
        frames = []
        while (datagram := self._member.poll(at)) is not None:
            frames.append(wire.frame(datagram, self.m.host))
        return frames

    def wake(self) -> float | None:
        if not self._started:
            return self._ready
        at = self._member.next_timeout
        return None if at is None else at / 1e3

    def on_frame(self, frame: bytes, now: float) -> None:
        """A result; what is broken, foreign or stale is counted and changes nothing."""
        self._member.handle(round(now * 1e3), wire.datagram(frame))
