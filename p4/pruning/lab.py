"""A pruning cluster in the lab: every worker and the master a process on a host of its own, the
switch a P4 program in the fabric between them.

The links are slowed by a factor, so that two cores can emulate what ten machines would do at 10
Gbit/s; times on the network are given as if they were not. What workers and master compute takes
the time that it takes, and is reported apart.
"""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from weft.emulation import LinkSpec, Queues, Topology
from weft.emulation.lab import Lab, LabError
from weft.emulation.programs import Program
from weft.p4.pruning import plan, wire
from weft.p4.pruning.cluster import Fetched, Task, Traffic, Wires
from weft.p4.pruning.control import (
    CASTAGNOLI,
    PROGRAMS,
    REFUSALS,
    PruningSwitch,
    Row,
    Station,
    action_path,
    sizes,
)
from weft.p4.pruning.costs import Linear
from weft.p4.pruning.encoders import Encoder
from weft.p4.pruning.parts import Flow, Listen, Sent, Setup, read, write
from weft.p4.pruning.reliability import TransferError

_START_DEADLINE_S = 120.0
_ANSWER_DEADLINE_S = 300.0
_LONGEST_S = 600.0
_LEAD_S = 0.05  # until all workers have heard when a transfer starts


class LabChip:
    """The program in the lab's switch, by simple_switch_CLI's commands."""

    def __init__(self, lab: Lab, switch: str) -> None:
        self._lab, self._switch = lab, switch
        self._registers = lab.p4(switch, "show_registers")

    def insert(self, rows: Sequence[Row]) -> list[int]:
        said = self._lab.p4(self._switch, *(_table_add(row) for row in rows))
        return [int(text.rsplit(" ", 1)[1]) for text in said]

    def remove(self, entries: Sequence[tuple[str, int]]) -> None:
        self._lab.p4(self._switch, *(f"table_delete ingress.{t} {h}" for t, h in entries))

    def clear(self, part: str, first: int, count: int) -> None:
        names = [name for name in self._registers if part in name]
        self._lab.p4(self._switch, *(f"register_clear {n} {first} {count}" for n in names))

    def reset(self) -> None:
        self._lab.p4(self._switch, *(f"register_reset {name}" for name in self._registers))

    def refused(self) -> list[int]:
        reads = [f"counter_read ingress.refused {i}" for i in range(len(REFUSALS))]
        said = self._lab.p4(self._switch, *reads)
        return [int(text.split(", ")[1].split(" ")[0]) for text in said]

    def close(self) -> None:
        """The lab ends it."""


def _table_add(row: Row) -> str:
    def shown(match: Any) -> str:
        if not isinstance(match, tuple):
            return str(match)
        return f"{match[0]}{'/' if row.table == 'routes' else '->'}{match[1]}"

    key, arguments = " ".join(map(shown, row.key)), " ".join(map(str, row.arguments))
    priority = f" {row.priority}" if row.priority else ""
    return f"table_add ingress.{row.table} {action_path(row)} {key} => {arguments}{priority}"


