"""`weft bench lab`: what the lab carries, how soon it is up, and how true it is.

Beside Mininet's data paths, in turn, with one source and one sink of packets
(benchmarks/c/packets.c).

A capacity is the highest rate that was delivered in a run that can be believed: of 1,000 packets at
most one missing and, in the lab, a valid fidelity report. It is searched for by halving intervals
of its logarithm.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from weft.bench import lab_peers
from weft.bench.libraries import Unavailable, plain_program
from weft.bench.processes import MeasurementError
from weft.bench.report import Figures
from weft.emulation import LinkSpec, Queues, Topology
from weft.emulation.lab import Lab
from weft.emulation.lab import calibration as measure
from weft.emulation.lab.fabric import missing_capabilities

BYTES = 1400 - 28
"""Payload of an IP packet of 1400 bytes."""
FLOWS = 16
SEGMENTS = 40
PORT = 7000
LOST = 1e-3
SLOWEST, FASTEST = 20e3, 1.6e6
"""Packets per second between which a capacity is looked for."""
STEPS, TRIES = 6, 2
"""Of the search, and at each step: one hiccup of the machine shall not halve a capacity."""
START, QUIET = 10.0, 0.3


@dataclass(frozen=True)
class Row:
    """One line: what was measured, against theory, a goal or a peer."""

    group: str
    name: str
    value: float
    unit: str
    against: str = ""
    """What `ratio` is to."""
    ratio: float | None = None
    goal: str = ""
    holds: bool | None = None
    """None: no goal, or the machine was too busy to tell."""
    note: str = ""


@dataclass(frozen=True)
class Place:
    """Two hosts as commands' prefixes, the second one's address, and what is wrong with the run."""

    source: list[str]
    sink: list[str]
    address: str
    faults: Callable[[], list[str]]


Opener = Callable[[], AbstractContextManager[Place]]


@contextmanager
def in_lab(rootless: bool | None, trains: bool) -> Iterator[Place]:
    """Opposite hosts of a leaf-spine with ECMP, delay and ECN."""
    topology = Topology.leaf_spine(
        leaves=2, spines=4, hosts_per_leaf=2, rate="100Gbit/s", delay="50us"
    )
    queues = Queues(capacity=4_000_000, ecn_min=400_000, ecn_max=800_000)
    if rootless is None:
        check_root()
    with Lab(topology, queues=queues, rootless=rootless, trains=trains) as lab:
        yield Place(lab.enter(0), lab.enter(2), lab["h2"].ip, lambda: lab.fidelity().faults)


def check_root() -> None:
    """Raises Unavailable where a lab would be rootless though it need not."""
    if missing := missing_capabilities():
        raise Unavailable(f"this process lacks {', '.join(missing)}: run it as root")


@contextmanager
def in_peer(peer: Callable[[], AbstractContextManager[lab_peers.Commands]]) -> Iterator[Place]:
    with peer() as (source, sink):
        yield Place(source, sink, lab_peers.ADDRESSES[1], list)


def carry(
    place: Place, program: Path, rate: float, seconds: float, segments: int = 1
) -> tuple[float, float, dict[str, float]]:
    """Packets per second that left, that came, and all that the sink said."""
    sink = subprocess.Popen(
        [*place.sink, str(program), "receive", str(PORT), str(QUIET)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert sink.stdout is not None
        if sink.stdout.readline() != "ready\n":
            raise MeasurementError("the sink of packets did not start")
        words = [place.address, PORT, BYTES, rate, seconds, FLOWS, segments]
        sent = subprocess.run(
            [*place.source, str(program), "send", *map(str, words)],
            capture_output=True, text=True, timeout=seconds + START, check=False,
        )  # fmt: skip
        if sent.returncode != 0:
            raise MeasurementError(f"the source of packets: {sent.stderr.strip()}")
        out, _ = sink.communicate(timeout=START + seconds)
    except subprocess.TimeoutExpired:
        raise MeasurementError("source or sink of packets did not end") from None
    finally:
        sink.kill()
        sink.wait()
    left, came = json.loads(sent.stdout), json.loads(out)
    return left["packets"] / left["seconds"], came["packets"] / left["seconds"], came


def capacity(opened: Opener, program: Path, seconds: float, segments: int = 1) -> float:
    """Packets per second; 0 when not even the slowest rate was carried."""
    low, high, best = SLOWEST, FASTEST, 0.0
    for _ in range(STEPS):
        rate = math.sqrt(low * high)
        reached = False
        for _ in range(TRIES):
            with opened() as place:
                left, came, _ = carry(place, program, rate, seconds, segments)
                good = came >= (1 - LOST) * left and not place.faults()
            if good:
                best, reached = max(best, came), left > 0.95 * rate
                break
        low, high = (rate, high) if reached else (low, rate)
    return best


def measure_all(
    rounds: int, seconds: float, tell: Callable[[str], None]
) -> tuple[list[Row], list[str]]:
    """All rows, and remarks on what could not be measured. Raises MeasurementError."""
    remarks: list[str] = []
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as folder:
        program = plain_program("packets.c", Path(folder))
        rows = start_up(rounds, tell)
        rows += throughput(program, rounds, seconds, tell, remarks)
        rows += shaped(program, tell, remarks)
    return rows + calibration(tell), remarks


# --- Start-up


def start_up(rounds: int, tell: Callable[[str], None]) -> list[Row]:
    rows = []
    for hosts, goal in ((64, 1.0), (1024, 8.0)):
        for rootless, who in ((None, "root"), (True, "rootless")):
            tell(f"start-up, {hosts} hosts, {who}")
            if rootless is None and missing_capabilities():
                continue
            took = []
            for _ in range(rounds):
                topology = Topology.leaf_spine(leaves=hosts // 16, spines=4, hosts_per_leaf=16)
                began = time.monotonic()
                with Lab(topology, rootless=rootless):
                    took.append(time.monotonic() - began)
            value = statistics.median(took)
            rows.append(
                Row("start-up", f"{hosts} hosts, {who}", value, "s", "goal", value / goal,
                    f"< {goal:g} s", value < goal)
            )  # fmt: skip
    return rows


# --- Throughput


def throughput(
    program: Path, rounds: int, seconds: float, tell: Callable[[str], None], remarks: list[str]
) -> list[Row]:
    """Capacities, each round in turn; ratios to Mininet's best."""
    cases: dict[str, tuple[Opener, int, float | None]] = {
        "lab, root": (lambda: in_lab(None, False), 1, 300e3),
        "lab, rootless": (lambda: in_lab(True, False), 1, 150e3),
        "Linux bridge + tbf": (lambda: in_peer(lab_peers.bridge), 1, None),
        "Open vSwitch, user space": (lambda: in_peer(lab_peers.open_vswitch), 1, None),
        "lab, root, trains": (lambda: in_lab(None, True), SEGMENTS, 8e9),
        "Linux bridge + tbf, trains": (lambda: in_peer(lab_peers.bridge), SEGMENTS, None),
    }
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        for name, (opened, segments, _) in cases.items():
            tell(f"round {number + 1}: {name}")
            try:
                found.setdefault(name, []).append(capacity(opened, program, seconds, segments))
            except Unavailable as error:
                remarks.append(f"skipped: {name}: {error}")
                found.pop(name, None)
    medians = {name: statistics.median(values) for name, values in found.items()}
    rows = []
    for name, value in medians.items():
        segments, goal = cases[name][1:]
        train = segments > 1
        peers = [v for n, v in medians.items() if "lab" not in n and (cases[n][1] > 1) == train]
        shown, unit = (value * BYTES * 8 / 1e9, "Gbit/s") if train else (value / 1e3, "k packets/s")
        row = Row("throughput, 1400 B", name, shown, unit)
        if "lab" in name and max(peers, default=0.0) > 0:
            row = replace(row, against="Mininet's best", ratio=value / max(peers))
        if goal is not None:
            reached = value * BYTES * 8 if train else value
            text = f">= {goal / 1e9:g} Gbit/s" if train else f">= {goal / 1e3:g} k packets/s"
            row = replace(row, goal=text, holds=reached >= goal)
        rows.append(row)
    return rows


