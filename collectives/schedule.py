"""Collectives as data: write your own, prove it, look at the built-in ones.

A schedule says, for every rank, which chunks to send, receive, copy and reduce:

    >>> @schedule("all_gather", size=4)
    ... def ring(me: Rank) -> None:
    ...     me.copy(me.output[me.rank], me.input[0])
    ...     for step in range(me.size - 1):
    ...         me.send((me.rank + 1) % me.size, me.output[(me.rank - step) % me.size])
    ...         me.recv((me.rank - 1) % me.size, me.output[(me.rank - step - 1) % me.size])
    >>> ring.verify()

The function only writes steps down. They run as dataflow: a step starts when all earlier steps of
its rank that touch the same chunks have ended. The k-th send from a to b in a lane meets the k-th
receive at b from a in that lane. What each buffer holds, and in how many chunks, is told by the
collective (`docs/schedules.md`); one schedule serves every size.

The value is the native one that built-in algorithms are made of (`native/collectives/schedule.h`);
no Python runs when it is executed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from weft._native._core import schedule as _native
from weft.transport.errors import InvalidArgument


@dataclass(frozen=True)
class Slice:
    """Chunks `first .. first + count - 1` of the buffer "input", "output" or "scratch"."""

    buffer: str
    first: int
    count: int = 1

    def __str__(self) -> str:
        last = "" if self.count == 1 else f":{self.first + self.count}"
        return f"{self.buffer}[{self.first}{last}]"


@dataclass(frozen=True)
class Step:
    """One step of one rank. `peer` is None for copy and reduce; `source` is None for receives,
    `target` for sends; `after` is the index of an earlier step that this one also waits for."""

    kind: str
    peer: int | None
    source: Slice | None
    target: Slice | None
    lane: int
    after: int | None


@dataclass(frozen=True)
class Estimate:
    """A prediction: `seconds`, and what the busiest rank sends."""

    seconds: float
    messages: int
    sent_bytes: int


class Chunks:
    """A buffer of one rank: index it by chunk number or slice to name chunks of it."""

    def __init__(self, buffer: str, first: int, count: int, per_block: int) -> None:
        self._buffer = buffer
        self._first = first
        self._count = count
        self._per_block = per_block

    def __len__(self) -> int:
        """Number of chunks (0: this rank does not have the buffer)."""
        return self._count

    def __getitem__(self, chunks: int | slice) -> Slice:
        """The named chunks. Raises InvalidArgument outside the buffer, or for steps other than 1
        and empty ranges: chunks of a slice are neighbours, and at least one."""
        if isinstance(chunks, int):
            chunks = slice(chunks, chunks + 1)
        start = 0 if chunks.start is None else chunks.start
        stop = self._count if chunks.stop is None else chunks.stop
        if chunks.step not in (None, 1) or not 0 <= start < stop <= self._count:
            raise InvalidArgument(
                f"{self._buffer}[{start}:{stop}]: this rank has chunks 0..{self._count - 1} there"
            )
        return Slice(self._buffer, self._first + start, stop - start)

    def block(self, index: int) -> Slice:
        """All chunks of one block, e.g. of what belongs to rank `index` in all_gather's output."""
        return self[index * self._per_block : (index + 1) * self._per_block]


