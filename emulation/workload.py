"""What hosts have to say: messages with dependencies, made by patterns, collectives or files.

A message waits for others; the host that sends it learns of the end of a message that it receives
with the last byte, of one that it sent with the acknowledgement. A message from a host to itself is
a computation: it takes `delay` and no network.
"""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import weft._native._core as _core


@dataclass
class Workload:
    """Messages in columns, as they grow. Sizes in bytes, times in seconds."""

    source: list[int] = field(default_factory=list)
    destination: list[int] = field(default_factory=list)
    size: list[int] = field(default_factory=list)
    start: list[float] = field(default_factory=list)
    delay: list[float] = field(default_factory=list)
    priority: list[int] = field(default_factory=list)
    after: list[tuple[int, ...]] = field(default_factory=list)
    group: list[int] = field(default_factory=list)
    """Which part of the workload a message belongs to (index into `names`)."""
    names: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.source)

    def begin(self, name: str) -> None:
        """Messages from now on belong to a new part called `name`."""
        self.names.append(name)

    def add(
        self,
        source: int,
        destination: int,
        size: int,
        *,
        start: float = 0.0,
        delay: float = 0.0,
        priority: int = 0,
        after: Iterable[int] = (),
    ) -> int:
        """Add a message; returns its number. `after`: numbers of messages it waits for."""
        if not self.names:
            self.begin("messages")
        self.source.append(source)
        self.destination.append(destination)
        self.size.append(size)
        self.start.append(start)
        self.delay.append(delay)
        self.priority.append(priority)
        self.after.append(tuple(after))
        self.group.append(len(self.names) - 1)
        return len(self.source) - 1

    def compute(
        self, host: int, seconds: float, after: Iterable[int] = (), start: float = 0.0
    ) -> int:
        """Add a computation on a host; returns its number."""
        return self.add(host, host, 0, start=start, delay=seconds, after=after)

    @property
    def is_message(self) -> NDArray[np.bool_]:
        """True where the network is used."""
        return np.not_equal(self.source, self.destination)

    def native(self) -> object:
        """The native workload. Raises ValueError if it cannot be run."""
        lengths = np.fromiter((len(after) for after in self.after), np.uint32, len(self))
        waits = bool(lengths.any())
        return _core.simulator.Workload(
            source=np.asarray(self.source, np.uint32),
            destination=np.asarray(self.destination, np.uint32),
            size=np.asarray(self.size, np.uint64),
            start=np.rint(np.asarray(self.start) * 1e12).astype(np.int64),
            delay=np.rint(np.asarray(self.delay) * 1e12).astype(np.int64),
            priority=np.asarray(self.priority, np.uint8),
            dependency_begin=[0, *np.cumsum(lengths).tolist()] if waits else [],
            dependencies=[m for after in self.after for m in after] if waits else [],
        )


# --- Patterns. `hosts` are those that take part, in order of rank.


def permutation(
    work: Workload, hosts: Sequence[int], size: int, seed: int, start: float = 0.0
) -> None:
    """Every host sends to one other and receives from one (at random, by Sattolo's algorithm)."""
    to = list(hosts)
    chance = random.Random(seed)
    for i in range(len(to) - 1, 0, -1):
        j = chance.randrange(i)
        to[i], to[j] = to[j], to[i]
    for source, destination in zip(hosts, to, strict=True):
        work.add(source, destination, size, start=start)


