"""`weft lab run`: a scenario with real processes on real sockets, measured as the simulator does.

from weft.emulation import Scenario
from weft.emulation.lab import run
outcome = run(Scenario.load(Path("permutation.toml")))
print(outcome.result.completion.p99, outcome.fidelity.valid)
"""

from __future__ import annotations

import dataclasses
import secrets
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, cast

import numpy as np

import weft
import weft._native._core as _core
from weft.emulation.events import Event
from weft.emulation.lab.errors import LabError
from weft.emulation.lab.fidelity import Fidelity
from weft.emulation.lab.lab import Lab
from weft.emulation.lab.machine import MachineOptions
from weft.emulation.lab.parts import Item, Part, Played
from weft.emulation.lab.sockets import as_on_sockets, socket_options
from weft.emulation.lab.workers.inventory import Worker
from weft.emulation.scenario import Scenario
from weft.emulation.simulation import Result

PLAYER = "weft.emulation.lab.player"
UP_DEADLINE = 60.0
LEAD = 0.2
"""Seconds between the last process' readiness and the common start."""
SAMPLES = 200
"""Of the ports' counters, over a run."""


@dataclass
class Outcome:
    """What a run in the lab measured; times are those of the model (wall clock / dilation)."""

    result: Result
    fidelity: Fidelity
    errors: list[str] = field(default_factory=list)
    """What hosts complained of, beginning with their name."""
    connections: list[dict[str, Any]] = field(default_factory=list)
    """What each end of a connection counted (weft's statistics of channels), and whose it is."""

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return self.result.record() | {"fidelity": self.fidelity.record(), "errors": self.errors}


def run(
    scenario: Scenario, rootless: bool | None = None, workers: Sequence[Worker] = ()
) -> Outcome:
    """Bring the fabric up, start one process per host, play the workload, look at it.

    Raises LabError when it cannot be, FabricDied when the fabric process dies meanwhile; both bear
    the scenario's name. Processes that fail or do not end within the limit are in `errors`.
    """
    options = scenario.lab
    if scenario.mode != "packet":
        raise LabError(f"{scenario.name}: the lab has packets; mode = 'flow' is for the simulator")
    if scenario.programs:
        raise LabError(f"{scenario.name}: P4 programs run in the simulator, not yet in `lab run`")
    parts = _parts(scenario)
    host, hosts = scenario.host, scenario.topology.hosts
    with Lab(
        scenario.topology, queues=scenario.queues, seed=scenario.seed, mtu=options.mtu,
        dilation=options.dilation, trains=options.trains, name=scenario.name, rootless=rootless,
        tolerance=options.tolerance, fabric=options.fabric, workers=workers,
        machines=[scenario.topology.node_name(n) for n in range(hosts)] if host.machines else [],
        machine=MachineOptions(host.cpus, host.memory >> 20),
    ) as lab:  # fmt: skip
        return _Run(lab, scenario, parts).go()


def _parts(scenario: Scenario) -> list[Part]:
    work, slower = scenario.workload, scenario.lab.dilation
    items: list[list[Item]] = [[] for _ in range(scenario.topology.hosts)]
    for m in range(len(work)):
        source, destination = work.source[m], work.destination[m]
        for before in work.after[m]:
            if source not in (work.source[before], work.destination[before]):
                raise LabError(
                    f"{scenario.name}: message {m} of h{source} waits for message {before} between "
                    f"h{work.source[before]} and h{work.destination[before]}, of which h{source} "
                    "cannot know"
                )
        item = Item(
            m, source, destination, work.size[m], work.start[m] * slower, work.delay[m] * slower,
            tuple(work.after[m]),
        )  # fmt: skip
        for host in {source, destination}:
            items[host].append(item)
    group = secrets.randbits(62) | 1 << 62
    chosen = socket_options(scenario) if scenario.lab.carrier == "weft" else {}
    parts = []
    for host, mine in enumerate(items):
        peers = {i.source for i in mine} | {i.destination for i in mine}
        parts.append(
            Part(host, "", scenario.lab.carrier, group, chosen, sorted(peers - {host}), mine,
                 scenario.limit * slower, datapath="verbs" if scenario.host.machines else "udp",
                 own_clock=scenario.host.machines)
        )  # fmt: skip
    return parts


