"""The demo's second half: the same training on an emulated leaf-spine whose busiest spine dies.

Four ranks on four hosts in network namespaces, behind two leaves and four spines. Each backend
trains alone, from the same weights on the same batches; after half of the steps the spine that
has carried most of its bytes goes dark, and the switches need some seconds to notice, as routing
protocols do. Until then whatever is hashed onto it is lost.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from weft.demo.job import JobError
from weft.demo.training import BACKENDS, Curve, Settings
from weft.emulation import Queues, Topology
from weft.emulation.lab import FabricDied, Fidelity, Lab

LEAVES, SPINES = 2, 4
RATE, DELAY = "200Mbit/s", "50us"
QUEUE = 400_000
"""Bytes per port: 16 ms at that rate."""
MTU = 9000
NOTICED_AFTER = 5.0
"""Seconds until the switches route around a dead spine; BGP's hold timer alone is 90 (RFC 4271)."""
TRANSPORT = "paths=16,congestion.base_target_us=10000"
"""A full packet takes 0.4 ms a link at that rate, and waits behind others of its rank in the first
queue and of other ranks at a spine: congestion control is to bear with 10 of a queue's 16 ms, twice
what it does by itself."""


@dataclass(frozen=True)
class Run:
    """One backend's training. Times by time.monotonic, in seconds."""

    curve: Curve | None
    error: str | None
    spine: str
    began: float
    died: float

    def times(self) -> list[float]:
        """When steps ended, counted from the death of the spine."""
        return [] if self.curve is None else [end - self.died for end in self.curve.ends]

    def split(self, warm_up: int) -> tuple[list[float], list[float]]:
        """Seconds of the steps before (without the first few) and after the death."""
        assert self.curve is not None
        pairs = list(zip(self.curve.ends, self.curve.seconds, strict=True))
        before = [took for end, took in pairs[warm_up:] if end <= self.died]
        after = [took for end, took in pairs if end > self.died]
        return before or [0.0], after or [0.0]

    @property
    def longest(self) -> float:
        """The longest step that ended after the death, seconds."""
        assert self.curve is not None
        pairs = zip(self.curve.ends, self.curve.seconds, strict=True)
        return max((took for end, took in pairs if end > self.died), default=0.0)


@dataclass(frozen=True)
class Outcome:
    """Both trainings on the fabric, and how well it kept its schedule."""

    settings: Settings
    runs: dict[str, Run]
    fidelity: Fidelity

    def record(self) -> dict[str, Any]:
        """All of it for programs; times in seconds, counted from the death of the spine."""
        backends: dict[str, Any] = {}
        for name, run in self.runs.items():
            backends[name] = {"spine": run.spine, "error": run.error}
            if run.curve is not None:
                backends[name] |= {
                    "longest_step_after": run.longest,
                    "began": run.began - run.died,
                    "step_ends": run.times(),
                    "step_seconds": run.curve.seconds,
                    "losses": run.curve.losses,
                    "accuracy": run.curve.accuracy,
                }
        return {
            "fabric": f"{LEAVES} leaves, {SPINES} spines, {RATE}, {DELAY} a link",
            "noticed_after": NOTICED_AFTER,
            "backends": backends,
            "fidelity": self.fidelity.record(),
        }


