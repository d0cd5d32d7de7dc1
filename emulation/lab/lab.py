"""The lab: a topology whose hosts are real. See the package's docstring for an example."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from weft.emulation import events
from weft.emulation.events import Event
from weft.emulation.lab import clean, probes
from weft.emulation.lab.errors import FabricDied, LabError
from weft.emulation.lab.evidence import Watch
from weft.emulation.lab.fabric import Fabric
from weft.emulation.lab.fidelity import LATE_TOLERANCE, Fidelity
from weft.emulation.lab.host import Host
from weft.emulation.lab.kernel import routes
from weft.emulation.lab.machine import Image, Machine, MachineOptions
from weft.emulation.lab.spec import Spec, default_host_queue, links_of, plan, programs_of
from weft.emulation.lab.workers import inventory
from weft.emulation.lab.workers.inventory import Worker
from weft.emulation.lab.workers.remote import Remotes, RemoteWorker
from weft.emulation.policy import FABRICS, Queues
from weft.emulation.programs import Program
from weft.emulation.programs import check as check_programs
from weft.emulation.topology import Topology, picoseconds

MTU_RANGE = (576, 9000)
SPIN = 200e-6
"""Seconds before a departure from which the fabric spins at most; how long it really does follows
how late this machine's timers are (native/emulator/spin_window.h)."""


