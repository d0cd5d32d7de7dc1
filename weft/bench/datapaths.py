"""`weft bench datapaths`: the same messages over every datapath that works here, in turn.

One stream of large messages and the way of a small one, between two processes: over UDP and AF_XDP
in two namespaces joined by veth, over shared memory in one of them, over RDMA on the machine's own
devices. Needs root, for the namespaces and AF_XDP.

A veth pair carries the trains of UDP segmentation offload uncut, as no wire does; the line "udp,
packets" is UDP without offloads, which is what a network card without them leaves of it.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weft.bench.libraries import Unavailable, weft_program, weft_rank
from weft.bench.network import ADDRESSES, PORT, inside, namespaces
from weft.bench.processes import Launch, MeasurementError, run_ranks
from weft.bench.report import Figures
from weft.devices import rdma

REFERENCE = "udp"


@dataclass(frozen=True)
class Kind:
    """A line of the table: a datapath with its options; `joined`: both ends in one namespace."""

    name: str
    datapath: str
    transport: str = ""
    joined: bool = False


KINDS = (
    Kind("shm", "shm", joined=True),
    Kind("udp", "udp"),
    Kind("udp-packets", "udp", "gso=off,gro=off"),
    Kind("xdp", "xdp"),
    Kind("xdp-generic", "xdp", "xdp.mode=generic"),
    Kind("verbs", "verbs", joined=True),
)
NAMES = tuple(kind.name for kind in KINDS)


@dataclass(frozen=True)
class Plan:
    """message, small: bytes of a message of the stream, and of the small one; seconds: of each
    measurement; mtu: of the veth pair; deadline: seconds for one start of the two ranks."""

    kinds: Sequence[Kind] = KINDS
    rounds: int = 5
    seconds: float = 1
    message: int = 16 << 20
    small: int = 8
    mtu: int = 9000
    deadline: float = 60

    @property
    def steps(self) -> int:
        """How often `tell` is called."""
        return 2 * self.rounds * len(self.kinds)


@dataclass
class Row:
    """Medians over rounds. ratio: of gb_per_s, to UDP in the same round; likewise latency_ratio:
    of microseconds (one way); nwrong: bytes that arrived changed."""

    name: str
    gb_per_s: float
    ratio: float | None
    cpu_s_per_gb: float
    microseconds: float
    latency_ratio: float | None
    nwrong: int


@dataclass
class Results:
    """What was measured, and what could not be and why."""

    rows: list[Row] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Sample:
    gb_per_s: float
    cpu_s_per_gb: float
    microseconds: float
    nwrong: int


def measure(plan: Plan, tell: Callable[[str], None]) -> Results:
    """Measure all kinds in turn, round by round. Raises Unavailable or MeasurementError."""
    if os.geteuid() != 0:
        raise Unavailable("network namespaces and AF_XDP need root")
    if shutil.which("ip") is None:
        raise Unavailable("ip is not installed (Debian: iproute2)")
    results, samples = Results(), defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as name, namespaces(plan.mtu) as names:
        folder = Path(name)
        programs = [weft_program(source, folder) for source in ("stream.c", "pingpong.c")]
        kinds = [kind for kind in plan.kinds if _works(kind, results)]
        for number in range(plan.rounds):
            for kind in kinds:
                if kind.name in results.skipped:
                    continue
                try:
                    sample = _sample(kind, programs, plan, names, number, tell)
                except MeasurementError as error:
                    if number > 0 or kind.name == REFERENCE:
                        raise MeasurementError(f"{kind.name}: {error}") from None
                    results.skipped[kind.name] = str(error)
                else:
                    samples[kind.name].append(sample)
    references = samples.get(REFERENCE, [])
    results.rows = [
        _row(kind.name, samples[kind.name], references) for kind in kinds if samples[kind.name]
    ]
    return results


def _works(kind: Kind, results: Results) -> bool:
    if kind.datapath == "verbs":
        devices, why_not = rdma()
        if not devices or why_not:
            results.skipped[kind.name] = why_not or "no RDMA device (see `weft doctor`)"
            return False
    return True


def _sample(
    kind: Kind,
    programs: Sequence[Path],
    plan: Plan,
    names: tuple[str, str],
    number: int,
    tell: Callable[[str], None],
) -> _Sample:
    stream, pingpong = programs
    tell(f"round {number + 1}: {kind.name}, stream")
    ends = _run(kind, stream, [str(plan.message), f"{plan.seconds:g}"], names, plan.deadline)
    receiver = next(end for end in ends if end["rank"] == 1)
    tell(f"round {number + 1}: {kind.name}, small messages")
    [small] = _run(kind, pingpong, [str(plan.small), f"{plan.seconds:g}"], names, plan.deadline)
    return _Sample(
        gb_per_s=receiver["bytes"] / receiver["seconds"] / 1e9,
        cpu_s_per_gb=sum(end["cpu_seconds"] for end in ends) / (receiver["bytes"] / 1e9),
        microseconds=small["microseconds"],
        nwrong=sum(end["nwrong"] for end in ends) + small["nwrong"],
    )


def _run(
    kind: Kind, program: Path, arguments: list[str], names: tuple[str, str], deadline: float
) -> list[dict[str, Any]]:
    meeting = f"127.0.0.1:{PORT}" if kind.joined else f"{ADDRESSES[0]}:{PORT}"
    ranks = [_place(kind, weft_rank(program, arguments, (i, meeting), 2), i, names) for i in (0, 1)]
    return [json.loads(line) for text in run_ranks(ranks, deadline) for line in text.splitlines()]


def _place(kind: Kind, rank: Launch, number: int, names: tuple[str, str]) -> Launch:
    options = {"WEFT_DATAPATHS": kind.datapath, "WEFT_TRANSPORT": kind.transport}
    if kind.datapath == "verbs":  # its devices are in the machine's own namespace
        return Launch(rank.command, {**rank.environment, **options})
    if kind.joined:
        return inside(names[0], rank, **options)
    return inside(names[number], rank, **options, WEFT_INTERFACES=f"wire{number}")


def _row(name: str, mine: list[_Sample], references: list[_Sample]) -> Row:
    pairs = list(zip(mine, references, strict=False))

    def ratio(of: Callable[[_Sample], float]) -> float | None:
        return statistics.median(of(a) / of(b) for a, b in pairs) if pairs else None

    return Row(
        name=name,
        gb_per_s=statistics.median(sample.gb_per_s for sample in mine),
        ratio=ratio(lambda sample: sample.gb_per_s),
        cpu_s_per_gb=statistics.median(sample.cpu_s_per_gb for sample in mine),
        microseconds=statistics.median(sample.microseconds for sample in mine),
        latency_ratio=ratio(lambda sample: sample.microseconds),
        nwrong=sum(sample.nwrong for sample in mine),
    )


def table(plan: Plan, results: Results) -> Figures:
    """Title, columns and cells."""
    title = (
        f"Datapaths: messages of {plan.message >> 20} MiB in a stream, and of {plan.small} bytes, "
        f"MTU {plan.mtu}"
    )
    columns = ["datapath", "GB/s", "to udp", "CPU s/GB", "us one way", "to udp", "#wrong"]
    cells = [
        [
            row.name,
            f"{row.gb_per_s:.2f}",
            "" if row.ratio is None else f"{row.ratio:.2f}",
            f"{row.cpu_s_per_gb:.2f}",
            f"{row.microseconds:.1f}",
            "" if row.latency_ratio is None else f"{row.latency_ratio:.2f}",
            str(row.nwrong),
        ]
        for row in results.rows
    ]
    return title, columns, cells
