"""A query's transfer over modelled wires: workers and master as hosts of a star around the switch.

The master's link is the one that a query waits for. Time dilation costs nothing here: a slower
machine only takes longer to compute the same virtual microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from weft.p4.pruning import plan, wire
from weft.p4.pruning.cluster import Fetched, Task, Traffic, Wires
from weft.p4.pruning.control import LocalChip, PruningSwitch, stations
from weft.p4.pruning.reliability import GoBackNSender, Receiver, Sender, TransferError
from weft.p4.pruning.worker import Rows, Worker
from weft.p4.star import Faults, Host, Star


@dataclass(slots=True)
class _Flows:
    """All flows of one worker."""

    flows: dict[int, Sender]

    def poll(self, now: float) -> list[bytes]:
        return [frame for sender in self.flows.values() for frame in sender.poll(now)]

    def on_frame(self, frame: bytes, now: float) -> None:
        _, packet = wire.decode(frame)
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
    """Workers, switch and master in this process, on modelled links in virtual time."""

    def __init__(self, workers: Sequence[Worker], wires: Wires, seed: int, go_back_n: bool) -> None:
        self.workers, self.wires = workers, wires
        self.chip = LocalChip(seed, go_back_n)
        self.switch = PruningSwitch(self.chip, *stations(len(workers)), in_order=go_back_n)
        self._sender = GoBackNSender if go_back_n else Sender
        #: By run and table: what each worker's rows became.
        self._survivors: dict[tuple[int, str], list[Rows]] = {}

    def choose(self, run: int, table: str, where: str | None) -> int:
        return sum(worker.choose(run, table, where) for worker in self.workers)

    def transfer(self, tasks: Sequence[Task], restart_at_us: float | None) -> Traffic:
        senders: dict[int, dict[int, Sender]] = {task.run: {} for task in tasks}  # by worker
        receivers: dict[int, Receiver] = {}
        traffic = Traffic(0.0, 0)
        master = self.switch.master.address
        for task in tasks:
            installed, flows = task.installed, task.installed.flows[task.one.number]
            by_flow = {f: s.address for f, s in zip(flows, self.switch.workers, strict=True)}
            receivers[installed.query] = Receiver(
                master, installed.query, installed.epoch, by_flow, task.consumed
            )
            slowest, made = 0.0, 0
            for number, (flow, worker) in enumerate(zip(flows, self.workers, strict=True)):
                packed = worker.pack(task.run, task.one)
                slowest, made = max(slowest, packed.seconds), made + packed.made
                stream = wire.Stream(
                    by_flow[flow], master, installed.query, installed.epoch, task.one.number, flow
                )
                senders[task.run][number] = self._sender(
                    stream, packed.bodies, timeout_us=self.wires.timeout_us(len(self.workers))
                )
            traffic.prepare_s[task.run], traffic.packed[task.run] = slowest, made
        everyone = [(n, s) for by_worker in senders.values() for n, s in by_worker.items()]
        cues = self._restart(tasks, everyone, receivers, restart_at_us)
        traffic.elapsed_us, traffic.bytes_to_master = self._play(everyone, receivers, cues)
        for task in tasks:
            mine = senders[task.run].values()
            traffic.packets[task.run] = sum(s.sent_packets for s in mine)
            traffic.resent[task.run] = sum(s.resent_packets for s in mine)
            if not task.one.consume:
                receiver = receivers[task.installed.query]
                self._survivors[task.run, task.one.table] = [
                    np.array(sorted(receiver.survivors.get(flow, ())), np.int64)
                    for flow in receiver.flows
                ]
        return traffic

    def _play(
        self, senders: Sequence[tuple[int, Sender]], receivers: Mapping[int, Receiver],
        cues: Sequence[tuple[float, Callable[[], None]]],
    ) -> tuple[float, int]:  # fmt: skip
        """Runs flows, (worker, sender) each, to their end: microseconds, octets to the master."""
        hosts: dict[int, _Flows] = {}
        for number, sender in senders:
            port = self.switch.workers[number].port
            hosts.setdefault(port, _Flows({})).flows[sender.stream.flow] = sender
        wires, port = self.wires, self.switch.master.port
        rates = dict.fromkeys(hosts, wires.worker_gbps) | {port: wires.master_gbps}
        faults = Faults(wires.loss, wires.duplicate, wires.jitter_us, wires.seed)
        everyone: dict[int, Host] = {**hosts, port: _Master(receivers)}
        star = Star(self.chip.send, everyone, rates, wires.delay_us, faults, cues)
        if not star.run(wires.deadline_us):
            late = [s.stream.flow for _, s in senders if not s.done]
            raise TransferError(
                f"flows {late} have not ended after {star.now / 1e6:.1f} s of virtual time, "
                f"at a loss of {wires.loss:.0%}"
            )
        return star.now, star.down[port].octets

    def _restart(
        self, tasks: Sequence[Task], senders: Sequence[tuple[int, Sender]],
        receivers: Mapping[int, Receiver], at_us: float | None,
    ) -> list[tuple[float, Callable[[], None]]]:  # fmt: skip
        if at_us is None:
            return []

        def back() -> None:
            self.switch.restarted()
            epochs = {task.installed.query: task.installed.epoch for task in tasks}
            for _, sender in senders:
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