class Rank:
    """Writes the program of one rank. Every method returns the new step's index, for `after`."""

    def __init__(self, spec: Any, rank: int) -> None:
        self._spec = spec
        self._builder = _native.ProgramBuilder(spec, rank)
        self._lane = 0
        self.rank = rank
        self.size = int(spec.size)
        self.root = int(spec.root)
        self.chunks = int(spec.chunks)
        """Chunks per block."""
        self.input = self._buffer("input")
        self.output = self._buffer("output")

    def _buffer(self, name: str) -> Chunks:
        count = self._spec.blocks(self.rank, name) * self.chunks
        return Chunks(name, 0, count, self.chunks)

    def scratch(self, blocks: int = 1) -> Chunks:
        """New scratch memory of `blocks` blocks, each as long as a block of input or output.

        A chunk of it must stand at the place in its block (chunk number modulo `chunks`) at which
        its content stands elsewhere, because chunks may differ in length by one element."""
        first = self._builder.add_scratch_blocks(blocks)
        return Chunks("scratch", first, blocks * self.chunks, self.chunks)

    def scratch_like(self, rank: int) -> Chunks:
        """One block of scratch memory as long as the block of `rank`: for all_gatherv and
        reduce_scatterv, whose blocks differ in length."""
        first = self._builder.add_scratch_block_like(rank)
        return Chunks("scratch", first, self.chunks, self.chunks)

    @contextmanager
    def lane(self, lane: int) -> Iterator[None]:
        """Steps written inside belong to this lane (0..255): a stream of messages of its own."""
        outer, self._lane = self._lane, lane
        self._builder.lane(lane)
        try:
            yield
        finally:
            self._lane = outer
            self._builder.lane(outer)

    def send(self, to: int, source: Slice, after: int | None = None) -> int:
        """Sends chunks to a rank."""
        return self._append(self._builder.send, to, source, after)

    def recv(self, sender: int, target: Slice, after: int | None = None) -> int:
        """Receives chunks from a rank."""
        return self._append(self._builder.recv, sender, target, after)

    def recv_reduce(self, sender: int, target: Slice, after: int | None = None) -> int:
        """target = target op what arrives."""
        return self._append(self._builder.recv_reduce, sender, target, after)

    def copy(self, target: Slice, source: Slice, after: int | None = None) -> int:
        """target = source. In place, a copy of input onto itself is nothing to do."""
        return self._append(self._builder.copy, _to_native(target), source, after)

    def reduce(self, target: Slice, source: Slice, after: int | None = None) -> int:
        """target = target op source."""
        return self._append(self._builder.reduce, _to_native(target), source, after)

    @staticmethod
    def _append(write: Any, where: Any, chunks: Slice, after: int | None) -> int:
        return int(write(where, _to_native(chunks), -1 if after is None else after))

    def _finish(self) -> Any:
        return self._builder.finish()


class Schedule:
    """The programs of all ranks of a group. Made by `schedule` or `builtin`; immutable."""

    def __init__(self, native: Any) -> None:
        self._value = native
        self.name = str(native.name)
        self.collective = str(native.spec.collective)
        self.size = int(native.spec.size)
        self.root = int(native.spec.root)
        self.chunks = int(native.spec.chunks)
        """Chunks per block."""

    def __repr__(self) -> str:
        return (
            f"<Schedule {self.name!r}: {self.collective}, {self.size} ranks, {self.chunks} chunks>"
        )

    def steps(self, rank: int) -> list[Step]:
        """The program of one rank."""
        return [_step(step) for step in self._program(rank).steps]

    def successors(self, rank: int) -> list[list[int]]:
        """For each step of a rank, the later steps that wait for it (data and `after`)."""
        return [list(each) for each in _native.successors(self._value.spec, self._program(rank))]

    def _program(self, rank: int) -> Any:
        if not 0 <= rank < self.size:
            raise InvalidArgument(f"rank {rank} is not in 0..{self.size - 1}")
        return self._value.programs[rank]

    @property
    def fingerprint(self) -> int:
        """64 bits over everything but the name: equal for equal schedules."""
        return int(self._value.fingerprint())

    def verify(self, buffered_messages: int = 0) -> None:
        """Proves that the schedule does what its collective's name says, in and out of place.

        `buffered_messages`: how many messages per ordered pair may be under way before their
        receive is posted. 0, the strictest, is what large messages meet.

        Raises BadSchedule, which names the rank, the step and the chunk, and says the mend.
        """
        self._value.verify(buffered_messages)

    def estimate(
        self, nbytes: int, hosts: Sequence[int] | None = None, model: CostModel | None = None
    ) -> Estimate:
        """How long it takes for `nbytes` (the larger of input and output per rank), as the cost
        model predicts. `hosts[r]` is equal for ranks on one host (default: each on its own)."""
        placed = list(range(self.size)) if hosts is None else list(hosts)
        return Estimate(*self._value.estimate(nbytes, (model or CostModel()).native(), placed))

    def draw(self, max_ranks: int = 16, max_rounds: int = 12) -> str:
        """The schedule as text: a row per rank, a column per round (see `weft.collectives.drawing`
        for the notation)."""
        from weft.collectives.drawing import draw

        return draw(self, max_ranks, max_rounds)

    def to_c(self) -> int:
        """The address of a new `weft_schedule` of the C API; release it by `weft_schedule_free`."""
        return int(self._value.to_c())


