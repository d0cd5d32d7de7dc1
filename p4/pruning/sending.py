"""A worker's end of a transfer between real processes: it makes packets, sends them from its own
socket, and hears what becomes of them.

Packets are made before the clock of the links starts, and sent when they are due, while others are
made by that clock: side by side with all that a lab does on one machine, making them would take up
to twice as long as on a host of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import select
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection

from weft.p4.pruning import wire
from weft.p4.pruning.feed import Feed
from weft.p4.pruning.parts import Flow, Sent
from weft.p4.pruning.reliability import GoBackNSender, Sender, TransferError
from weft.p4.pruning.worker import Packed, Worker

AT_ONCE = 256  # datagrams read before anything else gets its turn


@dataclass(slots=True)
class Sending:
    """`control` brings the only request during a transfer: that the switch has restarted."""

    socket: socket.socket
    control: Connection
    dilation: float
    _flows: Mapping[int, Flow] = field(default_factory=dict)
    _senders: dict[int, Sender] = field(default_factory=dict)
    _feed: Feed = field(default_factory=Feed)
    _sent: Sent = field(default_factory=Sent)

    def pack(
        self, worker: Worker, flows: Sequence[Flow], timeout_us: float, go_back_n: bool
    ) -> None:
        """Makes the packets of several flows, a part of each in turn, for `run`: each is sent when
        it would have been made by a worker that began at the start, by the CPU time that all took.
        """
        kind = GoBackNSender if go_back_n else Sender
        self._flows = {flow.stream.flow: flow for flow in flows}
        self._senders = {
            number: kind(flow.stream, timeout_us=timeout_us) for number, flow in self._flows.items()
        }
        self._feed, self._sent = Feed(), Sent()
        for flow in flows:
            worker.warm(flow.run, flow.one)
        made = [worker.pack(flow.run, flow.one) for flow in flows]
        for parts in itertools.zip_longest(*made):
            for flow, packed in zip(flows, parts, strict=True):
                if packed is not None:
                    self._take(flow, packed)
        for sender in self._senders.values():
            self._feed.put(0.0, sender.finish)

    def _take(self, flow: Flow, packed: Packed) -> None:
        sender = self._senders[flow.stream.flow]
        self._sent.packed[flow.run] += packed.made
        self._sent.seconds[flow.run] += packed.seconds
        self._feed.put(1e6 * packed.seconds, partial(sender.extend, packed.bodies))

    def run(self, start: float, deadline: float) -> Sent:
        """From `start` on until everything is acknowledged; times of time.monotonic. Raises
        `TransferError` at the deadline."""
        time.sleep(max(0.0, start - time.monotonic()))
        poller = select.poll()
        for one in (self.socket, self.control):
            poller.register(one, select.POLLIN)
        while not all(s.done for s in self._senders.values()):
            real = time.monotonic()
            if real > deadline:
                late = [f for f, s in self._senders.items() if not s.done]
                raise TransferError(f"flows {late} have not ended after {real - start:.1f} s")
            wake = self._send((real - start) * 1e6 / self.dilation)
            patience = (start - real) * 1e3 + wake * 1e-3 * self.dilation
            ready = {fd for fd, _ in poller.poll(min(max(patience, 0.0), 1000.0))}
            if self.control.fileno() in ready:
                self._restarted()
            self._hear()
        self._sent.at = time.monotonic()
        for number, sender in self._senders.items():
            run = self._flows[number].run
            self._sent.packets[run] += sender.sent_packets
            self._sent.resent[run] += sender.resent_packets
        return self._sent

    def _send(self, now: float) -> float:
        """What may go now; when there is more, if nothing happens before."""
        self._feed.poll(now)
        for sender in self._senders.values():
            for frame in sender.poll(now):
                # Lost, as on a wire: the sender's clock sends it again.
                with contextlib.suppress(ConnectionRefusedError, BlockingIOError):
                    self.socket.send(frame[wire.BELOW :])
        clocks: list[Feed | Sender] = [self._feed, *self._senders.values()]
        return min((w for clock in clocks if (w := clock.wake()) is not None), default=math.inf)

    def _hear(self) -> None:
        for _ in range(AT_ONCE):
            try:
                message = self.socket.recv(2048, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                continue
            with contextlib.suppress(wire.WireError):
                packet = wire.decode_message(message)
                if packet.flow in self._senders:
                    self._senders[packet.flow].on_frame(packet)

    def _restarted(self) -> None:
        """Epochs by query."""
        _, (epochs,) = self.control.recv()
        for sender in self._senders.values():
            sender.new_epoch(epochs[sender.stream.query])