def tornado(work: Workload, hosts: Sequence[int], size: int, start: float = 0.0) -> None:
    """Host i sends to i + n/2: all traffic crosses the top of the fabric."""
    for i, source in enumerate(hosts):
        work.add(source, hosts[(i + len(hosts) // 2) % len(hosts)], size, start=start)


def incast(work: Workload, hosts: Sequence[int], size: int, start: float = 0.0) -> None:
    """All hosts but the first send to the first."""
    for source in hosts[1:]:
        work.add(source, hosts[0], size, start=start)


def all_to_all(work: Workload, hosts: Sequence[int], size: int, start: float = 0.0) -> None:
    """Every host sends size/n to every other, all at once, each beginning with its neighbour."""
    each = max(1, size // len(hosts))
    for shift in range(1, len(hosts)):
        for i, source in enumerate(hosts):
            work.add(source, hosts[(i + shift) % len(hosts)], each, start=start)


def collective(
    work: Workload,
    name: str,
    algorithm: str,
    hosts: Sequence[int],
    size: int,
    *,
    start: float = 0.0,
    after: Sequence[Iterable[int]] | None = None,
    slices: int = 1,
) -> list[list[int]]:
    """A collective by one of `weft.collectives`' schedules, with its steps' dependencies.

    `size`: bytes of the larger of a rank's two buffers. `after[rank]`: messages that must end
    before the rank's first step. Returns, per rank, the messages after which its part is done.
    Raises ValueError for an unknown collective or algorithm.
    """
    schedules = _core.schedule
    schedule = schedules.builtin(algorithm, name, len(hosts), 0, slices)
    spec = schedule.spec
    chunk = size / max(1, spec.chunks * max(spec.blocks(0, "input"), spec.blocks(0, "output")))
    return _Steps(work, schedule, schedules, hosts, chunk, start, after).done


class _Steps:
    """Turns the steps of a schedule into messages: a send and its receive are one."""

    def __init__(
        self,
        work: Workload,
        schedule: object,
        schedules: object,
        hosts: Sequence[int],
        chunk: float,
        start: float,
        after: Sequence[Iterable[int]] | None,
    ) -> None:
        programs = schedule.programs  # type: ignore[attr-defined]
        ranks = range(len(hosts))
        self.number: list[list[int]] = [[-1] * len(p.steps) for p in programs]
        sends: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for rank in ranks:
            for index, step in enumerate(programs[rank].steps):
                if step.source is None or not step.source.count:
                    size = 0
                else:
                    size = max(1, round(step.source.count * chunk))
                if step.kind == "send":
                    m = work.add(hosts[rank], hosts[step.peer], size, start=start)
                    sends[rank, step.peer, step.lane].append(m)
                    self.number[rank][index] = m
                elif step.kind in ("copy", "reduce"):
                    self.number[rank][index] = work.compute(hosts[rank], 0.0, start=start)
        for rank in ranks:
            taken: dict[tuple[int, int], int] = defaultdict(int)
            for index, step in enumerate(programs[rank].steps):
                if step.kind in ("recv", "recv_reduce"):
                    k = taken[step.peer, step.lane]
                    taken[step.peer, step.lane] += 1
                    self.number[rank][index] = sends[step.peer, rank, step.lane][k]
        self.done: list[list[int]] = []
        for rank in ranks:
            successors = schedules.successors(schedule.spec, programs[rank])  # type: ignore[attr-defined]
            first = tuple(after[rank]) if after is not None else ()
            self._link(work, programs[rank].steps, successors, self.number[rank], first)

    def _link(
        self,
        work: Workload,
        steps: Sequence[object],
        successors: Sequence[Sequence[int]],
        number: Sequence[int],
        first: tuple[int, ...],
    ) -> None:
        waits: list[list[int]] = [[] for _ in steps]
        for before, followers in enumerate(successors):
            for follower in followers:
                waits[follower].append(number[before])
        for index, step in enumerate(steps):
            if step.kind in ("recv", "recv_reduce"):  # type: ignore[attr-defined]
                continue  # its message waits at the sender's end
            work.after[number[index]] = tuple(dict.fromkeys(waits[index])) or first
        self.done.append([number[i] for i, followers in enumerate(successors) if not followers])


# --- Training


def data_parallel(
    work: Workload,
    hosts: Sequence[int],
    *,
    algorithm: str,
    gradients: int,
    buckets: int,
    forward: float,
    backward: float,
    steps: int,
) -> None:
    """DDP: forward, backward in `buckets` parts, each bucket reduced as soon as it is there; the
    next step begins when the last bucket is."""
    ready: list[list[int]] = [[] for _ in hosts]
    for _ in range(steps):
        parts = [work.compute(h, forward, after=ready[i]) for i, h in enumerate(hosts)]
        ready = [[] for _ in hosts]
        for _ in range(buckets):
            parts = [
                work.compute(h, backward / buckets, after=[parts[i]]) for i, h in enumerate(hosts)
            ]
            size = max(1, gradients // buckets)
            done = collective(
                work, "all_reduce", algorithm, hosts, size, after=[[p] for p in parts]
            )
            for i in range(len(hosts)):
                ready[i] += done[i]
        for i in range(len(hosts)):
            ready[i].append(parts[i])


def mixture_of_experts(
    work: Workload,
    hosts: Sequence[int],
    *,
    tokens: int,
    expert: float,
    layers: int,
    skew: float,
    seed: int,
) -> None:
    """MoE: per layer an all_to_all of `tokens` bytes a host to the experts, `expert` seconds there,
    and the all_to_all back. `skew` 0: even; s: expert k is chosen in proportion to (k + 1)^-s."""
    chance = random.Random(seed)
    ready: list[list[int]] = [[] for _ in hosts]
    n = len(hosts)
    for _ in range(layers):
        share = [(k + 1.0) ** -skew for k in range(n)]
        chance.shuffle(share)
        sizes = [max(1, round(tokens * s / sum(share))) for s in share]
        came: list[list[int]] = [[] for _ in hosts]
        for shift in range(1, n):
            for i in range(n):
                j = (i + shift) % n
                came[j].append(work.add(hosts[i], hosts[j], sizes[j], after=ready[i]))
        work_done = [work.compute(hosts[j], expert, after=came[j]) for j in range(n)]
        ready = [[] for _ in hosts]
        for shift in range(1, n):
            for j in range(n):
                i = (j + shift) % n
                ready[i].append(work.add(hosts[j], hosts[i], sizes[j], after=[work_done[j]]))


def pipeline(
    work: Workload,
    hosts: Sequence[int],
    *,
    activations: int,
    forward: float,
    backward: float,
    microbatches: int,
) -> None:
    """GPipe's pipeline: all microbatches forward through the hosts, then all backward."""
    stages = len(hosts)
    last: list[list[int]] = [[] for _ in hosts]

    def stage(s: int, seconds: float, arrived: list[int]) -> int:
        done = work.compute(hosts[s], seconds, after=[*arrived, *last[s]])
        last[s] = [done]
        return done

    for order, seconds in ((range(stages), forward), (range(stages - 1, -1, -1), backward)):
        for _ in range(microbatches):
            arrived: list[int] = []
            for position, s in enumerate(order):
                done = stage(s, seconds, arrived)
                if position + 1 < stages:
                    arrived = [
                        work.add(hosts[s], hosts[order[position + 1]], activations, after=[done])
                    ]


def transformer(
    work: Workload,
    hosts: Sequence[int],
    *,
    tensor: int,
    pipeline: int,
    layers: int,
    activations: int,
    gradients: int,
    forward: float,
    microbatches: int,
    algorithm: str,
) -> None:
    """One step of a transformer by tensor, pipeline and data parallelism as in Megatron-LM
    (Narayanan et al., SC 2021): in a layer two all_reduces of `activations` bytes over its tensor
    group forward and two backward, between stages the activations, and at the end an all_reduce of
    `gradients` bytes a layer over the data-parallel group. `layers`: of one stage; `forward`:
    seconds of one layer on one host, of which backward takes twice. Ranks count tensor groups
    first, then replicas, then stages."""
    if tensor < 1 or pipeline < 1 or len(hosts) % (tensor * pipeline):
        raise ValueError(
            f"{len(hosts)} hosts are no whole number of replicas of {tensor} x {pipeline} (tensor "
            "x pipeline)"
        )
    replicas = len(hosts) // (tensor * pipeline)
    step = _TransformerStep(work, algorithm, activations)

    def group(stage: int, replica: int) -> list[int]:
        first = (stage * replicas + replica) * tensor
        return list(hosts[first : first + tensor])

    for replica in range(replicas):
        stages = [group(stage, replica) for stage in range(pipeline)]
        for order, seconds in ((stages, forward), (stages[::-1], 2 * forward)):
            for _ in range(microbatches):
                for position, ranks in enumerate(order):
                    for _ in range(layers):
                        step.layer(ranks, seconds)
                    if position + 1 < pipeline:
                        step.hand_over(ranks, order[position + 1])
    for stage in range(pipeline):
        for rank in range(tensor):
            sharers = [group(stage, replica)[rank] for replica in range(replicas)]
            for _ in range(layers if replicas > 1 else 0):
                step.reduce(sharers, gradients)


class _TransformerStep:
    """The messages of one step so far: what each host's next part waits for."""

    def __init__(self, work: Workload, algorithm: str, activations: int) -> None:
        self.work = work
        self.algorithm = algorithm
        self.activations = activations
        self.ready: dict[int, list[int]] = defaultdict(list)

    def layer(self, ranks: Sequence[int], seconds: float) -> None:
        """Attention and then the perceptron, each half of it and ended by an all_reduce."""
        for _ in range(2):
            for host in ranks:
                self.ready[host] = [self.work.compute(host, seconds / 2, self.ready[host])]
            if len(ranks) > 1:
                self.reduce(ranks, self.activations)

    def reduce(self, ranks: Sequence[int], size: int) -> None:
        done = collective(
            self.work, "all_reduce", self.algorithm, ranks, size,
            after=[self.ready[host] for host in ranks],
        )  # fmt: skip
        for host, last in zip(ranks, done, strict=True):
            self.ready[host] = last

    def hand_over(self, ranks: Sequence[int], following: Sequence[int]) -> None:
        for a, b in zip(ranks, following, strict=True):
            came = self.work.add(a, b, self.activations, after=self.ready[a])
            self.ready[b] = [*self.ready[b], came]


def trace(work: Workload, path: Path) -> None:
    """A CSV file with the columns source, destination, size (bytes) and optionally start, delay
    (seconds), priority, id and after (ids separated by spaces). Raises ValueError naming file and
    line.
    """
    numbers: dict[str, int] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in (reader := csv.DictReader(file)):
                try:
                    m = work.add(
                        int(row["source"]),
                        int(row["destination"]),
                        int(row["size"]),
                        start=float(row.get("start") or 0),
                        delay=float(row.get("delay") or 0),
                        priority=int(row.get("priority") or 0),
                        after=[numbers[name] for name in (row.get("after") or "").split()],
                    )
                    numbers[row.get("id") or str(m)] = m
                except KeyError as error:
                    raise ValueError(
                        f"{path}:{reader.line_num}: no such column or earlier id: {error}"
                    ) from None
                except (TypeError, ValueError) as error:
                    raise ValueError(f"{path}:{reader.line_num}: {error}") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error}") from None
