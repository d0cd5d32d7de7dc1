"""How the simulated transport and the fabric's queues behave: options, defaults, units."""

from __future__ import annotations

from dataclasses import dataclass, field

import weft._native._core as _core
from weft.emulation.topology import picoseconds

_simulator = _core.simulator
_fabric = _core.fabric

PINNINGS = ("none", "source_route", "hash")


@dataclass(frozen=True)
class Policy:
    """A policy by name, with its own parameters (see the policy's header in native/transport)."""

    name: str
    parameters: dict[str, float] = field(default_factory=dict)

    def native(self) -> object:
        return _simulator.PolicyChoice(self.name, list(self.parameters.items()))


@dataclass(frozen=True)
class Transport:
    """Options of every connection. Times in seconds, sizes in bytes.

    The defaults suit simulated data centres (microseconds); those of real sockets are wider.
    """

    paths: int = 32
    """Entropy values a connection uses, 1 .. 4096."""
    chunk_size: int = 4096
    """Payload of a packet."""
    window: int = 256
    """Packets in flight or out of order, 64 .. 4096."""
    burst: int = 4096
    """Bytes that follow one decision of the path scheduler."""
    spread_bursts: bool = False
    """Whether a burst is also held to half of its path's share of the window, as by default on UDP:
    a small window is then spread over all paths."""
    scheduler: Policy = Policy("round_robin")
    congestion: Policy = Policy("swift", {"initial_window": 64, "base_target_us": 40})
    recovery: Policy = Policy("selective_repeat")
    ack_every: int = 8
    """Packets per acknowledgement while nothing is out of order."""
    ack_delay: float = 20e-6
    rto_initial: float = 500e-6
    rto_min: float = 200e-6
    rto_max: float = 20e-3
    attempts: int = 32
    """Transmissions of one packet before its connection fails."""
    peer_timeout: float = 0.5
    """Silence that means death."""
    path_timeouts: int = 2
    """Timeouts in a row that make a path suspect, 1 .. 255; 255: practically never."""
    probe_interval: float = 500e-6
    """Of suspect paths."""
    overhead: int = 66
    """Bytes around a transport packet: Ethernet with preamble and gap 38, IPv4 20, UDP 8."""
    warm: bool = True
    """Connections exist when the run begins; otherwise the handshake is part of it."""
    pinning: str = "none"
    """What path p is to the fabric, one of PINNINGS. "none": one more five-tuple, which goes where
    the switches hash it; "source_route": path number p; "hash": the same, by a five-tuple found by
    inverting the switches' hash."""
    plan: str | None = None
    """A strategy of the flow planner (`weft.transport.plan`) for all messages; needs a pinning."""
    plan_minimum: int = 1
    """Bytes of the smallest piece."""
    host_queue: int = 0
    """Bytes that a host's interface queues before it drops, as the lab's (and Linux's) does; 0:
    packets wait in the transport until the interface is idle."""
    port: int = 0
    """First UDP port of Weft's sockets: paths have the five-tuples that they have in the lab; 0:
    random ones."""

    HEADER = 80
    """Bytes of a data packet's transport header (native/wire)."""

    @property
    def packet_overhead(self) -> int:
        """All bytes of a data packet on the wire but its payload."""
        return self.HEADER + self.overhead

    def apply(self, options: object) -> None:
        """Write into native SimulationOptions."""
        config = options.transport  # type: ignore[attr-defined]
        config.paths = self.paths
        config.chunk_size = self.chunk_size
        config.window = self.window
        config.max_burst = max(self.burst, self.chunk_size)
        config.spread_bursts = self.spread_bursts
        config.scheduler = self.scheduler.native()
        config.congestion = self.congestion.native()
        config.recovery = self.recovery.native()
        config.ack_every = self.ack_every
        config.ack_delay = round(self.ack_delay * 1e9)
        config.rto_initial = round(self.rto_initial * 1e9)
        config.rto_min = round(self.rto_min * 1e9)
        config.rto_max = round(self.rto_max * 1e9)
        config.max_attempts = self.attempts
        config.path_timeouts = self.path_timeouts
        config.peer_timeout = round(self.peer_timeout * 1e9)
        config.probe_interval = round(self.probe_interval * 1e9)
        options.overhead = self.overhead  # type: ignore[attr-defined]
        options.warm = self.warm  # type: ignore[attr-defined]
        options.pinning = getattr(_simulator.Pinning, self.pinning)  # type: ignore[attr-defined]
        if self.plan is not None:
            options.plan = self.plan  # type: ignore[attr-defined]
        options.plan_minimum = self.plan_minimum  # type: ignore[attr-defined]
        options.host_queue = self.host_queue  # type: ignore[attr-defined]
        options.port = self.port  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Queues:
    """Output queues of the switches. Sizes in bytes of waiting packets, per port and class."""

    capacity: int = 400_000
    ecn_min: int = 0
    ecn_max: int = 0
    """Marking begins at ecn_min and is certain from ecn_max on; equal: a step; 0: off."""
    ecn_probability: float = 1.0
    """Of a mark just below ecn_max."""
    trimming: bool = False
    """A packet that does not fit loses its payload instead of its life."""
    header_capacity: int = 64_000
    shared_buffer: int = 0
    """Bytes that all ports of a switch share; replaces `capacity`."""
    shared_alpha: float = 1.0
    pfc_xoff: int = 0
    """Priority flow control: pause a neighbour from so many bytes of its on; 0: off."""
    pfc_xon: int = 0
    forwarding: str = "hash"
    """"hash" (ECMP by five-tuple) or "spray" (every packet at random)."""
    reroute_after: float | None = None
    """Seconds from a failure until all switches route around it; None: they never do."""
    control_first: bool = True
    """Acknowledgements travel in a class of their own that goes first."""

    def parameters(self) -> dict[str, float | int | bool]:
        """The attributes of the native QueueOptions."""
        names = (
            "capacity", "ecn_min", "ecn_max", "ecn_probability", "trimming", "header_capacity",
            "shared_buffer", "shared_alpha", "pfc_xoff", "pfc_xon",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def apply(self, options: object, seed: int) -> None:
        """Write into native SimulationOptions."""
        fabric = options.fabric  # type: ignore[attr-defined]
        for name, value in self.parameters().items():
            setattr(fabric.queue, name, value)
        fabric.seed = seed
        fabric.forwarding = getattr(_fabric.Forwarding, self.forwarding)
        if self.reroute_after is not None:
            fabric.reroute_after = picoseconds(self.reroute_after)
        options.control_first = self.control_first  # type: ignore[attr-defined]


@dataclass(frozen=True)
class LabOptions:
    """How a scenario runs in the lab (`weft lab run`). The simulator does not look at them."""

    carrier: str = "weft"
    """What moves the messages: "weft" (its transport over UDP), "tcp" (one connection a pair) or
    "gloo" (torch.distributed's, point to point)."""
    mtu: int = 1500
    """Of the hosts' interfaces, 576 .. 9000."""
    dilation: float = 1.0
    """Slows all rates and delays, so that two cores can carry a fast fabric."""
    trains: bool = False
    """Segmentation offloads cross the fabric whole."""
    fabric: str = "weft"
    """What joins the hosts: "weft" (our model by the wall clock), or "kernel" (tbf, routes and
    eBPF: no delay)."""
    tolerance: float = 1e-3
    """Seconds that departures may be late at the 99th percentile before a run is invalid."""


FABRICS = ("weft", "kernel")
CARRIERS = ("weft", "tcp", "gloo")


@dataclass(frozen=True)
class HostOptions:
    """What the hosts of a scenario are in the lab. The simulator does not look at them."""

    kind: str = "namespace"
    """"namespace", or "rdma-vm": a virtual machine with an RDMA device (soft-RoCE)."""
    cpus: int = 1
    """Of a virtual machine; emulated, each takes one of this machine's while it computes."""
    memory: int = 1 << 30
    """Of a virtual machine, bytes."""

    @property
    def machines(self) -> bool:
        return self.kind == "rdma-vm"


HOST_KINDS = ("namespace", "rdma-vm")
