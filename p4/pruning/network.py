"""A query's transfer over modelled wires: workers and master as hosts of a star around the switch.

The master's link is the one that a query waits for. Time dilation costs nothing here: a slower
machine only takes longer to compute the same virtual microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from weft.p4.pruning import wire
from weft.p4.pruning.control import PruningSwitch
from weft.p4.pruning.reliability import Receiver, Sender, TransferError
from weft.p4.star import Faults, Host, Star


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


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a transfer did."""

    elapsed_us: float
    bytes_to_master: int


@dataclass(slots=True)
class _Worker:
    """All flows of one worker."""

    flows: dict[int, Sender]

    def poll(self, now: float) -> list[bytes]:
        return [frame for sender in self.flows.values() for frame in sender.poll(now)]

    def on_frame(self, frame: bytes, now: float) -> None:
        packet = wire.decode(frame)
        if packet.flow in self.flows:
            self.flows[packet.flow].on_frame(packet)

    def wake(self) -> float | None:
        times = [t for sender in self.flows.values() if (t := sender.wake()) is not None]
        return min(times, default=None)

    @property
    def done(self) -> bool:
        return all(sender.done for sender in self.flows.values())


@dataclass(slots=True)
class _Master:
    receivers: Mapping[int, Receiver]
    receipts: list[bytes] = field(default_factory=list)

    def poll(self, now: float) -> list[bytes]:
        waiting, self.receipts = self.receipts, []
        return waiting

    def on_frame(self, frame: bytes, now: float) -> None:
        receiver = self.receivers.get(wire.query_of(frame))
        receipt = receiver.on_frame(frame) if receiver else None
        if receipt is not None:
            self.receipts.append(receipt)

    def wake(self) -> float | None:
        return None

    @property
    def done(self) -> bool:
        return True  # the senders know when all has arrived


def transfer(
    control: PruningSwitch,
    wires: Wires,
    senders: Sequence[tuple[int, Sender]],
    receivers: Mapping[int, Receiver],
    cues: Sequence[tuple[float, Callable[[], None]]] = (),
) -> Traffic:
    """Runs the flows, (worker's port, sender) each, to their end; `receivers` are by query.

    Raises `TransferError` when a flow has not ended at the deadline.
    """
    workers: dict[int, _Worker] = {}
    for port, sender in senders:
        workers.setdefault(port, _Worker({})).flows[sender.stream.flow] = sender
    port = control.master.port
    rates = dict.fromkeys(workers, wires.worker_gbps) | {port: wires.master_gbps}
    faults = Faults(wires.loss, wires.duplicate, wires.jitter_us, wires.seed)
    hosts: dict[int, Host] = {**workers, port: _Master(receivers)}
    star = Star(control.switch.send, hosts, rates, wires.delay_us, faults, cues)
    if not star.run(wires.deadline_us):
        late = [s.stream.flow for _, s in senders if not s.done]
        raise TransferError(
            f"flows {late} have not ended after {star.now / 1e6:.1f} s of virtual time, "
            f"at a loss of {wires.loss:.0%}"
        )
    return Traffic(star.now, star.down[port].octets)