def run(settings: Settings, deadline: float, tell: Callable[[str, int], None]) -> Outcome:
    """Train on a lab, backend after backend; `tell(backend, step)` as rank 0 gets on.

    Raises LabError when there can be no lab here; JobError when a rank dies, or after `deadline`
    seconds.
    """
    until = time.monotonic() + deadline
    topology = Topology.leaf_spine(
        leaves=LEAVES, spines=SPINES, hosts_per_leaf=-(-settings.ranks // LEAVES),
        rate=RATE, delay=DELAY,
    )  # fmt: skip
    queues = Queues(capacity=QUEUE, reroute_after=NOTICED_AFTER)
    with (
        tempfile.TemporaryDirectory(prefix="weft-demo-") as folder,
        Lab(topology, queues=queues, mtu=MTU, seed=settings.seed, name="demo") as lab,
    ):
        ranks = _Ranks(lab, settings, Path(folder), until)
        try:
            runs = {}
            for name in reversed(BACKENDS):
                runs[name] = ranks.train(name, lambda step, name=name: tell(name, step))  # type: ignore[misc]
            return Outcome(settings, runs, lab.fidelity())
        except FabricDied as error:
            raise JobError(str(error)) from None
        finally:
            ranks.end()


class _Ranks:
    """One process per host, each at the other end of a connection."""

    def __init__(self, lab: Lab, settings: Settings, folder: Path, until: float) -> None:
        self.lab = lab
        self.settings = settings
        self.until = until
        self.ends: list[Connection] = []
        self.processes: list[subprocess.Popen[Any]] = []
        self._mended: float | None = None
        try:
            for rank in range(settings.ranks):
                self._start(rank, folder)
            for _ in range(settings.ranks):
                self._hear()  # "ready"
        except BaseException:
            self.end()
            raise

    def _start(self, rank: int, folder: Path) -> None:
        ours, theirs = socket.socketpair()
        place = {
            "GLOO_SOCKET_IFNAME": "eth0",
            "WEFT_DATAPATHS": "udp",
            "WEFT_INTERFACES": "eth0",
            "WEFT_TRANSPORT": TRANSPORT,
            "WEFT_ALGORITHMS": "all_reduce=ring",  # as gloo does it: what differs is the transport
        }
        with theirs:
            self.processes.append(
                self.lab.hosts[rank].popen(
                    [sys.executable, "-m", "weft.demo.fabric_rank", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=place,
                )
            )  # fmt: skip
        self.ends.append(Connection(ours.detach()))
        self.ends[-1].send((rank, str(folder), self.settings))

    def _hear(self) -> tuple[int, Any]:
        """Who speaks next, and what it says."""
        while not (ready := wait(self.ends, timeout=0.5)):
            self.lab.check()
            if time.monotonic() > self.until:
                raise JobError("on the fabric: the ranks were not done in time; they were ended")
        end = ready[0]
        assert isinstance(end, Connection)
        rank = self.ends.index(end)
        try:
            return rank, end.recv()
        except EOFError:
            raise JobError(f"on the fabric: the process of rank {rank} has ended") from None

    def train(self, backend: str, tell: Callable[[int], None]) -> Run:
        """From the first step to the last, with a death in the middle; the spine is mended."""
        before = self.lab.port_stats()["bytes"]
        if self._mended is not None:  # this one finds all routes as the one before did
            time.sleep(max(0.0, self._mended + NOTICED_AFTER - time.monotonic()))
        for end in self.ends:
            end.send(backend)
        began = time.monotonic()
        spine, died = "", began
        curves: dict[int, Curve] = {}
        errors: dict[int, str] = {}
        while len(curves) + len(errors) < len(self.ends):
            rank, said = self._hear()
            if isinstance(said, Curve):
                curves[rank] = said
            elif isinstance(said, str):
                errors[rank] = said
            else:
                tell(said)
                if said == self.settings.steps // 2:
                    spine, died = self._kill_busiest(before), time.monotonic()
        if spine:
            self.lab.switch_up(spine)
            self._mended = time.monotonic()
        error = next(iter(errors.values()), None)
        return Run(None if errors else curves[0], error, spine, began, died)

    def _kill_busiest(self, before: list[int]) -> str:
        now, topology = self.lab.port_stats()["bytes"], self.lab.topology
        carried = dict.fromkeys(topology.switches[LEAVES:], 0)
        for link, (a, b) in enumerate(topology.ends):
            for name in {topology.node_name(a), topology.node_name(b)} & carried.keys():
                carried[name] += sum(now[p] - before[p] for p in (2 * link, 2 * link + 1))
        spine = max(carried, key=lambda name: carried[name])
        self.lab.switch_down(spine)
        return spine

    def end(self) -> None:
        """All processes, whatever they do."""
        for end in self.ends:
            with suppress(OSError):
                end.send(None)
        for process in self.processes:
            try:
                process.wait(timeout=3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for end in self.ends:
            end.close()
