"""Workers, switch and master on links of given rates, in virtual time.

The switch is the real one and every packet goes through it; what is modelled is the wire: each link
sends one packet after another at its rate, and may lose, double and delay packets (seeded). The
master's link is the one that a query waits for. Time dilation costs nothing here: a slower machine
only takes longer to compute the same virtual microseconds.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from weft.p4.pruning import wire
from weft.p4.pruning.control import MASTER_PORT, PruningSwitch
from weft.p4.pruning.reliability import Receiver, Sender, TransferError

#: Preamble, start delimiter, check sequence and gap of an Ethernet frame, in bytes.
FRAMING = 24


@dataclass(frozen=True, slots=True)
class Wires:
    """Rates in Gbit/s, delays in microseconds, probabilities per packet and link."""

    worker_gbps: float = 10.0
    master_gbps: float = 10.0
    delay_us: float = 2.0
    loss: float = 0.0
    duplicate: float = 0.0
    jitter_us: float = 0.0  # extra delay, uniform: reorders
    seed: int = 1
    deadline_us: float = 600e6

    def bulk_us(self, bytes_by_worker: Mapping[int, int]) -> float:
        """How long an ordinary transfer to the master takes: the slower of its two links."""
        slowest = max(bytes_by_worker.values(), default=0) * 8e-3 / self.worker_gbps
        total = sum(bytes_by_worker.values()) * 8e-3 / self.master_gbps
        return max(slowest, total) + 2 * self.delay_us


@dataclass(slots=True)
class Traffic:
    """What a transfer did."""

    elapsed_us: float = 0.0
    packets: int = 0
    resent: int = 0
    bytes_to_switch: int = 0
    bytes_to_master: int = 0


@dataclass(slots=True)
class _Link:
    gbps: float
    free_at: float = 0.0

    def depart(self, now: float, length: int) -> float:
        self.free_at = max(now, self.free_at) + (length + FRAMING) * 8e-3 / self.gbps
        return self.free_at


@dataclass(slots=True)
class Network:
    """Runs the flows of one phase to their end."""

    control: PruningSwitch
    wires: Wires
    senders: Sequence[tuple[int, Sender]]  # (worker's port, a flow of it)
    receivers: Mapping[int, Receiver]  # by query
    #: Called at a virtual time of one's choice: faults in mid-query.
    cues: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    traffic: Traffic = field(default_factory=Traffic)
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _count: int = 0
    _now: float = 0.0

    def run(self) -> Traffic:
        """Raises `TransferError` when a flow has not ended at the deadline."""
        random_ = random.Random(self.wires.seed)
        up = {port: _Link(self.wires.worker_gbps) for port, _ in self.senders}
        down = {port: _Link(self.wires.worker_gbps) for port in up}
        flows = {s.stream.flow: (port, s) for port, s in self.senders}
        to_master, from_master = _Link(self.wires.master_gbps), _Link(self.wires.master_gbps)
        waking: dict[int, float] = {}

        def travel(link: _Link, frame: bytes, arrive: Callable[[bytes], None]) -> None:
            at = link.depart(self._now, len(frame)) + self.wires.delay_us
            copies = 0 if random_.random() < self.wires.loss else 1
            copies += copies and random_.random() < self.wires.duplicate
            for _ in range(copies):
                late = random_.random() * self.wires.jitter_us if self.wires.jitter_us else 0.0
                self._at(at + late, lambda: arrive(frame))

        def at_switch(port: int, frame: bytes) -> None:
            for output in self.control.switch.send(port, frame, now_us=int(self._now)):
                if output.port == MASTER_PORT:
                    self.traffic.bytes_to_master += len(output.data) + FRAMING
                    travel(to_master, output.data, at_master)
                elif output.port in down:
                    travel(down[output.port], output.data, at_worker)

        def at_master(frame: bytes) -> None:
            receiver = self.receivers.get(wire.query_of(frame))
            answer = receiver.on_frame(frame) if receiver else None
            if answer is not None:
                travel(from_master, answer, lambda f: at_switch(MASTER_PORT, f))

        def at_worker(frame: bytes) -> None:
            packet = wire.decode(frame)
            if packet.flow in flows:
                flows[packet.flow][1].on_frame(packet)
                pump(packet.flow)

        def pump(flow: int) -> None:
            port, sender = flows[flow]
            for frame in sender.poll(self._now):
                self.traffic.bytes_to_switch += len(frame) + FRAMING
                travel(up[port], frame, lambda f: at_switch(port, f))
            wake = sender.wake()
            # One timer per flow is enough; it looks again when it goes off.
            if wake is not None and waking.get(flow, 0.0) <= self._now:
                waking[flow] = wake
                self._at(wake, lambda: pump(flow))

        for when, call in self.cues:
            self._at(when, call)
        for flow in flows:
            pump(flow)
        while self._events and not all(s.done for _, s in self.senders):
            self._now, _, call = heapq.heappop(self._events)
            if self._now > self.wires.deadline_us:
                break
            call()
        late = [s.stream.flow for _, s in self.senders if not s.done]
        if late:
            raise TransferError(
                f"flows {late} have not ended after "
                f"{self._now / 1e6:.1f} s of virtual time, at a loss of {self.wires.loss:.0%}"
            )
        self.traffic.elapsed_us = self._now
        self.traffic.packets = sum(s.sent_packets for _, s in self.senders)
        self.traffic.resent = sum(s.resent_packets for _, s in self.senders)
        return self.traffic

    def _at(self, when: float, call: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, call))
