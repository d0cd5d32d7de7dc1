"""A host of a lab: where programs run."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.emulation.lab import clean
from weft.emulation.lab.errors import LabError
from weft.emulation.lab.spec import Address

if TYPE_CHECKING:
    from weft.emulation.lab.lab import Lab
    from weft.emulation.lab.machine import Machine

COMMAND_DEADLINE = 60.0


class Host:
    """One network namespace. Programs in it are ordinary processes of this machine: they see the
    same files, and as their network only lo and eth0. On a worker it is the same there: `popen`
    returns the process that runs the command there (ssh, say), with its streams and exit code.

    Or a virtual machine: programs see the files of this machine as they were when it started and
    write to none of them; their processes are known here by a process that stands for them, with
    the same streams, exit code and signals."""

    def __init__(self, lab: Lab, number: int, name: str, address: Address) -> None:
        self.lab = lab
        self.number = number
        self.name = name
        self.address = address

    def __repr__(self) -> str:
        return f"<Host {self.name} {self.ip}>"

    @property
    def ip(self) -> str:
        """IPv4 address of eth0."""
        return self.address.ipv4

    @property
    def ipv6(self) -> str:
        """IPv6 address of eth0."""
        return self.address.ipv6

    @property
    def where(self) -> str:
        """The name of the worker that it lives on; empty: here."""
        there = self.lab.worker(self.number)
        return "" if there is None else there.worker.name

    def ask(self, request: str, *arguments: Any, **options: Any) -> Any:
        """A request to the process that holds its namespace: the fabric's, or a worker's."""
        there = self.lab.worker(self.number)
        return (self.lab.fabric.ask if there is None else there.ask)(request, *arguments, **options)

    @property
    def machine(self) -> Machine | None:
        """The virtual machine that this host is; None: it is a namespace."""
        return self.lab.machine(self.number)

    def popen(
        self,
        command: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> subprocess.Popen[Any]:
        """Start a program; `options` are those of subprocess.Popen. A string is split as a shell
        would, but no shell runs it. `env` is added to our own environment.

        WEFT_LAB_HOST tells the program where it is. WEFT_COSTS is `default`, where neither `env`
        nor our own environment has it: what the lab's links cost must not be kept as this
        machine's. What still runs when the lab ends is killed.
        """
        words = shlex.split(command) if isinstance(command, str) else list(command)
        if not words:
            raise LabError(f"{self.name}: there is no command to run")
        self.lab.check()
        if (there := self.lab.worker(self.number)) is not None:
            if options.get("pass_fds"):
                raise LabError(f"{self.name}: no file descriptor can pass to {there.worker.name}")
            added = {"WEFT_LAB_HOST": self.name, "WEFT_COSTS": "default", **(env or {})}
            remote: subprocess.Popen[Any] = subprocess.Popen(
                there.command(self.number, words, added), **options
            )
            return remote
        environment = {
            "WEFT_COSTS": "default",
            **os.environ,
            "WEFT_LAB_HOST": self.name,
            clean.MARK: self.lab.fabric.mark,
            **(env or {}),
        }
        if (machine := self.machine) is not None:
            if options.get("pass_fds"):
                raise LabError(f"{self.name}: no file descriptor can pass into a virtual machine")
            return machine.popen(words, env=environment, **options)
        started: subprocess.Popen[Any] = subprocess.Popen(
            [*self.lab.enter(self.number), *words], env=environment, **options
        )
        return started

    def run(
        self,
        command: str | Sequence[str],
        *,
        timeout: float = COMMAND_DEADLINE,
        check: bool = True,
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end and return its result, with its output as text.

        Raises LabError when it does not end within `timeout` seconds (it is killed) or, with
        `check`, when its exit code is not 0.
        """
        process = self.popen(
            command, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, **options,
        )  # fmt: skip
        text = command if isinstance(command, str) else shlex.join(command)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise LabError(
                f"{self.lab.name}: {self.name}: `{text}` did not end within {timeout:g} s; it was "
                f"killed. Its last output: {(err or out).strip()[-500:] or 'none'}"
            ) from None
        if check and process.returncode != 0:
            raise LabError(
                f"{self.lab.name}: {self.name}: `{text}` ended with exit code {process.returncode}:"
                f" {(err or out).strip()[-1000:] or 'no output'}"
            )
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def cmd(self, line: str, timeout: float = COMMAND_DEADLINE) -> str:
        """Run a line in a shell and return all its output, errors included, as Mininet's hosts do.
        Names of hosts stay as they are; see `weft lab shell` for a place where they do not."""
        done = self.run(["sh", "-c", f"exec 2>&1\n{line}"], timeout=timeout, check=False)
        return done.stdout

    def socket(
        self,
        family: int = socket.AF_INET,
        kind: int = socket.SOCK_STREAM,
        protocol: int = 0,
    ) -> socket.socket:
        """A socket of this host for use in this very process: a test can be both ends."""
        if (there := self.lab.worker(self.number)) is not None:
            raise LabError(
                f"{self.name}: it lives on worker {there.worker.name}, and so do its sockets; use "
                "popen"
            )
        if self.machine is not None:
            raise LabError(f"{self.name}: a virtual machine's sockets stay inside; use popen")
        return self.lab.fabric.ask_for_socket(self.number, family, kind, protocol)

    def ping(
        self, to: Host | str, count: int = 1, interval: float = 0.1, timeout: float = 1.0
    ) -> list[float | None]:
        """Round-trip times in seconds, None for lost ones. `to`: a host, its name or an address."""
        return self.lab.ping(self, to, count, interval, timeout)

    def read(self, path: str) -> str:
        """A file below /proc/net or /proc/sys/net as this host sees it."""
        text: str = self.ask("read", self.number, path)
        return text

    def kill(self) -> None:
        """End all processes of this host; a virtual machine is switched off."""
        self.ask("kill", self.number)