def shaped(program: Path, tell: Callable[[str], None], remarks: list[str]) -> list[Row]:
    """What tbf makes of 100 Mbit/s, for comparison with the lab's rates."""
    tell("rate of tbf")
    rate, wire = 100e6, BYTES + 42
    try:
        with in_peer(lambda: lab_peers.bridge(rate="100mbit")) as place:
            _, _, came = carry(place, program, 1.5 * rate / 8 / wire, 1.0)
    except Unavailable as error:
        remarks.append(f"skipped: rate of tbf: {error}")
        return []
    got = (came["bytes"] - came["first_bytes"]) / BYTES * wire * 8 / came["seconds"]
    return [Row("calibration", "tbf, 100 Mbit/s", got / 1e6, "Mbit/s", "theory", got / rate)]


# --- Calibration


def star(**link: Any) -> Topology:
    """Two hosts on one switch; `link` changes the cable of the first."""
    cables = [LinkSpec(f"h{host}", "s0", "1Gbit/s", "1ms") for host in range(2)]
    topology = Topology.graph(2, ["s0"], cables)
    if link:
        topology.set_link("h0", "s0", **link)
    return topology


def believed(row: Row, lab: Lab, *more: str) -> Row:
    """The row, without a verdict when its run is not valid, or for `more` reasons."""
    faults = [*lab.fidelity().faults, *more]
    return replace(row, holds=None, note="NOT VALID: " + "; ".join(faults)) if faults else row