class Lab:
    """A topology brought to life; a context manager, or `start()` and `stop()`.

    `dilation` slows all rates and delays by a factor, so that a machine can emulate fabrics faster
    than itself; the times that a lab takes and gives (events, pings) stay those of the wall clock.
    `trains` lets segmentation offloads cross the fabric whole (much faster; a train is lost, marked
    or delayed as one). `addresses` replaces IPv4 addresses by name, e.g. {"h0": "192.168.1.5/24"}.
    `host_queue`: bytes that wait in a host's own interface, default 1000 packets. `rootless`: in a
    user namespace; None: only if this process is not privileged enough to do without.
    `programs`: P4 programs, which decide in place of routing at the switches that they name; `p4`
    changes their tables later.
    `workers`: machines on which hosts live (workers/inventory.py); the fabric stays here.
    `tolerance`: seconds of lateness at the 99th percentile above which results are invalid.
    `fabric`: "weft", our own model by the wall clock, or "kernel": tbf, routes, eBPF, and netem for
    delays where the kernel has it, which have no clock, but need no process of ours.
    `machines`: hosts that are virtual machines with an RDMA device (soft-RoCE) instead of network
    namespaces, made as `machine` says.

    Raises LabError, before anything runs, when it cannot be.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        queues: Queues | None = None,
        programs: Sequence[Program] = (),
        events: Sequence[Event] = (),
        seed: int = 1,
        mtu: int = 1500,
        dilation: float = 1.0,
        trains: bool = False,
        addresses: Mapping[str, str] | None = None,
        host_queue: int | None = None,
        rootless: bool | None = None,
        tolerance: float = LATE_TOLERANCE,
        machines: Iterable[str] = (),
        machine: MachineOptions | None = None,
        fabric: str = "weft",
        workers: Sequence[Worker] = (),
        name: str = "lab",
    ) -> None:
        if not MTU_RANGE[0] <= mtu <= MTU_RANGE[1]:
            raise LabError(f"{name}: mtu must lie in {MTU_RANGE[0]} .. {MTU_RANGE[1]}, not {mtu}")
        if not (dilation > 0 and math.isfinite(dilation)):
            raise LabError(f"{name}: dilation must be a positive number, not {dilation}")
        if programs and trains:
            raise LabError(f"{name}: P4 programs see single packets; leave trains off")
        if workers and trains:
            raise LabError(f"{name}: tunnels to workers carry single packets; leave trains off")
        try:
            check_programs(programs, topology)
            self._placed = inventory.place(workers, topology)
        except ValueError as error:
            raise LabError(f"{name}: {error}") from None
        self.topology = topology
        self._programs = list(programs)
        self.queues = queues or Queues()
        self.seed = seed
        self.mtu = mtu
        self.dilation = dilation
        self.trains = trains
        self.name = name
        self.tolerance = tolerance
        self._rootless = rootless
        self._events = list(events)
        for event in self._events:
            self._cues(event)
        chosen = {self._number(host): text for host, text in (addresses or {}).items()}
        planned = plan(topology.hosts, chosen)
        self.hosts = [
            Host(self, number, topology.node_name(number), address)
            for number, address in enumerate(planned)
        ]
        self._by_name = {host.name: host for host in self.hosts}
        self._machine_options = machine or MachineOptions()
        self._machine_hosts = sorted({self._number(name) for name in machines})
        self._machines: dict[int, Machine] = {}
        if fabric not in FABRICS:
            raise LabError(f"{name}: fabric must be one of {', '.join(FABRICS)}, not {fabric!r}")
        self._kernel = fabric == "kernel"
        if self._kernel and self._placed:
            raise LabError(f"{name}: the kernel fabric is of one machine: it takes no workers")
        if both := [host for host in self._machine_hosts if host in self._placed]:
            raise LabError(
                f"{name}: {self.hosts[both[0]].name} is a virtual machine, and those stay here; "
                f"take it from worker {self._placed[both[0]].name}"
            )
        self.spec = self._make_spec(host_queue)
        if self._kernel and (found := routes.refusals(self.spec)):
            raise LabError(
                f"{name}: the kernel fabric cannot do this: {'; '.join(found[:5])}. This needs "
                'fabric = "weft"'
            )
        self._fabric: Fabric | None = None
        self._remotes: Remotes | None = None
        self._watch = Watch()

    # --- Life

    def start(self) -> Lab:
        """Build it. Events count their times from here, or from `play()`."""
        if self._fabric is not None:
            raise LabError(f"{self.name}: it has been started already")
        image = Image.prepare() if self._machine_hosts else None
        self._fabric = Fabric(self.spec, self._rootless, self.name)
        if image is not None or self._placed:
            try:
                if image is not None:
                    self._boot(image)
                if self._placed:
                    self._remotes = Remotes(self, self._placed)
            except BaseException:
                self.stop()
                raise
        self._watch = Watch()
        if self._events:
            self.play(*self._events)
        return self

    def stop(self) -> None:
        """End all programs in the hosts, and the fabric. Nothing is left; never raises."""
        for machine in self._machines.values():
            machine.close()
        self._machines.clear()
        if self._remotes is not None:
            self._remotes.close()
            self._remotes = None
        if self._fabric is not None:
            mark = self._fabric.mark
            self._fabric.close()
            clean.clean(mark)  # for the case that the fabric process could not
            self._fabric = None

    def _boot(self, image: Image) -> None:
        """Start all machines, and wait until they are up."""
        environment = {clean.MARK: self.fabric.mark}
        for number in self._machine_hosts:
            host, tap = self.hosts[number], self.fabric.ask_for_tap(number)
            try:
                self._machines[number] = Machine(
                    f"{self.name}: {host.name}", image, host.address, self.mtu, tap,
                    self.enter(number), self._machine_options, environment,
                )  # fmt: skip
            finally:
                os.close(tap)
        for machine in self._machines.values():
            machine.wait_ready()

    def __enter__(self) -> Lab:
        return self.start() if self._fabric is None else self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def fabric(self) -> Fabric:
        """The running fabric process. Raises LabError when the lab does not run."""
        if self._fabric is None:
            raise LabError(f"{self.name}: it is not running; use `with Lab(...) as lab:`")
        return self._fabric

    def check(self) -> None:
        """Raises FabricDied if the fabric process is gone."""
        if not self.fabric.alive():
            raise FabricDied(f"{self.name}: the fabric process has died; nothing can be reached")
        if self._remotes is not None:
            self._remotes.check()

    @property
    def remotes(self) -> Remotes | None:
        """The workers on which hosts live, with their tunnels."""
        return self._remotes

    def worker(self, host: int) -> RemoteWorker | None:
        """The worker on which a host lives; None: here."""
        return None if self._remotes is None else self._remotes.of(host)

    def enter(self, host: int) -> list[str]:
        """The words in front of a command that shall run in a host's namespace."""
        return self.fabric.enter(self.fabric.facts["namespaces"][host])

    # --- Parts

    def __getitem__(self, name: str) -> Host:
        """A host by name. Raises LabError if there is none."""
        return self.hosts[self._number(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self.hosts)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def machine(self, host: int) -> Machine | None:
        """The virtual machine that a host is, if it is one."""
        if host not in self._machine_hosts:
            return None
        if host not in self._machines:
            raise LabError(f"{self.name}: it is not running; use `with Lab(...) as lab:`")
        return self._machines[host]

    def _number(self, name: str) -> int:
        try:
            number = self.topology.node(name)
        except ValueError as error:
            raise LabError(f"{self.name}: {error}") from None
        if number >= self.topology.hosts:
            raise LabError(f"{self.name}: {name!r} is a switch; programs run on hosts")
        return number

    # --- Faults

    def play(self, *happen: Event) -> None:
        """Let events happen; their times count from now."""
        self.fabric.ask("schedule", [cue for event in happen for cue in self._cues(event)])

    def link_down(self, a: str, b: str) -> None:
        """Cut all links between two nodes, now."""
        self._switch_link(a, b, "link_down")

    def link_up(self, a: str, b: str) -> None:
        """Mend them."""
        self._switch_link(a, b, "link_up")

    def _switch_link(self, a: str, b: str, kind: str) -> None:
        links = self._named(lambda: self.topology.links_between(a, b))
        self.fabric.ask("schedule", [(0, kind, link, 0.0, "both") for link in links])

    def switch_down(self, name: str) -> None:
        """Switch off a switch, now: its queues and all its links are lost."""
        self.fabric.ask("schedule", [(0, "switch_down", self._switch(name), 0.0, "both")])

    def switch_up(self, name: str) -> None:
        """Switch it on again."""
        self.fabric.ask("schedule", [(0, "switch_up", self._switch(name), 0.0, "both")])

    def _switch(self, name: str) -> int:
        node = self._named(lambda: self.topology.node(name)) - self.topology.hosts
        if node < 0:
            raise LabError(f"{self.name}: {name!r} is a host, not a switch")
        return int(node)

    def _named(self, find: Any) -> Any:
        try:
            return find()
        except ValueError as error:
            raise LabError(f"{self.name}: {error}") from None

    def _cues(self, event: Event) -> list[tuple[int, str, int, float, str]]:
        slower = {"link_rate": 1 / self.dilation, "link_delay": self.dilation,
                  "link_jitter": self.dilation}  # fmt: skip
        made = self._named(lambda: events.cues(event, self.topology))
        return [
            (cue.at, cue.kind, cue.target, cue.value * slower.get(cue.kind, 1.0), cue.side)
            for cue in made
        ]

    def p4(self, switch: str, *commands: str) -> list[str]:
        """simple_switch_CLI commands for the P4 program of a switch; returns what they say."""
        if switch not in {program.switch for program in self._programs}:
            raise LabError(f"{self.name}: {switch!r} has no P4 program")
        said: list[str] = self.fabric.ask("p4", switch, list(commands))
        return said

    # --- Looking

    def ping(
        self, a: Host | str, b: Host | str, count: int = 1, interval: float = 0.1,
        timeout: float = 1.0,
    ) -> list[float | None]:  # fmt: skip
        """Round-trip times of ICMP echoes from `a` to `b` in seconds; None: lost. `b` may be any
        IPv4 address."""
        source = a if isinstance(a, Host) else self[a]
        address = b.ip if isinstance(b, Host) else self[b].ip if b in self else b
        return probes.ping(source, address, count, interval, timeout)

    def ping_all(self, timeout: float = 1.0) -> dict[tuple[str, str], float | None]:
        """An echo between every pair of hosts in both directions: seconds, None for lost ones."""
        return probes.ping_all(self.hosts, timeout)

    def iperf(self, a: Host | str, b: Host | str, seconds: float = 2.0) -> float:
        """Bit/s that one TCP stream from `a` to `b` carries; the first tenth of the time does not
        count."""
        source = a if isinstance(a, Host) else self[a]
        sink = b if isinstance(b, Host) else self[b]
        return probes.stream(source, sink, seconds)

    def pcap(self, path: Path | str, a: str, b: str | None = None, snap: int = 65535) -> None:
        """Record what crosses the links between `a` and `b` (or all of a host's or switch's), both
        ways, in a file that Wireshark reads. `snap`: bytes kept of each frame."""
        if b is not None:
            links = self._named(lambda: self.topology.links_between(a, b))
        else:
            node = self._named(lambda: self.topology.node(a))
            links = [link for link, ends in enumerate(self.topology.ends) if node in ends]
        ports = [port for link in links for port in (2 * link, 2 * link + 1)]
        self.fabric.ask("capture", ports, str(Path(path).resolve()), snap)

    def end_pcap(self, path: Path | str) -> None:
        """Close a file that `pcap` writes."""
        self.fabric.ask("end_capture", str(Path(path).resolve()))

    def port_stats(self) -> dict[str, list[int]]:
        """Per port of the fabric (2l is link l from its first end to its second, 2l + 1 back):
        bytes, packets, marks, trims, drops, lost, backlog, peak_backlog."""
        columns: dict[str, list[int]] = self.fabric.ask("port_stats")
        return columns

    def counts(self) -> dict[str, int]:
        """The emulator's counters since the start; times in nanoseconds."""
        values: dict[str, int] = self.fabric.ask("report")
        return values

    def fidelity(self) -> Fidelity:
        """How well the fabric has kept its schedule so far."""
        return self._watch.evidence(self)

    def _make_spec(self, host_queue: int | None) -> Spec:
        reroute = self.queues.reroute_after
        return Spec(
            addresses=[host.address for host in self.hosts],
            switches=list(zip(self.topology.switches, self.topology.tiers, strict=True)),
            links=links_of(self.topology, self.dilation),
            queue=self.queues.parameters(),
            forwarding=self.queues.forwarding,
            reroute_after=None if reroute is None else picoseconds(reroute * self.dilation),
            host_queue=host_queue or default_host_queue(self.mtu),
            seed=self.seed,
            mtu=self.mtu,
            trains=self.trains,
            trimmed_bytes=128,
            kernel=self._kernel,
            spin=picoseconds(SPIN),
            programs=programs_of(self.topology, self._programs),
            machines=self._machine_hosts,
        )
