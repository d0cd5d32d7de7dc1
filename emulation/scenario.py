"""A scenario: fabric, workload, transport, events, metrics; from a TOML file or from Python.

The same scenario serves the simulator and the lab. docs/scenarios.md lists every key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import weft._native._core as _core
from weft.emulation import events, expectations, htsim, workload
from weft.emulation.document import Document, ScenarioError, Table, file_of
from weft.emulation.expectations import Expectation
from weft.emulation.policy import (
    CARRIERS,
    FABRICS,
    HOST_KINDS,
    PINNINGS,
    HostOptions,
    LabOptions,
    Policy,
    Queues,
    Transport,
)
from weft.emulation.programs import Program
from weft.emulation.programs import check as check_programs
from weft.emulation.topology import DEFAULT_DELAY, DEFAULT_RATE, LinkSpec, Topology
from weft.emulation.units import bits_per_second, seconds
from weft.emulation.workload import Workload

MODES = ("packet", "flow")
SMALLEST_MACHINE = 512 << 20


@dataclass
class Scenario:
    """Everything one run needs. Times in seconds."""

    topology: Topology
    workload: Workload
    transport: Transport = field(default_factory=Transport)
    queues: Queues = field(default_factory=Queues)
    events: list[events.Event] = field(default_factory=list)
    seed: int = 1
    mode: str = "packet"
    """"packet", or "flow" for max-min fair fluids without packets."""
    limit: float = 10.0
    """Simulated time at which a run gives up."""
    sample_interval: float | None = None
    """Of queue depths and link loads; None: none are taken."""
    traced_connections: int = 0
    name: str = "scenario"
    programs: list[Program] = field(default_factory=list)
    """P4 programs, which decide in place of routing at the switches that they name."""
    lab: LabOptions = field(default_factory=LabOptions)
    host: HostOptions = field(default_factory=HostOptions)
    expect: list[Expectation] = field(default_factory=list)
    """What must hold for a run to pass; `weft suite` checks it."""
    constants: dict[str, float] = field(default_factory=dict)
    """Numbers with names that `expect` may use beside the metrics; times in seconds."""

    @classmethod
    def load(cls, path: Path) -> Scenario:
        """Read a file, or one case of its matrix ("FILE.toml#CASE"). Raises ScenarioError, which
        names file, line and key."""
        return cls.of(Document.read(path), file_of(path).parent)

    @classmethod
    def of(cls, source: Document, folder: Path = Path()) -> Scenario:
        """From a parsed document; files it names are relative to `folder`."""
        root = source.root()
        seed = root.integer("seed", 1, high=2**63 - 1)
        name = root.text("name", Path(source.name).stem)
        fabric = root.table("fabric")
        topology = _topology(fabric, folder)
        queues = _queues(fabric)
        programs = _programs(fabric, topology, folder)
        fabric.finish()
        transport = _transport(root.table("transport"))
        work = _workload(root, topology, seed, folder)
        faults = [_event(table, topology) for table in root.tables("events")]
        run = root.table("run")
        scenario = cls(
            topology, work, transport, queues, faults, seed, name=name,
            mode=run.text("mode", "packet", MODES),
            limit=run.seconds("limit", 10.0), programs=programs,
        )  # fmt: skip
        if programs and scenario.mode == "flow":
            raise run.error("mode", "flow has no packets, which P4 programs need")
        run.finish()
        metrics = root.table("metrics")
        if metrics.has("sample_interval"):
            scenario.sample_interval = metrics.seconds("sample_interval")
        scenario.traced_connections = metrics.integer("traced_connections", 0, high=10_000)
        metrics.finish()
        scenario.lab = _lab(root.table("lab"))
        scenario.host = _host(root.table("host"))
        scenario.constants = _constants(root.table("constants"), work)
        scenario.expect = _expectations(root, work, scenario.constants)
        root.finish()
        return scenario


# --- Fabric

# The integers of each kind: {kind: {key: default}}; -1: it must be given. None may be below 1.
_SHAPES: dict[str, dict[str, int]] = {
    "leaf_spine": {"leaves": 4, "spines": 4, "hosts_per_leaf": 4, "bundle": 1, "planes": 1},
    "fat_tree": {"pods": 4, "pod_tors": 2, "pod_aggregations": 2, "tor_down": 2, "core_bundle": 1},
    "rail_optimised": {"servers": 8, "rails": 8, "group_servers": 4, "spines": 8},
    "dumbbell": {"left": 4, "right": 4},
    "torus": {},
    "graph": {"hosts": -1},
    "file": {},
}
_UPPER = {
    "leaf_spine": ("uplink_rate", "uplink_delay"),
    "fat_tree": ("uplink_rate", "uplink_delay", "core_rate", "core_delay"),
    "rail_optimised": ("uplink_rate", "uplink_delay"),
    "dumbbell": ("neck_rate", "neck_delay"),
    "torus": ("host_rate",),
}


def _topology(table: Table, folder: Path) -> Topology:
    kind = table.text("kind", None, _SHAPES)
    shape: dict[str, Any] = {}
    for key, default in _SHAPES[kind].items():
        shape[key] = table.integer(key, None if default < 0 else default, 1, 1 << 20)
    try:
        if kind == "file":
            topology = htsim.read_topo(folder / table.text("path"))
        elif kind == "graph":
            topology = Topology.graph(shape["hosts"], table.texts("switches"), _graph_links(table))
        else:
            shape["rate"] = table.rate("rate", bits_per_second(DEFAULT_RATE))
            shape["delay"] = table.seconds("delay", seconds(DEFAULT_DELAY))
            for key in _UPPER[kind]:
                if table.has(key):
                    shape[key] = table.rate(key) if key.endswith("rate") else table.seconds(key)
            if kind == "torus":
                shape["extents"] = table.integers("extents", [4, 4])
            for key in ("tor_up", "aggregation_up") if kind == "fat_tree" else ():
                if table.has(key):
                    shape[key] = table.integer(key, low=1, high=1 << 20)
            topology = getattr(Topology, kind)(**shape)
    except ValueError as error:
        if isinstance(error, ScenarioError):
            raise
        raise table.error("kind", str(error)) from None
    for change in table.tables("links") if kind != "graph" else []:
        _change_link(change, topology)
    return topology


def _graph_links(table: Table) -> list[LinkSpec]:
    links: list[LinkSpec] = []
    for link in table.tables("links"):
        a, b = _ends(link)
        rate, delay = link.rate("rate", 100e9), link.seconds("delay", 1e-6)
        spec = LinkSpec(a, b, rate, delay, link.integer("bundle", 1, 1, 64))
        if any({a, b} == {other.a, other.b} for other in links):
            raise link.error("between", f"the link {a} - {b} is given twice; bundle = 2 makes two")
        links.append(spec)
        link.finish()
    return links


def _ends(table: Table, key: str = "between") -> tuple[str, str]:
    ends = table.texts(key)
    if len(ends) != 2:
        raise table.error(key, f"names two nodes, not {len(ends)}")
    return ends[0], ends[1]


def _change_link(table: Table, topology: Topology) -> None:
    a, b = _ends(table)
    change: dict[str, Any] = {}
    for key, read in (("rate", table.rate), ("delay", table.seconds), ("jitter", table.seconds)):
        if table.has(key):
            change[key] = read(key)
    for key in ("loss", "corruption", "duplication"):
        if table.has(key):
            change[key] = table.number(key, high=1.0)
    if table.has("weight"):
        change["weight"] = table.integer("weight", low=1, high=64)
    table.finish()
    try:
        topology.set_link(a, b, **change)
    except ValueError as error:
        raise table.error("between", str(error)) from None


def _programs(fabric: Table, topology: Topology, folder: Path) -> list[Program]:
    programs: list[Program] = []
    for table in fabric.tables("programs"):
        commands = folder / table.text("commands") if table.has("commands") else None
        program = Program(table.text("switch"), folder / table.text("program"), commands)
        for key, path in (("program", program.source), ("commands", commands)):
            if path is not None and not path.is_file():
                raise table.error(key, f"names no file: {path}")
        try:
            check_programs([*programs, program], topology)
        except ValueError as error:
            raise table.error("switch", str(error)) from None
        table.finish()
        programs.append(program)
    return programs


def _queues(fabric: Table) -> Queues:
    table = fabric.table("queue")
    plain = Queues()
    chosen: dict[str, Any] = {}
    for key in (
        "capacity",
        "ecn_min",
        "ecn_max",
        "header_capacity",
        "shared_buffer",
        "pfc_xoff",
        "pfc_xon",
    ):
        chosen[key] = table.bytes(key, getattr(plain, key))
    chosen["ecn_probability"] = table.number("ecn_probability", 1.0, high=1.0)
    chosen["shared_alpha"] = table.number("shared_alpha", 1.0, low=0.01, high=1000.0)
    chosen["trimming"] = table.flag("trimming", False)
    chosen["control_first"] = table.flag("control_first", True)
    if chosen["ecn_min"] > chosen["ecn_max"]:
        raise table.error("ecn_min", "must not exceed ecn_max")
    if chosen["pfc_xon"] > chosen["pfc_xoff"]:
        raise table.error("pfc_xon", "must not exceed pfc_xoff")
    table.finish()
    chosen["forwarding"] = fabric.text("forwarding", "hash", ("hash", "spray"))
    if fabric.has("reroute_after"):
        chosen["reroute_after"] = fabric.seconds("reroute_after")
    return Queues(**chosen)


# --- Transport


def _policy(table: Table, key: str, default: Policy, known: list[str]) -> Policy:
    value = table.raw(key)
    if value is None:
        return default
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict):
        raise table.error(key, f"must be a name or a table with a name, not {value!r}")
    choice = Table(table.document, (*table.path, key), value)
    name = choice.text("name", default.name, known)
    parameters = {k: v for k, v in value.items() if k != "name"}
    for parameter, number in parameters.items():
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise choice.error(parameter, f"must be a number, not {number!r}")
    return Policy(name, {k: float(v) for k, v in parameters.items()})


def _transport(table: Table) -> Transport:
    plain = Transport()
    known = _core.simulator
    chosen: dict[str, Any] = {
        "paths": table.integer("paths", plain.paths, 1, 4096),
        "chunk_size": table.bytes("chunk_size", plain.chunk_size),
        "window": table.integer("window", plain.window, 64, 4096),
        "burst": table.bytes("burst", plain.burst),
        "spread_bursts": table.flag("spread_bursts", plain.spread_bursts),
        "scheduler": _policy(table, "scheduler", plain.scheduler, known.path_schedulers()),
        "congestion": _policy(table, "congestion", plain.congestion, known.congestion_controls()),
        "recovery": _policy(table, "recovery", plain.recovery, known.loss_recoveries()),
        "ack_every": table.integer("ack_every", plain.ack_every, 1, 1024),
        "attempts": table.integer("attempts", plain.attempts, 1, 1000),
        "path_timeouts": table.integer("path_timeouts", plain.path_timeouts, 1, 255),
        "overhead": table.integer("overhead", plain.overhead, 0, 1000),
        "warm": table.flag("warm", plain.warm),
        "pinning": table.text("pinning", plain.pinning, PINNINGS),
        "plan_minimum": max(1, table.bytes("plan_minimum", plain.plan_minimum)),
    }
    if table.has("plan"):
        chosen["plan"] = table.text("plan", None, _core.planner.strategies())
        if chosen["pinning"] == "none":
            raise table.error("plan", 'needs pinned paths: pinning = "source_route" or "hash"')
    for key in ("ack_delay", "rto_initial", "rto_min", "rto_max", "peer_timeout", "probe_interval"):
        chosen[key] = table.seconds(key, getattr(plain, key))
    table.finish()
    return Transport(**chosen)


# --- Lab, expectations


def _lab(table: Table) -> LabOptions:
    plain = LabOptions()
    chosen: dict[str, Any] = {
        "carrier": table.text("carrier", plain.carrier, CARRIERS),
        "mtu": table.integer("mtu", plain.mtu, 576, 9000),
        "dilation": table.number("dilation", plain.dilation, 0.01, 1e6),
        "trains": table.flag("trains", plain.trains),
        "fabric": table.text("fabric", plain.fabric, FABRICS),
        "tolerance": table.seconds("tolerance", plain.tolerance),
    }
    table.finish()
    return LabOptions(**chosen)


def _host(table: Table) -> HostOptions:
    plain = HostOptions()
    kind = table.text("kind", plain.kind, HOST_KINDS)
    for key in ("cpus", "memory") if kind == "namespace" else ():
        if table.has(key):
            raise table.error(key, 'is for virtual machines: kind = "rdma-vm"')
    cpus = table.integer("cpus", plain.cpus, 1, 16)
    memory = table.bytes("memory", plain.memory)
    if memory < SMALLEST_MACHINE:
        raise table.error("memory", "a machine needs at least 512 MiB to run Python")
    table.finish()
    return HostOptions(kind, cpus, memory)


def _constants(table: Table, work: Workload) -> dict[str, float]:
    taken = expectations.names(work.names)
    found = {}
    for key in table.left():
        if key in taken:
            raise table.error(key, "is the name of a metric")
        found[key] = table.quantity(key, None, seconds)
    return found


def _expectations(root: Table, work: Workload, constants: dict[str, float]) -> list[Expectation]:
    names = [*expectations.names(work.names), *constants]
    try:
        return [Expectation.parse(text, names) for text in root.texts("expect", [])]
    except ValueError as error:
        if isinstance(error, ScenarioError):
            raise
        raise root.error("expect", str(error)) from None


# --- Workload


def _workload(root: Table, topology: Topology, seed: int, folder: Path) -> Workload:
    work = Workload()
    tables = root.tables("workload")
    if not tables:
        raise root.error("workload", "is missing: a scenario needs at least one")
    for table in tables:
        pattern = table.text("pattern", None, _PATTERNS)
        work.begin(table.text("name", pattern))
        first = len(work)
        hosts = _hosts(table, topology)
        try:
            _PATTERNS[pattern](table, work, hosts, seed, folder)
        except ValueError as error:
            if isinstance(error, ScenarioError):
                raise
            raise table.error("pattern", str(error)) from None
        highest = max((*work.source[first:], *work.destination[first:]), default=-1)
        if highest >= topology.hosts:
            fault = f"names host {highest}, but the fabric has {topology.hosts}"
            raise table.error("pattern", fault)
        table.finish()
    if not len(work):
        raise root.error("workload", "has no messages")
    return work


def _hosts(table: Table, topology: Topology) -> list[int]:
    hosts = table.integers("hosts", list(range(topology.hosts)))
    stride = table.integer("stride", 1, 1, topology.hosts)
    for host in hosts:
        if host >= topology.hosts:
            raise table.error("hosts", f"names host {host}, but the fabric has {topology.hosts}")
    if len(set(hosts)) != len(hosts):
        raise table.error("hosts", "names a host twice")
    chosen = hosts[::stride]
    if len(chosen) < 2:
        raise table.error("hosts", "must name at least two hosts")
    return chosen


Reader = Callable[[Table, Workload, list[int], int, Path], None]


def _permutation(table: Table, work: Workload, hosts: list[int], seed: int, folder: Path) -> None:
    chance = table.integer("seed", seed, high=2**63 - 1)
    workload.permutation(work, hosts, table.bytes("size"), chance, table.seconds("start", 0.0))


def _plain(fill: Callable[[Workload, list[int], int, float], None]) -> Reader:
    def read(table: Table, work: Workload, hosts: list[int], seed: int, folder: Path) -> None:
        fill(work, hosts, table.bytes("size"), table.seconds("start", 0.0))

    return read


def _collective(table: Table, work: Workload, hosts: list[int], seed: int, folder: Path) -> None:
    workload.collective(
        work, table.text("collective", "all_reduce"), table.text("algorithm"), hosts,
        table.bytes("size"),
        start=table.seconds("start", 0.0), slices=table.integer("slices", 1, 1, 256),
    )  # fmt: skip


def _data_parallel(table: Table, work: Workload, hosts: list[int], seed: int, folder: Path) -> None:
    workload.data_parallel(
        work, hosts,
        algorithm=table.text("algorithm", "ring"),
        gradients=table.bytes("gradients"),
        buckets=table.integer("buckets", 4, 1, 1000),
        forward=table.seconds("forward"),
        backward=table.seconds("backward"),
        steps=table.integer("steps", 1, 1, 1000),
    )  # fmt: skip


def _experts(table: Table, work: Workload, hosts: list[int], seed: int, folder: Path) -> None:
    workload.mixture_of_experts(
        work, hosts,
        tokens=table.bytes("tokens"),
        expert=table.seconds("expert"),
        layers=table.integer("layers", 1, 1, 1000),
        skew=table.number("skew", 0.0, high=10.0),
        seed=table.integer("seed", seed, high=2**63 - 1),
    )  # fmt: skip


def _pipeline(table: Table, work: Workload, hosts: list[int], seed: int, folder: Path) -> None:
    workload.pipeline(
        work, hosts,
        activations=table.bytes("activations"),
        forward=table.seconds("forward"),
        backward=table.seconds("backward"),
        microbatches=table.integer("microbatches", 4, 1, 10_000),
    )  # fmt: skip


def _transformer(table: Table, work: Workload, hosts: list[int], seed: int, folder: Path) -> None:
    workload.transformer(
        work, hosts,
        tensor=table.integer("tensor", 1, 1, 1 << 20),
        pipeline=table.integer("pipeline", 1, 1, 1 << 20),
        layers=table.integer("layers", 1, 1, 10_000),
        activations=table.bytes("activations"),
        gradients=table.bytes("gradients"),
        forward=table.seconds("forward"),
        microbatches=table.integer("microbatches", 1, 1, 10_000),
        algorithm=table.text("algorithm", "ring"),
    )  # fmt: skip


def _messages(table: Table, work: Workload, hosts: list[int], seed: int, folder: Path) -> None:
    for row in table.tables("messages"):
        work.add(
            row.integer("source"), row.integer("destination"), row.bytes("size"),
            start=row.seconds("start", 0.0), priority=row.integer("priority", 0, 0, 15),
        )  # fmt: skip
        row.finish()


def _trace(table: Table, work: Workload, hosts: list[int], seed: int, folder: Path) -> None:
    workload.trace(work, folder / table.text("path"))


def _cm(table: Table, work: Workload, hosts: list[int], seed: int, folder: Path) -> None:
    read, _ = htsim.read_cm(folder / table.text("path"))
    base = len(work)
    for m in range(len(read)):
        work.add(
            read.source[m], read.destination[m], read.size[m], start=read.start[m],
            after=[base + b for b in read.after[m]],
        )  # fmt: skip


_PATTERNS: dict[str, Reader] = {
    "permutation": _permutation,
    "tornado": _plain(workload.tornado),
    "incast": _plain(workload.incast),
    "all_to_all": _plain(workload.all_to_all),
    "collective": _collective,
    "data_parallel": _data_parallel,
    "mixture_of_experts": _experts,
    "pipeline": _pipeline,
    "transformer": _transformer,
    "messages": _messages,
    "trace": _trace,
    "cm": _cm,
}


# --- Events


def _event(table: Table, topology: Topology) -> events.Event:
    action = table.text("action")
    link = _ends(table, "link") if table.has("link") else None
    value = table.raw("value")
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int | float)):
        raise table.error("value", f"must be a number or a quantity, not {value!r}")
    event = events.Event(
        at=table.seconds("at"),
        action=action,
        link=link,
        switch=table.text("switch") if table.has("switch") else None,
        host=table.text("host") if table.has("host") else None,
        value=value,
        lasts=table.seconds("for") if table.has("for") else None,
        direction=table.text("direction", "both", ("both", "forward", "backward")),
    )
    table.finish()
    try:
        events.cues(event, topology)
    except ValueError as error:
        raise table.error("action", str(error)) from None
    return event