def calibration(tell: Callable[[str], None]) -> list[Row]:
    rows = []
    for rate in (20e6, 100e6):
        tell(f"rate of {rate / 1e6:g} Mbit/s")
        with Lab(star(rate=rate), queues=Queues(capacity=60_000)) as lab:
            got = measure.rate(lab, "h1", "h0", 1.5 * rate, 1.0)
            row = Row("calibration", f"lab, {rate / 1e6:g} Mbit/s", got / 1e6, "Mbit/s", "theory",
                      got / rate, "within 3 %", abs(got / rate - 1) <= 0.03)  # fmt: skip
            starved = [] if sum(lab.port_stats()["drops"]) else ["the source offered too little"]
            rows.append(believed(row, lab, *starved))
    for rootless, who in ((None, "root"), (True, "rootless")):
        tell(f"delay, {who}")
        if rootless is None and missing_capabilities():
            continue
        rows.append(_delay(rootless, who))
    tell("loss, marks")
    with Lab(star(loss=0.02), seed=7) as lab:
        count = 5000
        lost = measure.lost(lab, "h0", "h1", count, 10_000)
        low, high = measure.binomial_bounds(count, 0.02)
        row = Row("calibration", "loss of 2 %", 100 * lost / count, "%", "theory",
                  lost / count / 0.02, f"{low / 50:.1f} .. {high / 50:.1f} %",
                  low <= lost <= high)  # fmt: skip
        rows.append(believed(row, lab))
    depth, wire = 10, 1000 + measure.HEADERS + measure.WIRE
    queues = Queues(ecn_min=depth * wire - 1, ecn_max=depth * wire - 1)
    with Lab(star(rate="2Mbit/s"), queues=queues) as lab:
        first = measure.first_marked(lab, "h1", "h0", 3 * depth) or 0
        row = Row("calibration", f"first mark at {depth} waiting", first - 1, "packets", "theory",
                  (first - 1) / depth, "within 2 packets", depth <= first <= depth + 3)  # fmt: skip
        rows.append(believed(row, lab))
    tell("spread, fairness")
    return [*rows, _spread(), _fairness()]


def _delay(rootless: bool | None, who: str) -> Row:
    size, count = 100, 500
    asked = 2 * (1e-3 + (size + measure.HEADERS + measure.WIRE) * 8 / 1e9)
    allowed = 50e-6 + 0.01 * asked
    with Lab(star(), rootless=rootless, tolerance=allowed) as lab:
        took = measure.delays(lab, "h0", "h1", count, 1000, size)
        p99 = took[math.ceil(0.99 * count) - 1]
        row = Row("calibration", f"one-way delay, p99, {who}", p99 * 1e6, "us", "theory",
                  p99 / asked, f"< {(asked + allowed) * 1e6:.0f} us",
                  p99 <= asked + allowed)  # fmt: skip
        return believed(row, lab)


def _spread() -> Row:
    spines, flows = 4, 400
    topology = Topology.leaf_spine(leaves=2, spines=spines, hosts_per_leaf=1)
    with Lab(topology, seed=7) as lab:
        for _ in range(flows):
            with measure.datagrams(lab, "h0", "h1") as (sender, _receiver):
                sender.send(b"x")
        lab.ping("h0", "h1")
        packets = lab.port_stats()["packets"]
        up = [packets[2 * topology.links_between("leaf0", f"spine{s}")[0]] for s in range(spines)]
        low, _ = measure.binomial_bounds(flows, 1 / spines)
        row = Row("calibration", f"ECMP, {flows} flows on {spines} ways, least", min(up), "flows",
                  "equal shares", min(up) * spines / flows, f">= {low:.0f}",
                  min(up) >= low)  # fmt: skip
        return believed(row, lab)


def _fairness() -> Row:
    flows = 8
    cables = [LinkSpec(f"h{h}", "s0", "100Mbit/s", "100us") for h in range(flows + 1)]
    topology = Topology.graph(flows + 1, ["s0"], cables)
    topology.set_link("h0", "s0", rate="20Mbit/s")
    with Lab(topology, queues=Queues(capacity=100_000)) as lab:
        index = measure.jain(measure.tcp_shares(lab, flows, 4.0))
        row = Row("calibration", f"Jain's index of {flows} TCP flows", index, "", "equal shares",
                  index, ">= 0.7", index >= 0.7)  # fmt: skip
        return believed(row, lab)


def tables(rows: list[Row]) -> list[Figures]:
    """As weft.bench.report takes them: one per group."""
    columns = ["", "measured", "ratio", "to", "goal", "reached"]
    verdict = {True: "yes", False: "NO", None: ""}
    made = []
    for group in dict.fromkeys(row.group for row in rows):
        cells = [
            [
                row.name,
                f"{row.value:.4g} {row.unit}".strip(),
                "" if row.ratio is None else f"{row.ratio:.3g}",
                row.against,
                row.goal,
                verdict[row.holds] or ("not valid" if row.note else ""),
            ]
            for row in rows
            if row.group == group
        ]
        made.append((group, columns, cells))
    return made
