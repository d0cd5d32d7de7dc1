"""A query's transfer over modelled wires: workers and master as hosts of a star around the switch.

The master's link is the one that a query waits for. Time dilation costs nothing here: a slower
machine only takes longer to compute the same virtual microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa

from weft.p4.pruning import plan, wire
from weft.p4.pruning.cluster import Fetched, Task, Traffic, Wires
from weft.p4.pruning.control import LocalChip, PruningSwitch, stations
from weft.p4.pruning.costs import Costs
from weft.p4.pruning.feed import Feed
from weft.p4.pruning.reliability import GoBackNSender, Receiver, Sender, TransferError
from weft.p4.pruning.worker import Rows, Worker
from weft.p4.star import Faults, Host, Star


@dataclass(slots=True)
class _Flows:
    """All flows of one worker, and what it makes packets of."""

    flows: dict[int, Sender] = field(default_factory=dict)
    feed: Feed = field(default_factory=Feed)

    def poll(self, now: float) -> list[bytes]:
        self.feed.poll(now)
        return [frame for sender in self.flows.values() for frame in sender.poll(now)]

    def on_frame(self, frame: bytes, now: float) -> None:
        _, packet = wire.decode(frame)
        if packet.flow in self.flows:
            self.flows[packet.flow].on_frame(packet)

    def wake(self) -> float | None:
        clocks: list[Feed | Sender] = [self.feed, *self.flows.values()]
        return min((w for clock in clocks if (w := clock.wake()) is not None), default=None)

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
        source, packet = wire.decode(frame)  # wires lose packets, but bend none
        receiver = self.receivers.get(packet.query)
        receipt = receiver.on_packet(source, packet) if receiver else None
        if receipt is not None:
            self.receipts.append(receipt)

    def wake(self) -> float | None:
        return None

    @property
    def done(self) -> bool:
        return True  # the senders know when all has arrived


class VirtualCluster:
    """Workers, switch and master in this process, on modelled links in virtual time, in which a
    worker's pass takes what it is said to."""

    def __init__(
        self, workers: Sequence[Worker], wires: Wires, seed: int, go_back_n: bool, costs: Costs
    ) -> None:
        self.workers, self.wires, self._costs = workers, wires, costs
        self.chip = LocalChip(seed, go_back_n)
        self.switch = PruningSwitch(self.chip, *stations(len(workers)), in_order=go_back_n)
        self._sender = GoBackNSender if go_back_n else Sender
        #: By run and table: what each worker's rows became.
        self._survivors: dict[tuple[int, str], list[Rows]] = {}

    def choose(self, run: int, table: str, where: str | None) -> int:
        return sum(worker.choose(run, table, where) for worker in self.workers)

    def transfer(self, tasks: Sequence[Task], restart_at_us: float | None) -> Traffic:
        hosts = {station.port: _Flows() for station in self.switch.workers}
        receivers = {task.installed.query: task.receiver(self.switch) for task in tasks}
        traffic = Traffic(0.0, 0)
        for task in tasks:
            packed = [self._pack(task, n, host) for n, host in enumerate(hosts.values())]
            traffic.packed[task.run] = sum(rows for rows, _ in packed)
            traffic.prepare_s[task.run] = max(seconds for _, seconds in packed)
        cues = self._restart(tasks, hosts.values(), receivers, restart_at_us)
        traffic.elapsed_us, traffic.bytes_to_master = self._play(hosts, receivers, cues)
        for task in tasks:
            flows = zip(hosts.values(), task.flows, strict=True)
            senders = [host.flows[flow] for host, flow in flows]
            traffic.packets[task.run] = sum(s.sent_packets for s in senders)
            traffic.resent[task.run] = sum(s.resent_packets for s in senders)
            if not task.one.consume:
                receiver = receivers[task.installed.query]
                self._survivors[task.run, task.one.table] = [
                    np.array(sorted(receiver.survivors.get(flow, ())), np.int64)
                    for flow in receiver.flows
                ]
        return traffic

    def _pack(self, task: Task, number: int, host: _Flows) -> tuple[int, float]:
        """Gives a worker's host its packets, each when it is said to have been made; of how many
        rows, and how long that took in truth."""
        stream, cost = task.stream(self.switch, number), self._costs.of_pass(task.one.encode)
        sender = self._sender(stream, timeout_us=self.wires.timeout_us(len(self.workers)))
        host.flows[stream.flow] = sender
        rows, seconds = 0, 0.0
        for packed in self.workers[number].pack(task.run, task.one):
            fixed = cost.fixed.most if packed.made and not rows else 0.0
            took_us = fixed + packed.made * cost.per_row.most
            host.feed.put(took_us, partial(sender.extend, packed.bodies))
            rows, seconds = rows + packed.made, seconds + packed.seconds
        host.feed.put(0.0, sender.finish)
        return rows, seconds

    def _play(
        self, hosts: Mapping[int, _Flows], receivers: Mapping[int, Receiver],
        cues: Sequence[tuple[float, Callable[[], None]]],
    ) -> tuple[float, int]:  # fmt: skip
        """Runs flows to their end: microseconds, octets to the master."""
        wires, port = self.wires, self.switch.master.port
        rates = dict.fromkeys(hosts, wires.worker_gbps) | {port: wires.master_gbps}
        faults = Faults(wires.loss, wires.duplicate, wires.jitter_us, wires.seed)
        everyone: dict[int, Host] = {**hosts, port: _Master(receivers)}
        star = Star(self.chip.send, everyone, rates, wires.delay_us, faults, cues)
        if not star.run(wires.deadline_us):
            late = [f for host in hosts.values() for f, s in host.flows.items() if not s.done]
            raise TransferError(
                f"flows {late} have not ended after {star.now / 1e6:.1f} s of virtual time, "
                f"at a loss of {wires.loss:.0%}"
            )
        return star.now, star.down[port].octets

    def _restart(
        self, tasks: Sequence[Task], hosts: Iterable[_Flows],
        receivers: Mapping[int, Receiver], at_us: float | None,
    ) -> list[tuple[float, Callable[[], None]]]:  # fmt: skip
        if at_us is None:
            return []

        def back() -> None:
            self.switch.restarted()
            epochs = {task.installed.query: task.installed.epoch for task in tasks}
            for sender in (s for host in hosts for s in host.flows.values()):
                sender.new_epoch(epochs[sender.stream.query])
            for query, receiver in receivers.items():
                receiver.new_epoch(epochs[query])

        return [(at_us, self.switch.restart), (at_us + 100, back)]

    def restrict(self, run: int, table: str) -> float:
        """By the links' rates alone: eight octets for each row's number."""
        survivors = self._survivors[run, table]
        for worker, rows in zip(self.workers, survivors, strict=True):
            worker.restrict(run, table, rows)
        return self.wires.bulk_us([8 * len(rows) for rows in survivors])

    def fetch(
        self, run: int, uses: Sequence[plan.Use], recount: tuple[str, tuple[str, ...]] | None
    ) -> Fetched:
        """By the links' rates alone; the transport that carries it is not modelled."""
        found: dict[str, pa.Table] = {}
        octets, keys = [0] * len(self.workers), 0
        for use in uses:
            survivors = self._survivors.get((run, use.table), [None] * len(self.workers))
            both = list(zip(self.workers, survivors, strict=True))
            if recount is not None and recount[0] == use.table:
                wanted = pa.concat_tables(w.take(run, use.table, recount[1], s) for w, s in both)
                keys += wanted.nbytes
                parts = [w.take_keyed(run, use.table, use.columns, wanted) for w, _ in both]
            else:
                parts = [w.take(run, use.table, use.columns, s) for w, s in both]
            octets = [a + part.nbytes for a, part in zip(octets, parts, strict=True)]
            found[use.table] = pa.concat_tables(parts)
        return Fetched(found, sum(octets) + keys, self.wires.bulk_us(octets))

    def without(self, run: int, uses: Sequence[plan.Use]) -> tuple[int, float]:
        octets = [
            sum(w.take(run, use.table, use.columns, None).nbytes for use in uses)
            for w in self.workers
        ]
        return sum(octets), self.wires.bulk_us(octets)

    def forget(self, run: int) -> None:
        for worker in self.workers:
            worker.forget(run)
        for key in [k for k in self._survivors if k[0] == run]:
            del self._survivors[key]

    def faults(self) -> list[str]:
        return []  # virtual time is never late

    def close(self) -> None:
        self.switch.close()
