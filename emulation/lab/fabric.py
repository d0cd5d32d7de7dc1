"""The lab's side of the fabric process: starting it, asking it, noticing its death."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from typing import Any

from weft.emulation.lab import clean
from weft.emulation.lab.errors import FabricDied, LabError
from weft.emulation.lab.spec import Spec

BUILD_DEADLINE = 60.0
ANSWER_DEADLINE = 30.0

SOFTNET = Path("/proc/net/softnet_stat")
NEEDED = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21}


def missing_capabilities() -> list[str]:
    """Those that a lab outside a user namespace would need and this process lacks."""
    bits = 0
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            bits = int(line.split()[1], 16)
    return [name for name, bit in NEEDED.items() if not bits >> bit & 1]


class Fabric:
    """A running fabric process. Thread-safe; every call has a deadline.

    `rootless`: in a user namespace of its own; None: only if we lack the capabilities.
    Raises LabError when it cannot be built.
    """

    def __init__(self, spec: Spec, rootless: bool | None, name: str) -> None:
        missing = missing_capabilities()
        if rootless is False and missing:
            raise LabError(
                f"{name}: a lab as root needs {', '.join(missing)}, which this process lacks; "
                "leave rootless at None, or run it as root"
            )
        self.name = name
        self.rootless = bool(missing) if rootless is None else rootless
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "weft.emulation.lab.process", str(theirs.fileno())]
            if self.rootless:
                # The user namespace comes before Python, which may have threads by then.
                command = ["unshare", "--user", "--map-root-user", "--net", *command]
            try:
                self.process = subprocess.Popen(
                    command,
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            except FileNotFoundError:
                ours.close()
                raise LabError(
                    f"{name}: the program `unshare` (package util-linux) is not installed"
                ) from None
        self.mark = clean.mark(self.process.pid)
        """By which programs of the hosts are known when this process is gone."""
        self.connection = Connection(ours.detach())
        try:
            self.connection.send(spec)
            self.facts: dict[str, Any] = self._answer(BUILD_DEADLINE)
        except (FabricDied, BrokenPipeError):
            raise LabError(f"{name}: {self._refused()}") from None
        except BaseException:
            self.close()
            raise

    def _refused(self) -> str:
        """Why the fabric process did not come up, from what it left on standard error."""
        said = b""
        if self.process.stderr is not None:
            said = self.process.stderr.read()
        self.close()
        text = said.decode(errors="replace").strip()
        if self.rootless and "unshare" in text:
            return (
                f"user namespaces are refused here ({text}). Either run as root with "
                f"{', '.join(NEEDED)}, or allow them: sysctl -w user.max_user_namespaces=10000 "
                "kernel.unprivileged_userns_clone=1 (and, where it exists, "
                "kernel.apparmor_restrict_unprivileged_userns=0)"
            )
        return f"the fabric process did not come up: {text or 'it said nothing'}"

    def ask(self, request: str, *arguments: Any, deadline: float = ANSWER_DEADLINE) -> Any:
        """One request and its answer. Raises LabError, FabricDied when it is gone."""
        with self._lock:
            self._send(request, arguments)
            return self._answer(deadline)

    def ask_for_socket(self, host: int, family: int, kind: int, protocol: int) -> socket.socket:
        """A socket that lives in a host's namespace."""
        with self._lock:
            self._send("socket", (host, family, kind, protocol))
            self._answer(ANSWER_DEADLINE)
            return socket.socket(family, kind, protocol, fileno=recv_handle(self.connection))

    def ask_for_tap(self, host: int) -> int:
        """The TAP device that is a virtual machine's cable, as a file descriptor."""
        with self._lock:
            self._send("tap", (host,))
            self._answer(ANSWER_DEADLINE)
            return recv_handle(self.connection)

    def _send(self, request: str, arguments: tuple[Any, ...]) -> None:
        try:
            self.connection.send((request, arguments))
        except OSError:
            raise self._died() from None

    def _answer(self, deadline: float) -> Any:
        try:
            if not self.connection.poll(deadline):
                raise LabError(f"{self.name}: the fabric process did not answer in {deadline:g} s")
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            raise self._died() from None
        if kind == "error":
            raise LabError(f"{self.name}: {value}")
        return value

    def _died(self) -> FabricDied:
        try:
            code = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            code = None
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return FabricDied(f"{self.name}: the fabric process has died ({how})")

    def alive(self) -> bool:
        return self.process.poll() is None

    def enter(self, host_namespace: int) -> list[str]:
        """The command in front of a command that shall run in one of the namespaces."""
        proc = f"/proc/{self.process.pid}"
        user = ["--preserve-credentials", f"--user={proc}/ns/user"] if self.rootless else []
        return ["nsenter", *user, f"--net={proc}/fd/{host_namespace}", "--"]

    def close(self) -> None:
        """Hang up: the process kills what runs in the hosts and ends. Never raises."""
        self.connection.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()


def softnet_drops() -> int:
    """Packets that the kernel dropped between devices because a CPU's backlog was full
    (net.core.netdev_max_backlog), of the whole machine, since it came up."""
    lines = SOFTNET.read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1], 16) for line in lines)


def cpu_times() -> tuple[float, float]:
    """(idle, all) CPU seconds of the machine since it came up."""
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    ticks = [int(value) / os.sysconf("SC_CLK_TCK") for value in fields]
    return ticks[3] + ticks[4], sum(ticks)
