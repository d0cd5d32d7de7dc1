"""The lab's side of its workers: starts them, joins them to the fabric, runs programs there."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import weft
from weft.emulation.lab import clean
from weft.emulation.lab.errors import FabricDied, LabError
from weft.emulation.lab.workers.channel import Channel, Hung
from weft.emulation.lab.workers.inventory import Worker

if TYPE_CHECKING:
    from weft.emulation.lab.lab import Lab

BUILD_DEADLINE = 60.0
ANSWER_DEADLINE = 30.0
SOCKET_BUFFER = 8 << 20
CLOCK_TRIES = 8
CHILD_VARIABLES = ("WEFT_", "PYTHON", "OMP_", "TORCH_", "GLOO_")
"""Beginnings of the names of those variables of our environment that programs there get, too."""


class _Spoken:
    """A process that answers requests over its standard streams. Raises LabError with its name."""

    def __init__(self, what: str, command: Sequence[str], pass_fds: Sequence[int] = ()) -> None:
        self.what = what
        self._lock = threading.Lock()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the process)
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said,
                pass_fds=pass_fds, start_new_session=True, bufsize=0,
            )  # fmt: skip
        except OSError as error:
            raise LabError(f"{what}: `{shlex.join(command)}` cannot be run: {error}") from None
        assert self.process.stdin is not None and self.process.stdout is not None
        self._channel = Channel(self.process.stdout.fileno(), self.process.stdin.fileno())

    def ask(self, name: str, *arguments: Any, deadline: float = ANSWER_DEADLINE) -> Any:
        with self._lock:
            try:
                return self._channel.ask(deadline, name, *arguments)
            except Hung:
                raise LabError(f"{self.what} did not answer in {deadline:g} s") from None
            except EOFError:
                raise FabricDied(f"{self.what} has ended: {self._last_words()}") from None
            except ValueError as error:
                raise LabError(f"{self.what}: {error}") from None

    def _last_words(self) -> str:
        try:
            code = self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return "its streams are closed"
        self._said.seek(0)
        text = self._said.read().decode(errors="replace").strip()
        return text[-1000:] or f"exit code {code}"

    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        """Hang up: the process ends what it has begun. Never raises."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._said.close()


class RemoteWorker(_Spoken):
    """One worker, with its hosts' namespaces built."""

    def __init__(self, lab: Lab, worker: Worker, hosts: Sequence[int]) -> None:
        self.worker = worker
        chosen = {True: " --rootless", False: " --root", None: ""}[worker.rootless]
        line = f"{shlex.quote(worker.python)} -m weft.emulation.lab.workers.worker{chosen}"
        super().__init__(f"{lab.name}: worker {worker.name}", [*worker.command, line])
        try:
            told = []
            for number in hosts:
                address = lab.hosts[number].address
                told.append((number, address.ipv4, address.prefix, address.ipv6, address.mac))
            self.facts = self.ask("build", told, lab.mtu, deadline=BUILD_DEADLINE)
            if self.facts["weft"] != weft.__version__:
                raise LabError(
                    f"{self.what} has Weft {self.facts['weft']}, and this is {weft.__version__}; "
                    "install the same there"
                )
            self.offset = self._clock_offset()
        except BaseException:
            self.close()
            raise

    def _clock_offset(self) -> float:
        """What its monotonic clock is ahead of ours, seconds: from the quickest of some answers."""
        best, offset = float("inf"), 0.0
        for _ in range(CLOCK_TRIES):
            before = time.monotonic()
            there = float(self.ask("clock"))
            after = time.monotonic()
            if after - before < best:
                best, offset = after - before, there - (before + after) / 2
        return offset

    def command(self, host: int, words: Sequence[str], env: Mapping[str, str]) -> list[str]:
        """The command that runs a program in a host there."""
        proc = f"/proc/{self.facts['pid']}"
        enter = ["nsenter", f"--net={proc}/fd/{self.facts['namespaces'][str(host)]}", "--"]
        if self.facts["rootless"]:
            enter[1:1] = ["--preserve-credentials", f"--user={proc}/ns/user"]
        shared = {k: v for k, v in os.environ.items() if k.startswith(CHILD_VARIABLES)}
        given = {**shared, **env, clean.MARK: self.facts["mark"]}
        variables = [f"{name}={value}" for name, value in given.items()]
        return [*self.worker.command, shlex.join([*enter, "env", *variables, *words])]


