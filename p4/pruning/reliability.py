"""Both ends of the pruning protocol, without clock or sockets: a flow's sender, and the master.

Every packet is acknowledged: by the switch if nothing of it is left, else by the master. A sender
has at most `WINDOW` packets open, re-sends what stays unanswered, and ends its flow with an EOS
that has a number of its own and goes out when all before it is acknowledged: the master then has
every survivor.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from weft.p4.pruning import wire

_MAX_BACKOFF = 64


class TransferError(RuntimeError):
    """A flow found no end in time; names the flow and what it still waits for."""


class Sender:
    """One flow of one phase. Times are microseconds of any clock that does not go back."""

    def __init__(
        self,
        stream: wire.Stream,
        bodies: Sequence[tuple[int, bytes]] | None = None,
        *,
        timeout_us: float = 1000.0,
        window: int = wire.WINDOW,
    ) -> None:
        """`bodies`: (lanes present, bytes) each; without them, they come by `extend` and `finish`.
        `timeout_us` until a packet is sent again."""
        if not 1 <= window <= wire.WINDOW:
            raise ValueError(f"a window has 1 to {wire.WINDOW} packets, not {window}")
        self.stream = stream
        self.sent_packets = self.resent_packets = 0
        self._parts: list[Sequence[tuple[int, bytes]]] = []
        self._ends: list[int] = []  # how many packets the parts up to each have
        self._finished = False
        self._window = window
        self._timeout = timeout_us
        self._base = 1  # the lowest number not acknowledged
        self._next = 1
        self._open: dict[int, tuple[float, int]] = {}  # number -> (sent at, times sent)
        self._look = math.inf  # no open packet is overdue before
        if bodies is not None:
            self.extend(bodies)
            self.finish()

    def extend(self, bodies: Sequence[tuple[int, bytes]]) -> None:
        """More packets of the flow."""
        self._parts.append(bodies)
        self._ends.append(self._count + len(bodies))

    def finish(self) -> None:
        """There are no more: the flow may end."""
        self._finished = True

    @property
    def _count(self) -> int:
        return self._ends[-1] if self._ends else 0

    @property
    def done(self) -> bool:
        return self._finished and self._base > self._count + 1

    def poll(self, now: float) -> list[bytes]:
        """Frames to send now: what timed out, then what the window allows."""
        frames = self._again(now) if now >= self._look else []
        self.resent_packets += len(frames)
        last = self._count
        while self._next < self._base + self._window and self._next <= last:
            frames.append(self._send(self._next, now))
            self._next += 1
        if self._finished and self._base == self._next == last + 1:
            frames.append(self._send(self._next, now))  # the end of the stream
            self._next += 1
        self.sent_packets += len(frames)
        return frames

    def wake(self) -> float | None:
        """When `poll` has something to send again, if nothing arrives before."""
        return self._look if self._open else None

    def on_frame(self, packet: wire.Packet) -> None:
        """An answer; other flows' and stale ones change nothing.

        The switch's word counts in its present epoch only. The rows by which an earlier one pruned
        this packet may since have been pruned by this very packet, sent again.
        """
        s = self.stream
        if (packet.query, packet.phase, packet.flow) != (s.query, s.phase, s.flow):
            return
        pruned = packet.kind == wire.ACK and packet.epoch == s.epoch
        if not pruned and packet.kind != wire.RECEIPT:
            return
        self._open.pop(packet.sequence, None)
        while self._base < self._next and self._base not in self._open:
            self._base += 1

    def new_epoch(self, epoch: int) -> None:
        """The switch restarted: what is sent from now on belongs to its new life."""
        self.stream = replace(self.stream, epoch=epoch)

    def _again(self, now: float) -> list[bytes]:
        late = [n for n, (at, times) in self._open.items() if now >= at + self._patience(times)]
        frames = [self._send(number, now) for number in late]
        due = (at + self._patience(times) for at, times in self._open.values())
        self._look = min(due, default=math.inf)
        return frames

    def _patience(self, times: int) -> float:
        return self._timeout * min(1 << (times - 1), _MAX_BACKOFF)

    def _send(self, number: int, now: float) -> bytes:
        times = self._open.get(number, (0.0, 0))[1] + 1
        self._open[number] = (now, times)
        self._look = min(self._look, now + self._patience(times))
        if number > self._count:
            return wire.encode(self.stream, wire.EOS, number)
        part = bisect_right(self._ends, number - 1)
        present, body = self._parts[part][number - 1 - self._ends[part]]
        return wire.encode(self.stream, wire.DATA, number, present, body)


class GoBackNSender(Sender):
    """The paper's sender (section 7.2), for comparison: its switch drops what comes out of order.

    On a time-out it sends everything again from the lowest open number.
    """

    def _again(self, now: float) -> list[bytes]:
        if not any(now >= at + self._patience(n) for at, n in self._open.values()):
            return super()._again(now)
        self._look = math.inf
        return [self._send(number, now) for number in range(min(self._open), self._next)]


@dataclass(slots=True)
class Receiver:
    """The master's end: survivors by flow, until every flow has ended."""

    address: wire.Address
    query: int
    epoch: int  # the query's present one
    flows: dict[int, wire.Address]  # flow -> its worker
    consumed: frozenset[int] = frozenset()  # phases whose rows serve the switch only
    survivors: dict[int, set[int]] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    refused: int = 0

    @property
    def done(self) -> bool:
        return self.ended >= set(self.flows)

    def on_frame(self, frame: bytes) -> bytes | None:
        """The acknowledgement to send; None for what is not of this query."""
        try:
            source, packet = wire.decode(frame)
        except wire.WireError:
            self.refused += 1
            return None
        return self.on_packet(source, packet)

    def on_packet(self, source: wire.Address, packet: wire.Packet) -> bytes | None:
        """As `on_frame`. Refuses other queries, earlier epochs, and flows of another worker."""
        mine = (packet.query, packet.epoch) == (self.query, self.epoch)
        foreign = self.flows.get(packet.flow) != source
        if not mine or foreign or packet.kind in (wire.ACK, wire.RECEIPT):
            self.refused += 1
            return None
        if packet.kind == wire.EOS:
            self.ended.add(packet.flow)
        elif packet.phase not in self.consumed:
            self.survivors.setdefault(packet.flow, set()).update(packet.ids)
        back = wire.Stream(
            self.address, source, packet.query, packet.epoch, packet.phase, packet.flow
        )
        return wire.encode(back, wire.RECEIPT, packet.sequence)

    def new_epoch(self, epoch: int) -> None:
        """The switch restarted: what was sent before will be sent again."""
        self.epoch = epoch
