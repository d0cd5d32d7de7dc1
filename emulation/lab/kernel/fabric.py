"""A fabric made of kernel parts only: switches are namespaces that route, links are veth pairs.

tbf gives each end its rate, a tcx program (port.py) loss, marks, trimming and full queues, and the
kernel's own multipath hash, with a seed per switch, spreads flows. Where a link asks for a delay,
every port gets netem in front of tbf (a constant delay and a rate may change places), and losses
and failures are netem's, so that they need no program. There is no clock of ours: nothing says when
a packet should have left, so that overload shows in an idle time of zero only. It has the interface
of the native emulator, as far as it goes.

Traps that are avoided here: one hash seed for all namespaces polarises every Clos, so each switch
has its own, and policy 3, since policy 1 takes the hash that a packet brings along from its sender
(or from RPS) and knows no seed then (net/ipv4/route.c, fib_multipath_hash); a chain of shapers in
its sender's softirq slows the sender instead of queueing, so what switches take in is moved to
other CPUs where that is permitted; tbf's backlog cannot be read by a program, so that the program
keeps a queue in mind.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from weft.emulation.lab import namespaces, netlink
from weft.emulation.lab.errors import LabError
from weft.emulation.lab.kernel import bpf, port, routes
from weft.emulation.lab.kernel.routes import End
from weft.emulation.lab.namespaces import Site, inside
from weft.emulation.lab.netlink import Batch, Impairments
from weft.emulation.lab.spec import WIRE_OVERHEAD, Spec

MAC = "02:00:00:00:00:01"
"""Of every interface: without ARP a frame is addressed to its own sender's, which is the
receiver's, too."""
FRAME = 14
FIVE_TUPLE = 0x37
"""Addresses, protocol and ports (FIB_MULTIPATH_HASH_FIELD_*)."""
EVENTS = ("link_down", "link_up", "link_rate", "link_loss", "switch_down", "switch_up")
IMPAIRMENTS = ("link_delay", "link_jitter", "link_corruption", "link_duplication")
"""Events that take netem, in front of tbf from the beginning."""
BURST = 250e-6
"""Seconds of rate that tbf lets through at once; at least two frames."""


def build(spec: Spec, cpus: int) -> tuple[Site, KernelFabric]:
    """All namespaces and cables. This thread ends up in a namespace of its own.

    `cpus`: bits of those that take in what switches receive; 0: any. Raises LabError when the
    kernel or our rights do not permit it.
    """
    namespaces.new_network()
    site = Site(namespaces.current_network(), steered=cpus != 0)
    nodes: list[int] = []
    try:
        for node in range(len(spec.addresses) + len(spec.switches)):
            namespaces.new_network()
            nodes.append(namespaces.current_network())
            _settings(spec, node)
    finally:
        namespaces.enter(site.home)
    site.hosts = nodes[: len(spec.addresses)]
    site.inodes = [os.fstat(namespace).st_ino for namespace in site.hosts]
    ends = routes.ends_of(spec)
    cables = Batch()
    for a, b in ends:
        cables.veth(
            a.name, a.index, (b.name, b.index, nodes[b.node]), spec.mtu, MAC,
            namespace=nodes[a.node], peer_mac=MAC,
        )  # fmt: skip
    cables.send()
    fabric = KernelFabric(spec, site, nodes, ends)
    fabric.raise_links()
    if site.steered:
        site.steered = fabric.steer(cpus)
    return site, fabric


def _settings(spec: Spec, node: int) -> None:
    """Of a new namespace, before it has interfaces."""
    for key in ("all", "default"):
        namespaces.sysctl(f"ipv4/conf/{key}/rp_filter", "0")
    namespaces.sysctl("ipv6/conf/default/accept_dad", "0")
    namespaces.sysctl("ipv6/conf/default/router_solicitations", "0")
    namespaces.sysctl("ipv4/ping_group_range", "0 0")
    if node >= len(spec.addresses):
        seed = hash_seed(spec.seed, node)
        namespaces.sysctl("ipv4/ip_forward", "1")
        namespaces.sysctl("ipv6/conf/all/forwarding", "1")
        for family in ("ipv4", "ipv6"):
            namespaces.sysctl(f"{family}/fib_multipath_hash_policy", "3")
            namespaces.sysctl(f"{family}/fib_multipath_hash_fields", str(FIVE_TUPLE))
        namespaces.sysctl("ipv4/fib_multipath_hash_seed", str(seed))  # serves IPv6, too