class Remotes:
    """All workers of a lab, and the relay that joins them to the fabric."""

    def __init__(self, lab: Lab, placed: Mapping[int, Worker]) -> None:
        self.lab = lab
        self.workers: dict[str, RemoteWorker] = {}
        self._relay: _Spoken | None = None
        self._of = {host: worker.name for host, worker in placed.items()}
        try:
            for worker in dict.fromkeys(placed.values()):
                hosts = [host for host in placed if placed[host] is worker]
                self.workers[worker.name] = RemoteWorker(lab, worker, hosts)
            self._join()
        except BaseException:
            self.close()
            raise

    def _join(self) -> None:
        sockets: list[socket.socket] = []
        try:
            tunnels = []
            fabric = self.lab.fabric
            for name, remote in self.workers.items():
                udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                sockets.append(udp)
                for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                    udp.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)
                udp.bind(("0.0.0.0", 0))
                edges = []
                for host, of in self._of.items():
                    if of == name:
                        file = fabric.facts["namespaces"][host]
                        edges.append((host, f"/proc/{fabric.process.pid}/fd/{file}"))
                tunnels.append(
                    {"name": name, "udp": udp.fileno(), "key": remote.facts["key"],
                     "address": remote.worker.address, "port": remote.facts["port"],
                     "edges": edges}
                )  # fmt: skip
            first = next(iter(self._of))
            command = [
                *self.lab.enter(first), sys.executable, "-m", "weft.emulation.lab.workers.relay",
            ]  # fmt: skip
            self._relay = _Spoken(
                f"{self.lab.name}: the relay of its workers", command,
                [udp.fileno() for udp in sockets],
            )  # fmt: skip
            self._relay.ask("build", tunnels, self.lab.mtu, deadline=BUILD_DEADLINE)
            self._await_echoes()
        finally:
            for udp in sockets:
                udp.close()

    def _await_echoes(self) -> None:
        """Until every tunnel has carried a probe there and back."""
        assert self._relay is not None
        until = time.monotonic() + ANSWER_DEADLINE
        while mute := [
            n for n, report in self._relay.ask("report").items() if not report["probes"]
        ]:
            if time.monotonic() > until:
                remote = self.workers[mute[0]]
                raise LabError(
                    f"{remote.what}: no datagram came back from {remote.worker.address}, UDP port "
                    f"{remote.facts['port']}; is the address right, and no firewall in between?"
                )
            time.sleep(0.02)

    def of(self, host: int) -> RemoteWorker | None:
        """The worker on which a host lives; None: here."""
        name = self._of.get(host)
        return None if name is None else self.workers[name]

    def check(self) -> None:
        """Raises FabricDied if a worker or the relay is gone."""
        for remote in [*self.workers.values(), *([self._relay] if self._relay else [])]:
            if not remote.alive():
                remote.ask("report")  # says why

    def round_trips(self) -> dict[str, float]:
        """The shortest round trip of each tunnel so far, seconds."""
        assert self._relay is not None
        return {n: r["round_trip"] * 1e-9 for n, r in self._relay.ask("report").items()}

    def drops(self) -> int:
        """Frames lost on the way into or out of the tunnels, or in them, on both sides."""
        assert self._relay is not None
        ours = self._relay.ask("report")
        lost = 0
        for name, here in ours.items():
            there = self.workers[name].ask("report")
            for report in (here, there):
                lost += report["refused"] + report["ring_drops"]
        return lost

    def close(self) -> None:
        """End everything. Never raises."""
        for spoken in [*([self._relay] if self._relay else []), *self.workers.values()]:
            spoken.close()
        self._relay = None
        self.workers.clear()