@dataclass
class CostModel:
    """What messages and memory cost, in seconds and seconds per byte (defaults: see `cost.h`).

    `local_*` is between ranks of one host, `remote_*` between hosts; None keeps the default.
    `processors`: per host; 0 means at least one for every rank. Where ranks share them, each change
    of hands costs a `context_switch`. `innet`: there is a switch that adds up, of which the two
    figures (None: the built-in ones) say what a packet takes there and back, and in a stream.
    """

    local_latency: float | None = None
    local_per_byte: float | None = None
    remote_latency: float | None = None
    remote_per_byte: float | None = None
    copy_per_byte: float | None = None
    reduce_per_byte: float | None = None
    context_switch: float | None = None
    processors: int = 0
    innet: bool = False
    innet_round_trip: float | None = None
    innet_per_packet: float | None = None

    @classmethod
    def of_this_host(cls) -> tuple[CostModel, str]:
        """What groups here choose by, and where that comes from ("built-in figures", or the file in
        which the first group of this host kept what it measured). Raises InvalidArgument for a file
        that is none (the environment's WEFT_COSTS names another)."""
        measured, source = _native.host_costs()
        edges = {
            f"{name}_{field}": getattr(getattr(measured, name), field)
            for name in ("local", "remote")
            for field in ("latency", "per_byte")
        }
        memory = {name: getattr(measured, name) for name in ("copy_per_byte", "reduce_per_byte")}
        innet = measured.innet and {
            "innet": True,
            "innet_round_trip": measured.innet.round_trip,
            "innet_per_packet": measured.innet.per_packet,
        }
        processors = len(os.sched_getaffinity(0))
        return cls(**edges, **memory, **(innet or {}), processors=processors), source

    def native(self) -> Any:
        """The native model."""
        model = _native.CostModel()
        model.processors = self.processors
        for edge, name in ((model.local, "local"), (model.remote, "remote")):
            for field in ("latency", "per_byte"):
                value = getattr(self, f"{name}_{field}")
                if value is not None:
                    setattr(edge, field, value)
        for field in ("copy_per_byte", "reduce_per_byte", "context_switch"):
            value = getattr(self, field)
            if value is not None:
                setattr(model, field, value)
        if self.innet:
            cost = _native.SwitchCost()
            for field in ("round_trip", "per_packet"):
                value = getattr(self, f"innet_{field}")
                if value is not None:
                    setattr(cost, field, value)
            model.innet = cost
        return model


def schedule(
    collective: str, *, size: int, chunks: int = 1, root: int = 0, name: str = ""
) -> Callable[[Callable[[Rank], None]], Schedule]:
    """Decorator: turns a function that writes one rank's steps into the Schedule of all ranks.

    Args:
        collective: what it achieves and the verifier proves, e.g. "all_reduce" (`collectives()`).
        size: ranks.
        chunks: per block; at most one element is lost to balance.
        root: for reduce, broadcast, gather and scatter.
        name: in messages and options; the function's name if empty.

    Raises InvalidArgument for arguments out of range and chunks outside their buffer, BadSchedule
    (when verified or run) for everything that is wrong with the steps.
    """

    def decorate(write: Callable[[Rank], None]) -> Schedule:
        spec = _native.Spec(collective, size, root, chunks)
        programs = []
        for rank in range(size):
            writer = Rank(spec, rank)
            write(writer)
            programs.append(writer._finish())
        return Schedule(_native.Schedule(name or write.__name__, spec, programs))

    return decorate


def builtin(algorithm: str, collective: str, size: int, root: int = 0, slices: int = 1) -> Schedule:
    """A built-in algorithm as a schedule. `slices` (1..64) is its pipeline depth, where it has one.

    Raises InvalidArgument, which lists the algorithms there are."""
    return Schedule(_native.builtin(algorithm, collective, size, root, slices))


def algorithms(collective: str) -> dict[str, str]:
    """The built-in algorithms for a collective, each with where it was published."""
    return dict(_native.algorithms(collective))


def collectives() -> list[str]:
    """The names of all collectives."""
    return list(_native.collectives())


def _to_native(chunks: Slice) -> Any:
    return _native.Slice(chunks.buffer, chunks.first, chunks.count)


def _slice(native: Any) -> Slice | None:
    return None if native is None else Slice(native.buffer, native.first, native.count)


def _step(native: Any) -> Step:
    return Step(
        kind=native.kind,
        peer=None if native.peer < 0 else native.peer,
        source=_slice(native.source),
        target=_slice(native.target),
        lane=native.lane,
        after=None if native.after < 0 else native.after,
    )
