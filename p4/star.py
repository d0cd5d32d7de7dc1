"""Hosts around a P4 switch, in virtual time: real packets through the real switch, modelled wires.

Each port has a link with a rate, a delay, and, if asked, loss, copies and reordering (seeded).
Links send one packet after another, in both directions at once; the switch itself takes no time.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from weft.p4.switch import Output

#: Preamble, start delimiter, check sequence and gap of an Ethernet frame, in bytes.
FRAMING = 24


class Host(Protocol):
    """What stands at a port. Times are microseconds."""

    def poll(self, now: float) -> Sequence[bytes]:
        """Frames to send now."""

    def on_frame(self, frame: bytes, now: float) -> None:
        """A frame has arrived; `poll` is called next."""

    def wake(self) -> float | None:
        """When to poll again if nothing arrives before."""

    @property
    def done(self) -> bool:
        """Does this host wait for nothing more?"""


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities per packet and link; `jitter_us` is extra delay, uniform: it reorders."""

    loss: float = 0.0
    duplicate: float = 0.0
    jitter_us: float = 0.0
    seed: int = 1


@dataclass(slots=True)
class _Link:
    gbps: float
    free_at: float = 0.0
    octets: int = 0

    def depart(self, now: float, length: int) -> float:
        self.octets += length + FRAMING
        self.free_at = max(now, self.free_at) + (length + FRAMING) * 8e-3 / self.gbps
        return self.free_at


@dataclass(slots=True)
class Star:
    """`send(port, frame, now_us)` runs the switch; `hosts` and `gbps` are by port."""

    send: Callable[[int, bytes, int], Sequence[Output]]
    hosts: Mapping[int, Host]
    gbps: Mapping[int, float]
    delay_us: float = 2.0
    faults: Faults = Faults()
    #: Called at a virtual time of one's choice: faults in mid-run.
    cues: Sequence[tuple[float, Callable[[], None]]] = ()
    now: float = 0.0
    up: dict[int, _Link] = field(default_factory=dict)
    down: dict[int, _Link] = field(default_factory=dict)
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _count: int = 0
    _waking: dict[int, float] = field(default_factory=dict)
    _random: random.Random = field(default_factory=random.Random)

    def run(self, deadline_us: float) -> bool:
        """Until every host is done; False when the deadline came first."""
        self._random.seed(self.faults.seed)
        self.up = {port: _Link(self.gbps[port]) for port in self.hosts}
        self.down = {port: _Link(self.gbps[port]) for port in self.hosts}
        for when, call in self.cues:
            self._at(when, call)
        for port in self.hosts:
            self._pump(port)
        while self._events and not all(h.done for h in self.hosts.values()):
            when, _, call = heapq.heappop(self._events)
            if when > deadline_us:
                return False
            self.now = when
            call()
        return all(h.done for h in self.hosts.values())

    def _pump(self, port: int) -> None:
        host = self.hosts[port]
        for frame in host.poll(self.now):
            self._travel(self.up[port], frame, lambda f: self._at_switch(port, f))
        wake = host.wake()
        # One timer per host is enough; it looks again when it goes off.
        if wake is not None and not self.now < self._waking.get(port, 0.0) <= wake:
            self._waking[port] = wake
            self._at(wake, lambda: self._pump(port))

    def _at_switch(self, port: int, frame: bytes) -> None:
        for output in self.send(port, frame, int(self.now)):
            link = self.down.get(output.port)
            if link is not None:
                to = output.port
                self._travel(link, output.data, lambda f, to=to: self._at_host(to, f))  # type: ignore[misc]

    def _at_host(self, port: int, frame: bytes) -> None:
        self.hosts[port].on_frame(frame, self.now)
        self._pump(port)

    def _travel(self, link: _Link, frame: bytes, arrive: Callable[[bytes], None]) -> None:
        at = link.depart(self.now, len(frame)) + self.delay_us
        copies = 0 if self._random.random() < self.faults.loss else 1
        copies += copies and self._random.random() < self.faults.duplicate
        for _ in range(copies):
            late = self._random.random() * self.faults.jitter_us
            self._at(at + late, lambda: arrive(frame))

    def _at(self, when: float, call: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, call))
