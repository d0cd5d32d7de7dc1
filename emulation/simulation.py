"""Run a scenario in virtual time and look at what came of it.

from weft.emulation import Scenario, simulate
result = simulate(Scenario.load(Path("permutation.toml")))
print(result.completion.p99, result.slowdown)
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import weft
import weft._native._core as _core
from weft.emulation import events, programs
from weft.emulation.expectations import workload_metric
from weft.emulation.scenario import Scenario
from weft.emulation.topology import picoseconds

_simulator = _core.simulator

Progress = Callable[[int, float], bool]
"""Called with the number of finished messages and the simulated time; False ends the run."""


@dataclass(frozen=True)
class Summary:
    """A distribution in five numbers. Of nothing: all zero."""

    count: int
    mean: float
    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: np.ndarray) -> Summary:
        if not len(values):
            return cls(0, 0.0, 0.0, 0.0, 0.0)
        p50, p99 = np.percentile(values, [50, 99])
        return cls(len(values), float(values.mean()), float(p50), float(p99), float(values.max()))


@dataclass
class PathEvent:
    """What a traced connection reported (see `traced_connections`)."""

    at: float
    host: int
    peer: int
    kind: str
    path: int
    value: int
    bytes: int


@dataclass
class Result:
    """What a run measured. Times in seconds, sizes in bytes; arrays have one entry per message."""

    scenario: Scenario
    started: np.ndarray
    received: np.ndarray
    """When the last byte was there; NaN: never."""
    ideal_duration: np.ndarray
    """Of each message alone in an idle network."""
    ideal_bound: float
    """No transport can end the workload earlier: the larger of `critical_path` and `load_bound`."""
    critical_path: float
    load_bound: float
    port_bytes: np.ndarray
    """Sent by each port; port 2l is link l from its first end to its second, 2l + 1 back."""
    port_stats: dict[str, np.ndarray] = field(default_factory=dict)
    transport: dict[str, Any] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    failures: list[tuple[str, str, float, str]] = field(default_factory=list)
    """(host, peer, time, reason) of connections that gave up."""
    trace: list[PathEvent] = field(default_factory=list)
    sample_times: np.ndarray = field(default_factory=lambda: np.zeros(0))
    sample_backlog: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    sample_bytes: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    evidence: dict[str, Any] = field(default_factory=dict)
    """Seed, versions and how the run itself fared."""

    @property
    def unfinished(self) -> int:
        return int(np.isnan(self.received).sum())

    @property
    def is_message(self) -> NDArray[np.bool_]:
        """True for messages, False for computations."""
        messages: NDArray[np.bool_] = self.scenario.workload.is_message
        return messages

    @property
    def durations(self) -> NDArray[np.float64]:
        """From start to last byte, of the messages that got through."""
        done = self.is_message & ~np.isnan(self.received)
        times: NDArray[np.float64] = (self.received - self.started)[done]
        return times

    @property
    def completion(self) -> Summary:
        return Summary.of(self.durations)

    @property
    def end(self) -> float:
        """When the last message was received (or computation done)."""
        return float(np.nanmax(self.received)) if self.unfinished < len(self.received) else 0.0

    @property
    def slowdown(self) -> float:
        """End of the workload over its ideal bound; infinite when it did not end."""
        return float("inf") if self.unfinished else self.end / self.ideal_bound

    @property
    def link_load(self) -> np.ndarray:
        """Per port: bytes carried over what it could carry until the end, 0 .. 1."""
        rates = np.repeat(np.asarray(self.scenario.topology.rates()), 2)
        return self.port_bytes * 8 / (rates * self.end) if self.end > 0 else self.port_bytes * 0.0

    def metrics(self) -> dict[str, float]:
        """The values that expectations compare (emulation/expectations.py says what each is)."""
        completion = self.completion
        work = self.scenario.workload
        values = {
            "end": self.end if not self.unfinished else float("inf"),
            "ideal": self.ideal_bound,
            "slowdown": self.slowdown,
            "mean": completion.mean,
            "p50": completion.p50,
            "p99": completion.p99,
            "max": completion.max,
            "messages": float(self.is_message.sum()),
            "unfinished": float(self.unfinished),
            "errors": float(self.unfinished + len(self.failures)),
            "retransmitted": float(self.transport.get("retransmitted", 0)),
            "dropped": float(sum(self.dropped.values())),
            "max_link_load": float(self.link_load.max(initial=0.0)),
        }
        for metric, column in (
            ("marked", "marks"), ("trimmed", "trims"), ("max_queue", "peak_backlog"),
        ):  # fmt: skip
            ports = self.port_stats.get(column, np.zeros(0))
            values[metric] = float(ports.max(initial=0) if metric == "max_queue" else ports.sum())
        for index, name in enumerate(work.names):
            mine = self.received[np.asarray(work.group) == index]
            late = np.isnan(mine).any() or not len(mine)
            values[workload_metric(name)] = float("inf") if late else float(mine.max())
        return values

    def record(self) -> dict[str, Any]:
        """All but the arrays, as plain values: what `weft sim --json` prints."""
        work = self.scenario.workload
        parts: dict[str, Any] = {}
        for index, name in enumerate(work.names):
            mine = (np.asarray(work.group) == index) & self.is_message & ~np.isnan(self.received)
            if mine.any():
                parts.setdefault(name, asdict(Summary.of((self.received - self.started)[mine])))
        queues = self.port_stats.get("peak_backlog")
        return {
            "name": self.scenario.name,
            "fabric": self.scenario.topology.name,
            "hosts": self.scenario.topology.hosts,
            "messages": int(self.is_message.sum()),
            "unfinished": self.unfinished,
            "end": self.end,
            "ideal_bound": self.ideal_bound,
            "critical_path": self.critical_path,
            "load_bound": self.load_bound,
            "slowdown": None if self.unfinished else self.slowdown,
            "completion": asdict(self.completion),
            "workloads": parts,
            "max_link_load": float(self.link_load.max(initial=0.0)),
            "max_queue": int(queues.max(initial=0)) if queues is not None else None,
            "transport": self.transport,
            "dropped": self.dropped,
            "failures": [list(failure) for failure in self.failures],
            "evidence": self.evidence,
        }


def simulate(scenario: Scenario, progress: Progress | None = None) -> Result:
    """Run a scenario. Several threads may run several at once.

    Raises ValueError for a workload, option or event that cannot be, before anything runs.
    """
    topology, work = scenario.topology.native, scenario.workload.native()
    framing = scenario.transport.chunk_size, scenario.transport.packet_overhead
    bound = _simulator.ideal(topology, work, *framing)
    began = time.thread_time()
    if scenario.mode == "flow":
        result = _flow_level(scenario, topology, work)
    else:
        result = _packets(scenario, topology, work, progress)
    result.ideal_duration = bound.messages * 1e-12
    result.ideal_bound = bound.bound * 1e-12
    result.critical_path = bound.critical_path * 1e-12
    result.load_bound = bound.load * 1e-12
    result.evidence |= {
        "mode": scenario.mode,
        "seed": scenario.seed,
        "weft": weft.__version__,
        "python": platform.python_version(),
        "cpu_seconds": time.thread_time() - began,
    }
    return result


def _seconds(picos: np.ndarray) -> np.ndarray:
    values = picos * 1e-12
    values[picos < 0] = np.nan
    return values


def _packets(
    scenario: Scenario, topology: object, work: object, progress: Progress | None
) -> Result:
    options = _simulator.SimulationOptions()
    scenario.transport.apply(options)
    scenario.queues.apply(options, scenario.seed)
    options.cues = [
        cue for event in scenario.events for cue in events.cues(event, scenario.topology)
    ]
    options.limit = picoseconds(scenario.limit)
    options.sample_interval = picoseconds(scenario.sample_interval or 0.0)
    options.traced_connections = scenario.traced_connections
    report = None if progress is None else lambda done, now: progress(done, now * 1e-12)
    with programs.opened(scenario.programs, scenario.topology, options):
        run = _simulator.simulate(topology, work, options, report)
    name = scenario.topology.node_name
    ports = run.ports
    return Result(
        scenario,
        started=_seconds(run.started),
        received=_seconds(run.received),
        ideal_duration=np.zeros(0),
        ideal_bound=0.0,
        critical_path=0.0,
        load_bound=0.0,
        port_bytes=ports["bytes"].astype(float),
        port_stats=ports,
        transport=run.transport,
        dropped=run.dropped,
        failures=[(name(a), name(b), at * 1e-12, reason) for a, b, at, reason in run.failures],
        trace=[PathEvent(at * 1e-12, *rest) for at, *rest in run.trace],
        sample_times=run.sample_times * 1e-12,
        sample_backlog=run.sample_backlog,
        sample_bytes=run.sample_bytes,
        evidence={
            "wall_seconds": run.wall_seconds,
            "events": run.events,
            "packets": run.packets,
            "peak_packets": run.peak_packets,
            "stopped_by": _stopped_by(scenario, run),
        },
    )


def _stopped_by(scenario: Scenario, run: Any) -> str:
    if not run.unfinished:
        return "completion"
    return (
        "failures" if run.failures else f"limit of {scenario.limit:g} s, or nothing left to happen"
    )


def _flow_level(scenario: Scenario, topology: object, work: object) -> Result:
    if scenario.events:
        raise ValueError("flow mode knows no events; use mode = 'packet'")
    run = _simulator.flow_level(
        topology=topology,
        workload=work,
        chunk_size=scenario.transport.chunk_size,
        overhead=scenario.transport.packet_overhead,
        paths=scenario.transport.paths,
        spray=scenario.queues.forwarding == "spray",
        seed=scenario.seed,
    )
    return Result(
        scenario,
        started=_seconds(run.started),
        received=_seconds(run.received),
        ideal_duration=np.zeros(0),
        ideal_bound=0.0,
        critical_path=0.0,
        load_bound=0.0,
        port_bytes=run.port_bytes.astype(float),
        evidence={"wall_seconds": run.wall_seconds, "steps": run.steps},
    )
