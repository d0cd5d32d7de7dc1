"""`weft bench simulator`: the fabric simulator against its yardstick and ns-3.

The yardstick is a permutation of 2 MB over a fully provisioned fat-tree, as htsim's users run it,
with the full transport at both ends of every flow. Each figure is the quickest of several runs of
one core: what others do on the machine can only slow one down.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from weft.bench.libraries import SOURCES
from weft.bench.processes import MeasurementError
from weft.bench.report import Figures
from weft.emulation import (
    Policy,
    Queues,
    Result,
    Scenario,
    Topology,
    Transport,
    Workload,
    simulate,
)
from weft.emulation import workload as patterns

MESSAGE = 2_000_000
HTSIM_END = 206e-6
"""Seconds until htsim's last flow of 1,024 ends (EQDS, 128 paths)."""
GOALS = {1024: (1.5, 1e9), 16384: (60.0, 16e9)}
"""Seconds and bytes by hosts, where htsim takes 10 to 14.5 s for 1,024."""
NS3_GOAL = 20.0
"""Times ns-3's packets per second."""
NS3 = SOURCES.parent / "ns3" / "leaf_spine.cc"
NS3_DEADLINE = 300.0


@dataclass(frozen=True, slots=True)
class Row:
    """One size of the yardstick. `memory` is the process's peak so far, in bytes."""

    hosts: int
    seconds: float
    memory: float
    end: float
    """Seconds of virtual time until the last flow ends."""
    packets: int
    """With payload, those sent again included."""

    @property
    def holds(self) -> bool:
        seconds, memory = GOALS.get(self.hosts, (float("inf"), float("inf")))
        return self.seconds <= seconds and self.memory <= memory


@dataclass(frozen=True, slots=True)
class Peer:
    """Packets with payload per second of 64 hosts: ns-3 with bare UDP, Weft with its transport."""

    ns3: float
    weft: float

    @property
    def holds(self) -> bool:
        return self.weft >= NS3_GOAL * self.ns3


def permutation(hosts: int, rounds: int, tell: Callable[[str], None]) -> Row:
    """Sizes should rise from call to call, since a process's peak of memory never falls."""
    topology = Topology.fat_tree(pods=hosts // 64, pod_tors=8, pod_aggregations=8, tor_down=8)
    scenario = _permutation(topology, Transport(paths=128, overhead=46))
    runs = []
    for _ in range(rounds):
        tell(f"{hosts} hosts")
        runs.append(_run(scenario))
    seconds, result = min(runs, key=lambda run: run[0])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    packets = int(result.transport["chunks_sent"])
    return Row(hosts, seconds, memory, result.end, packets)


def against_ns3(rounds: int, tell: Callable[[str], None]) -> Peer | None:
    """A permutation over a leaf-spine of 64 hosts, in turn; None where ns-3 is not installed."""
    compiler = shutil.which("c++")
    if compiler is None or not Path("/usr/include/ns3/core-module.h").exists():
        return None
    # Nothing is marked or cut here, as in ns-3's scenario: bare forwarding is compared.
    calm = Policy("swift", {"initial_window": 64, "base_target_us": 40})
    options = Transport(paths=128, congestion=calm)
    topology = Topology.leaf_spine(leaves=8, spines=8, hosts_per_leaf=8)
    scenario = _permutation(topology, options)
    packets = topology.hosts * -(-MESSAGE // options.chunk_size)
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        program = _compile(compiler, Path(folder))
        for _ in range(rounds):
            tell("64 hosts, ns-3 beside")
            theirs.append(_ns3_rate(program))
            ours.append(packets / _run(scenario)[0])
    return Peer(max(theirs), max(ours))


def _permutation(topology: Topology, options: Transport) -> Scenario:
    work = Workload()
    patterns.permutation(work, range(topology.hosts), MESSAGE, seed=1)
    return Scenario(topology, work, options, Queues(forwarding="spray"))


def _run(scenario: Scenario) -> tuple[float, Result]:
    began = time.perf_counter()
    result = simulate(scenario)
    seconds = time.perf_counter() - began
    if result.unfinished:
        raise MeasurementError(f"{result.unfinished} messages of the permutation did not end")
    return seconds, result


def _compile(compiler: str, folder: Path) -> Path:
    program = folder / "leaf_spine"
    modules = ("core", "network", "internet", "applications", "point-to-point")
    # ns-3's headers are C++17 and do not compile without warnings.
    build = [compiler, "-std=c++17", "-O2", "-w", str(NS3), "-o", str(program)]
    built = subprocess.run(
        [*build, *(f"-lns3-{module}" for module in modules)],
        capture_output=True, text=True, timeout=NS3_DEADLINE, check=False,
    )  # fmt: skip
    if built.returncode != 0:
        raise MeasurementError(f"ns-3's program does not compile: {built.stderr[-500:]}")
    return program


def _ns3_rate(program: Path) -> float:
    try:
        done = subprocess.run(
            [program], capture_output=True, text=True, timeout=NS3_DEADLINE, check=True
        )
    except subprocess.SubprocessError as error:
        raise MeasurementError(f"ns-3: {error}") from None
    packets, _, seconds = done.stdout.split()
    return int(packets) / float(seconds)


def tables(rows: list[Row], peer: Peer | None) -> list[Figures]:
    """Title, columns and cells, as `weft bench` shows and records them."""
    columns = ["hosts", "packets", "run, s", "goal, s", "memory, MB", "goal, MB", "last flow, us"]
    cells = [
        [f"{row.hosts:,}", f"{row.packets:,}", f"{row.seconds:.2f}", seconds,
         f"{row.memory / 1e6:,.0f}", memory, f"{1e6 * row.end:.1f}"]
        for row in rows
        for seconds, memory in [_goals(row.hosts)]
    ]  # fmt: skip
    found = [("permutation of 2 MB over a fat-tree, 100 Gbit/s, 128 paths", columns, cells)]
    if peer:
        columns = [
            "ns-3 (bare UDP), packets/s",
            "weft (full transport), packets/s",
            "ratio",
            "goal",
        ]
        cells = [[f"{peer.ns3:,.0f}", f"{peer.weft:,.0f}", f"{peer.weft / peer.ns3:.1f}",
                  f"{NS3_GOAL:.0f}"]]  # fmt: skip
        found.append(("permutation of 2 MB over a leaf-spine of 64 hosts", columns, cells))
    return found


def _goals(hosts: int) -> tuple[str, str]:
    if hosts not in GOALS:
        return "-", "-"
    seconds, memory = GOALS[hosts]
    return f"{seconds:g}", f"{memory / 1e6:,.0f}"


def remarks(rows: list[Row], peer: Peer | None) -> list[str]:
    """What the figures are held against, one line each."""
    said = [
        f"htsim's last flow of 1,024 ends at {1e6 * HTSIM_END:.0f} us: ours at "
        f"{row.end / HTSIM_END:.3f} of that"
        for row in rows
        if row.hosts == 1024
    ]
    if not peer:
        said.append("ns-3 is not installed here (Debian: libns3-dev): not compared")
    return said