class LabCluster:
    """`parts`: each worker's fragments by table. `dilation` slows the links, by at least 1.

    Raises `LabError` where no lab can be, or when a process does not come up.
    """

    def __init__(
        self, parts: Sequence[Mapping[str, pa.Table]], wires: Wires, dilation: float,
        go_back_n: bool,
    ) -> None:  # fmt: skip
        if not dilation >= 1:
            raise ValueError(f"a lab is slowed by a factor of at least 1, not {dilation}")
        self.wires, self._dilation = wires, dilation
        self._workers = len(parts)
        # The workers', then the master's.
        self._agents: list[Connection] = []
        self.processes: list[subprocess.Popen[Any]] = []
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weft-")))
            self.lab = stack.enter_context(self._build(go_back_n))
            hosts = [Station(h, wire.Address(h + 1)) for h in range(self._workers + 1)]
            chip = LabChip(self.lab, "s")
            self.switch = PruningSwitch(chip, hosts[:-1], hosts[-1], in_order=go_back_n)
            self._start(stack, parts, go_back_n)
            self._stack = stack.pop_all()

    def _build(self, go_back_n: bool) -> Lab:
        """The star, and the program in its middle."""
        wires, hosts = self.wires, self._workers + 1
        rates = [wires.worker_gbps] * self._workers + [wires.master_gbps]
        links = [
            LinkSpec(f"h{h}", "s", rate=rate * 1e9, delay=wires.delay_us * 1e-6)
            for h, rate in enumerate(rates)
        ]
        topology = Topology.graph(hosts, ["s"], links)
        for h in range(hosts):
            topology.set_link(
                f"h{h}", "s", loss=wires.loss, duplication=wires.duplicate,
                jitter=wires.jitter_us * 1e-6,
            )  # fmt: skip
        source, commands = self._folder / "pruning.p4", self._folder / "commands.txt"
        lines = [f"#define {name} {value}" for name, value in sizes(go_back_n).items()]
        source.write_text("\n".join([*lines, f'#include "{PROGRAMS / "all.p4"}"', ""]))
        polynomial = " ".join(str(int(p)) for p in CASTAGNOLI)
        commands.write_text(f"set_crc32_parameters castagnoli {polynomial}\n")
        return Lab(
            topology, programs=[Program("s", source, commands)], dilation=self._dilation,
            seed=wires.seed, queues=Queues(capacity=4_000_000), name="pruning",
        )  # fmt: skip

    def _start(
        self, stack: ExitStack, parts: Sequence[Mapping[str, pa.Table]], go_back_n: bool
    ) -> None:
        stations, token = (*self.switch.workers, self.switch.master), secrets.token_hex(16)
        addresses = tuple(s.address for s in self.switch.workers)
        for host, station in enumerate(stations):
            fragments = {
                name: write(table, self._folder / f"host{host}.{number}.arrow")
                for number, (name, table) in enumerate(parts[host].items())
            } if host < self._workers else {}  # fmt: skip
            setup = Setup(
                station.address, self.switch.master.address, addresses, self._dilation, token,
                str(self._folder), fragments, self.wires.timeout_us(self._workers), go_back_n,
            )  # fmt: skip
            ours, theirs = socket.socketpair()
            with theirs:
                process = self.lab.hosts[host].popen(
                    [sys.executable, "-m", "weft.p4.pruning.agent", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                    start_new_session=True,  # a terminal's Ctrl-C is for us, who end it
                )  # fmt: skip
            end = Connection(ours.detach())
            stack.callback(_end, process, end)
            end.send(setup)
            self._agents.append(end)
            self.processes.append(process)
        self._gather(self._agents, _START_DEADLINE_S)

    # ---------------------------------------------------------------------------- requests

    def _ask(self, ends: Sequence[Connection], name: str, *arguments: Any) -> list[Any]:
        """One request to several agents, and their answers."""
        self._tell(ends, name, *arguments)
        return self._gather(ends, _ANSWER_DEADLINE_S)

    def _tell(self, ends: Sequence[Connection], name: str, *arguments: Any) -> None:
        for end in ends:
            try:
                end.send((name, arguments))
            except OSError:
                raise LabError("pruning: the process of a worker or the master has ended") from None

    def _gather(self, ends: Sequence[Connection], deadline_s: float) -> list[Any]:
        """One answer of each; raises what they complain of, or `LabError` for who says nothing."""
        answers: dict[int, Any] = {}
        missing, until = {end: i for i, end in enumerate(ends)}, time.monotonic() + deadline_s
        while missing:
            left = until - time.monotonic()
            if left <= 0:
                hosts = [f"h{self._agents.index(end)}" for end in missing]
                raise LabError(f"pruning: {', '.join(hosts)} did not answer in {deadline_s:g} s")
            for end in wait(list(missing), timeout=min(left, 1.0)):
                index = missing.pop(cast(Connection, end))
                host = f"h{self._agents.index(cast(Connection, end))}"
                try:
                    kind, value = cast(Connection, end).recv()
                except (EOFError, OSError):
                    raise LabError(f"pruning: the process on {host} has ended") from None
                if kind == "error":
                    late = str(value).startswith("TransferError")
                    raise (TransferError if late else LabError)(f"{host}: {value}")
                answers[index] = value
            self.lab.check()
        return [answers[i] for i in range(len(ends))]

    # ----------------------------------------------------------------------------- queries

    def probe(self) -> dict[type[Encoder], Linear]:
        """What a worker's pass takes: the slowest's, which the others wait for. They are asked one
        after another, as they make packets."""
        found: list[dict[type[Encoder], Linear]] = [
            costs for end in self._agents[:-1] for costs in self._ask([end], "probe")
        ]
        return {
            kind: max((costs[kind] for costs in found), key=lambda cost: cost.per_row.most)
            for kind in found[0]
        }

    def choose(self, run: int, table: str, where: str | None) -> int:
        return sum(self._ask(self._agents[:-1], "choose", run, table, where))

    def transfer(self, tasks: Sequence[Task], restart_at_us: float | None) -> Traffic:
        workers, master = self._agents[:-1], self._agents[-1]
        listening = [
            Listen(task.run, task.one.table, task.one.consume, task.receiver(self.switch))
            for task in tasks
        ]
        self._ask([master], "listen", listening)
        before = self._bytes_to_master()
        for number, end in enumerate(workers):  # in turn: each is a host of its own
            flows = [Flow(t.run, t.one, t.stream(self.switch, number)) for t in tasks]
            self._ask([end], "pack", flows)
        longest = min(self.wires.deadline_us * 1e-6 * self._dilation, _LONGEST_S)
        start = time.monotonic() + _LEAD_S
        self._tell(workers, "send", start, start + longest)
        if restart_at_us is not None:
            self._restart(tasks, start + restart_at_us * 1e-6 * self._dilation)
        sent: list[Sent] = self._gather(workers, longest + _ANSWER_DEADLINE_S)
        self._ask([master], "collect")
        elapsed_us = (max(s.at for s in sent) - start) * 1e6 / self._dilation
        traffic = Traffic(elapsed_us, self._bytes_to_master() - before)
        for run in (task.run for task in tasks):
            traffic.prepare_s[run] = max(s.seconds[run] for s in sent)
            traffic.packed[run] = sum(s.packed[run] for s in sent)
            traffic.packets[run] = sum(s.packets[run] for s in sent)
            traffic.resent[run] = sum(s.resent[run] for s in sent)
        return traffic

    def _restart(self, tasks: Sequence[Task], at: float) -> None:
        """The switch loses power at that time of the clock, and comes back a little later."""
        time.sleep(max(0.0, at - time.monotonic()))
        self.switch.restart()
        time.sleep(100e-6 * self._dilation)
        self.switch.restarted()
        epochs = {task.installed.query: task.installed.epoch for task in tasks}
        self._ask([self._agents[-1]], "restarted", epochs)
        self._tell(self._agents[:-1], "restarted", epochs)

    def restrict(self, run: int, table: str) -> float:
        [seconds] = self._ask([self._agents[-1]], "restrict", run, table)
        return float(seconds) * 1e6 / self._dilation

    def fetch(
        self, run: int, uses: Sequence[plan.Use], recount: tuple[str, tuple[str, ...]] | None
    ) -> Fetched:
        before = self._bytes_to_master()
        [(seconds, files)] = self._ask([self._agents[-1]], "fetch", run, uses, recount)
        found = {name: read(path) for name, path in files.items()}
        for path in files.values():
            Path(path).unlink()  # what is mapped stays
        return Fetched(found, self._bytes_to_master() - before, seconds * 1e6 / self._dilation)

    def without(self, run: int, uses: Sequence[plan.Use]) -> tuple[int, float]:
        octets = self._ask(self._agents[:-1], "size", run, uses)
        return sum(octets), self.wires.bulk_us(octets)

    def _bytes_to_master(self) -> int:
        """What the master's link has carried to it, with all headers."""
        return self.lab.port_stats()["bytes"][2 * self._workers + 1]

    def forget(self, run: int) -> None:
        self._ask(self._agents, "forget", run)

    def faults(self) -> list[str]:
        """Reasons not to believe times of this lab."""
        return list(self.lab.fidelity().faults)

    def close(self) -> None:
        self._stack.close()


def _end(process: subprocess.Popen[Any], end: Connection) -> None:
    """At once, whatever it is doing: it has nothing to put in order."""
    end.close()
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