def hash_seed(seed: int, node: int) -> int:
    """Of a switch: another for each, never 0 (which means: the machine's own)."""
    mixed = (seed * 0x9E3779B97F4A7C15 + node * 0xBF58476D1CE4E5B9) % 2**64
    return (mixed ^ mixed >> 29) * 0x94D049BB133111EB % 2**64 >> 33 | 1


class KernelFabric:
    """Answers what the native emulator answers, from the kernel's counters and the programs'."""

    def __init__(
        self, spec: Spec, site: Site, nodes: list[int], ends: list[tuple[End, End]]
    ) -> None:
        self.spec = spec
        self._site, self._nodes = site, nodes
        self._ends = {end.port: end for pair in ends for end in pair}
        self._links = [link for link in spec.links for _ in range(2)]
        """Of every port; events change them."""
        self._down: set[int] = set()
        self._impaired = routes.impairments(spec)
        self._timers: list[threading.Timer] = []
        self._map: bpf.Array | None = None
        self._attached: list[int] = []
        self._stopped = threading.Event()

    @property
    def kind(self) -> str:
        """Of what it is made, for the evidence."""
        programs = ", eBPF (tcx)" if self._map is not None else ""
        return f"kernel: veth, routes, tbf{', netem' if self._impaired else ''}{programs}"

    # --- Building

    def raise_links(self) -> None:
        """Rates, programs, addresses, routes; then everything is up."""
        ways = routes.ways(self.spec)
        with self._programs_or_none():
            self._map = bpf.Array(len(self._links), port.ENTRY)
        for node, namespace in enumerate(self._nodes):
            mine = [end for end in self._ends.values() if end.node == node]
            batch = Batch()
            batch.up(1)
            for end in mine:
                gso = netlink.attribute(netlink.IFLA_GSO_MAX_SEGS, namespaces.EXACT_SEGMENTS)
                batch.up(end.index, arp=False, attributes=gso)
                self._queues(batch, end.port)
            self._addresses(batch, node, ways[node])
            with inside(namespace, self._site.home):
                try:
                    batch.send()
                except FileNotFoundError as error:
                    raise self._no_netem(error) from None
                with self._programs_or_none():
                    for end in mine:
                        self._attach(end)
        for node, namespace in enumerate(self._nodes):
            batch = Batch()
            for end in self._ends.values():
                if end.node == node:
                    batch.settle(end.index)
            with inside(namespace, self._site.home):
                batch.send()

    @contextmanager
    def _programs_or_none(self) -> Iterator[None]:
        """eBPF, or none of it where the scenario needs none."""
        try:
            yield
        except OSError as error:
            self._map = None
            if wanted := self._needs_programs():
                raise LabError(
                    f"the kernel fabric needs CAP_BPF for {wanted} ({error}); run as root (Linux "
                    '6.6 or newer), or use fabric = "weft"'
                ) from None

    def _needs_programs(self) -> str:
        queue, losses = self.spec.queue, any(link.loss for link in self._links)
        wanted = {"losses": losses and not self._impaired, "ECN": queue["ecn_max"],
                  "trimming": queue["trimming"]}  # fmt: skip
        return ", ".join(name for name, asked in wanted.items() if asked)

    def _no_netem(self, error: OSError) -> LabError:
        return LabError(
            f"the kernel fabric cannot do this: {'; '.join(self._impaired)}. That takes netem "
            f'({error.strerror}; see `weft doctor`); fabric = "weft" does without'
        )

    def _queues(self, batch: Batch, number: int) -> None:
        """What a port does to packets besides programs: netem where it is needed, and tbf."""
        index = self._ends[number].index
        if self._impaired:
            link = self._links[number]
            loss = 1.0 if number in self._down else link.loss
            batch.impair(
                index,
                Impairments(
                    link.delay // 1000, link.jitter // 1000, loss, link.corruption,
                    link.duplication, hash_seed(self.spec.seed, number),
                ),
            )  # fmt: skip
        batch.shape(index, *self._shape(number), below=bool(self._impaired))

    def _attach(self, end: End) -> None:
        if self._map is None:
            return
        self._tell(end.port)
        keep = self.spec.trimmed_bytes
        program = bpf.load(port.program(self._map, end.port, keep), "weft_port")
        self._attached.append(bpf.attach(program, end.index))
        os.close(program)  # the link holds it

    def _addresses(self, batch: Batch, node: int, ways: list[list[int]]) -> None:
        if node < len(self.spec.addresses):
            address = self.spec.addresses[node]
            batch.address(2, socket.AF_INET, address.ipv4, address.prefix)
            batch.address(2, socket.AF_INET6, address.ipv6, 64)
            batch.everything_on(2)
            return
        index = {end.port // 2: end.index for end in self._ends.values() if end.node == node}
        for host, links in enumerate(ways):
            address, through = self.spec.addresses[host], [index[link] for link in links]
            if through:
                batch.route(socket.AF_INET, address.ipv4, through)
                batch.route(socket.AF_INET6, address.ipv6, through)

    def _capacity(self, number: int) -> int:
        """Bytes that may wait at a port."""
        host = self._ends[number].node < len(self.spec.addresses)
        return int(self.spec.host_queue if host else self.spec.queue["capacity"])

    def _shape(self, number: int) -> tuple[float, int, int, int]:
        """Rate (bytes per second), burst and limit (bytes), overhead per packet."""
        rate = self._links[number].rate / 8
        burst = max(2 * (self.spec.mtu + FRAME + WIRE_OVERHEAD), round(rate * BURST))
        queue = self.spec.queue
        trimmed = queue["header_capacity"] if queue["trimming"] else 0
        return rate, burst, self._capacity(number) + burst + trimmed, WIRE_OVERHEAD

    def _tell(self, number: int) -> None:
        """Put a port's present state where its program finds it."""
        if self._map is None:
            return
        queue, end = self.spec.queue, self._ends[number]
        host = end.node < len(self.spec.addresses)
        per_byte = 8e9 / self._links[number].rate
        down = number in self._down
        loss = 0.0 if self._impaired else self._links[number].loss
        self._map.change(
            number,
            loss=port.EVERY if down else round(loss * port.EVERY),
            per_byte=round(per_byte * port.SCALE),
            limit=round(self._capacity(number) * per_byte),
            mark=0 if host else round(queue["ecn_max"] * per_byte),
            keep=self.spec.trimmed_bytes if queue["trimming"] and not host else 0,
        )

    def steer(self, cpus: int) -> bool:
        """Let these CPUs do what switches receive; False where it is refused."""
        for end in self._ends.values():
            if end.node >= len(self.spec.addresses):
                with inside(self._nodes[end.node], self._site.home):
                    if not namespaces.steer(cpus, end.name):
                        return False
        return True

    # --- What the native emulator answers

    def run(self) -> None:
        """Nothing to drive: the kernel does it. Returns after stop()."""
        self._stopped.wait()

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        for descriptor in self._attached:
            os.close(descriptor)
        self._attached.clear()
        self._stopped.set()

    def schedule(self, cues: list[tuple[int, str, int, float, str]]) -> None:
        """Times in picoseconds from now. Raises LabError for what links here cannot do."""
        for at, kind, target, value, side in cues:
            if kind not in (*EVENTS, *(IMPAIRMENTS if self._impaired else ())):
                raise LabError(
                    f'the kernel fabric has no {kind}{self._hint(kind)}; use fabric = "weft"'
                )
            if self._map is None and not self._impaired and kind != "link_rate":
                raise LabError("failures on the kernel fabric need CAP_BPF: run as root")
            if at == 0:
                self._happen(kind, target, value, side)
                continue
            timer = threading.Timer(at * 1e-12, self._happen, (kind, target, value, side))
            timer.daemon = True
            self._timers.append(timer)
            timer.start()

    def _happen(self, kind: str, target: int, value: float, side: str) -> None:
        if kind.startswith("switch"):
            node = target + len(self.spec.addresses)
            links = {e.port // 2 for e in self._ends.values() if e.node == node}
            ports = [number for link in links for number in (2 * link, 2 * link + 1)]
        else:
            chosen = {"both": (0, 1), "forward": (0,), "backward": (1,)}[side]
            ports = [2 * target + way for way in chosen]
        for number in ports:
            if kind.endswith("_down"):
                self._down.add(number)
            elif kind.endswith("_up"):
                self._down.discard(number)
            else:
                what = kind.removeprefix("link_")
                scaled: float = round(value * 1000) if what in ("delay", "jitter") else value
                changed: Any = {what: scaled}
                self._links[number] = dataclasses.replace(self._links[number], **changed)
            batch = Batch()
            self._queues(batch, number)
            with inside(self._nodes[self._ends[number].node], self._site.home):
                batch.send()
            self._tell(number)

    @staticmethod
    def _hint(kind: str) -> str:
        return " on links that began without any impairment" if kind in IMPAIRMENTS else ""

    def port_stats(self) -> dict[str, list[int]]:
        """The emulator's columns; peaks are not known. What a cut link swallowed counts as lost."""
        columns: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(self._links))
        for node, namespace in enumerate(self._nodes):
            with inside(namespace, self._site.home):
                shaped = netlink.queue_counters("tbf")
                impaired = netlink.queue_counters("netem") if self._impaired else {}
            for end in self._ends.values():
                if end.node != node or end.index not in shaped:
                    continue
                found = shaped[end.index]
                columns["bytes"][end.port] = found.sent + found.packets * WIRE_OVERHEAD
                columns["packets"][end.port] = found.packets
                columns["drops"][end.port] = found.drops
                columns["backlog"][end.port] = found.backlog
                if end.index in impaired:  # counts what tbf behind it refused as well
                    lost = impaired[end.index].drops - found.drops
                    columns["lost"][end.port] = max(0, lost)
        for number in range(len(self._links)):
            if self._map is None:
                break
            entry = self._map.read(number)
            columns["drops"][number] += entry["dropped"]
            for name, column in (("lost", "lost"), ("marked", "marks"), ("trimmed", "trims")):
                columns[column][number] += entry[name]
        return {
            key: columns[key]
            for key in ("bytes", "packets", "marks", "trims", "drops", "lost", "backlog",
                        "peak_backlog")
        }  # fmt: skip

    def report(self) -> dict[str, int]:
        """The emulator's counters: frames that hosts sent and that hosts were sent."""
        stats, hosts = self.port_stats(), len(self.spec.addresses)
        counts: defaultdict[str, int] = defaultdict(int)
        for end in self._ends.values():
            host = end.node < hosts
            counts["frames_in"] += stats["packets"][end.port] if host else 0
            peer = self._ends[end.port ^ 1].node
            counts["frames_out"] += stats["packets"][end.port] if peer < hosts else 0
            counts["bytes_out"] += stats["bytes"][end.port] if peer < hosts else 0
        wanted = ("frames_in", "frames_out", "bytes_out", "strangers", "refused", "ring_drops",
                  "late_p50", "late_p99", "late_max", "cpu", "elapsed", "dropped_link_down",
                  "dropped_no_route")  # fmt: skip
        return {key: counts[key] for key in wanted} | {
            "dropped_queue_full": sum(stats["drops"]), "dropped_link_loss": sum(stats["lost"]),
        }  # fmt: skip

    def capture(self, ports: list[int], path: str, snap: int) -> None:
        raise LabError('the kernel fabric records nothing; use fabric = "weft"')

    def end_capture(self, path: str) -> None:
        """There is none."""

    def run_program(self, *_: Any) -> None:
        raise LabError('the kernel fabric runs no P4 programs; use fabric = "weft"')