class _Run:
    """One run in a lab that is up."""

    def __init__(self, lab: Lab, scenario: Scenario, parts: list[Part]) -> None:
        self.lab = lab
        self.scenario = scenario
        self.parts = parts
        self.errors: list[str] = []
        self.played: dict[int, Played] = {}
        self.samples: list[tuple[float, dict[str, list[int]]]] = []
        self.processes: dict[int, subprocess.Popen[Any]] = {}
        self.ends: dict[int, Connection] = {}

    def go(self) -> Outcome:
        playing = [part.host for part in self.parts if part.items]
        try:
            for host in playing:
                self._start(host)
            addresses: list[Any] = [b""] * len(self.parts)
            for host, address in self._gather(playing, UP_DEADLINE).items():
                addresses[host] = address
            for host in playing:
                self.ends[host].send(addresses)
            self._gather(playing, UP_DEADLINE)
            self._play(playing)
            return self._outcome()
        finally:
            for end in self.ends.values():
                end.close()
            for process in self.processes.values():
                process.kill()
                process.wait()

    def _start(self, host: int) -> None:
        ours, theirs = socket.socketpair()
        there = self.lab.worker(host)
        with theirs:
            self.processes[host] = self.lab.hosts[host].popen(
                [sys.executable if there is None else there.worker.python, "-m", PLAYER],
                stdin=theirs, stdout=theirs,
            )  # fmt: skip
        self.ends[host] = Connection(ours.detach())
        part = dataclasses.replace(self.parts[host], ip=self.lab.hosts[host].ip)
        self.ends[host].send(part)

    def _gather(self, hosts: list[int], deadline: float) -> dict[int, Any]:
        """One message from each of the hosts; what comes from those that failed is an error."""
        came: dict[int, Any] = {}
        until = time.monotonic() + deadline
        missing = {self.ends[host]: host for host in hosts}
        while missing:
            ready = wait(list(missing), timeout=0.5)
            self.lab.check()
            for end in ready:
                host = missing.pop(cast(Connection, end))
                try:
                    came[host] = self.ends[host].recv()
                except EOFError:
                    raise LabError(
                        f"{self.scenario.name}: the process on h{host} ended before its time"
                    ) from None
                if isinstance(came[host], Played):
                    raise LabError(f"{self.scenario.name}: h{host}: {came[host].error}")
            if missing and time.monotonic() > until:
                names = ", ".join(f"h{host}" for host in sorted(missing.values())[:5])
                raise LabError(
                    f"{self.scenario.name}: {names} did not come up within {deadline:g} s"
                )
        return came

    def _play(self, hosts: list[int]) -> None:
        slower = self.scenario.lab.dilation
        limit = self.scenario.limit * slower
        self.base = self.lab.port_stats()
        start = time.monotonic() + LEAD
        for host in hosts:
            if self.scenario.host.machines:
                # It has a clock of its own, and counts from when it hears of it.
                self.ends[host].send(LEAD)
            else:
                there = self.lab.worker(host)
                self.ends[host].send(start + (0.0 if there is None else there.offset))
        time.sleep(max(0.0, start - time.monotonic()))
        if self.scenario.events:
            self.lab.play(*_slowed(self.scenario, slower))
        missing = {self.ends[host]: host for host in hosts}
        interval = max(0.02, (self.scenario.sample_interval or limit / SAMPLES) * slower)
        interval = min(interval, 0.1)
        while missing and time.monotonic() < start + limit + 2.0:
            for end in wait(list(missing), timeout=interval):
                host = missing.pop(cast(Connection, end))
                try:
                    self.played[host] = self.ends[host].recv()
                except EOFError:
                    self.errors.append(f"h{host}: its process ended before its time")
            self.lab.check()
            self.samples.append(((time.monotonic() - start) / slower, self.lab.port_stats()))
        for host in sorted(missing.values()):
            self.errors.append(f"h{host}: did not end within the limit")
        for host, played in sorted(self.played.items()):
            if played.error is not None:
                self.errors.append(f"h{host}: {played.error}")

    def _outcome(self) -> Outcome:
        scenario, slower = self.scenario, self.scenario.lab.dilation
        work = scenario.workload
        started = np.full(len(work), np.nan)
        received = np.full(len(work), np.nan)
        for host, played in self.played.items():
            for m, at in played.started.items():
                started[m] = at / slower
            for m, at in played.ended.items():
                if work.destination[m] == host:
                    received[m] = at / slower
        final = self.lab.port_stats()
        stats = {key: np.asarray(values) - (0 if "backlog" in key else np.asarray(self.base[key]))
                 for key, values in final.items()}  # fmt: skip
        same = as_on_sockets(scenario)
        bound = _core.simulator.ideal(
            scenario.topology.native, work.native(), same.transport.chunk_size,
            same.transport.packet_overhead,
        )  # fmt: skip
        counts = self.lab.counts()
        waited = max((part.waited for part in self.played.values()), default=0.0)
        fidelity = dataclasses.replace(self.lab.fidelity(), hosts_waited=waited)
        result = Result(
            scenario,
            started=started,
            received=received,
            ideal_duration=bound.messages * 1e-12,
            ideal_bound=bound.bound * 1e-12,
            critical_path=bound.critical_path * 1e-12,
            load_bound=bound.load * 1e-12,
            port_bytes=stats["bytes"].astype(float),
            port_stats=stats,
            transport=_totals(self.played),
            dropped={key.removeprefix("dropped_"): value for key, value in counts.items()
                     if key.startswith("dropped_")},
            sample_times=np.asarray([at for at, _ in self.samples]),
            sample_backlog=np.asarray([ports["backlog"] for _, ports in self.samples]),
            sample_bytes=np.asarray([ports["bytes"] for _, ports in self.samples])
            - np.asarray(self.base["bytes"]) if self.samples else np.zeros((0, 0)),
            evidence={"mode": "lab", "seed": scenario.seed, "weft": weft.__version__,
                      "events": counts["frames_out"], "wall_seconds": fidelity.elapsed,
                      "cpu_seconds": fidelity.fabric_cpu},
        )  # fmt: skip
        return Outcome(result, fidelity, self.errors, _connections(self.played))


def _slowed(scenario: Scenario, slower: float) -> list[Event]:
    def later(time: float | None) -> float | None:
        return None if time is None else time * slower

    return [
        dataclasses.replace(event, at=event.at * slower, lasts=later(event.lasts))
        for event in scenario.events
    ]


def _connections(played: dict[int, Played]) -> list[dict[str, Any]]:
    return [
        {"host": f"h{host}"} | peer["channel"]
        for host, part in sorted(played.items())
        for peer in part.stats.get("peers", [])
        if "chunk_size" in peer.get("channel", {})
    ]


def _totals(played: dict[int, Played]) -> dict[str, Any]:
    """The counters that the report wants, summed over all hosts' connections."""
    totals: defaultdict[str, int] = defaultdict(int)

    def add(node: Any) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                if isinstance(value, int) and not isinstance(value, bool):
                    totals[key] += value
                else:
                    add(value)
        elif isinstance(node, list):
            for value in node:
                add(value)

    for part in played.values():
        add(part.stats)
    wanted = ("chunks_sent", "retransmitted", "timeouts", "acks_sent")
    return {key: totals.get(key, 0) for key in wanted}
