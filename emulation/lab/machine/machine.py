"""One machine: QEMU, its life and its deadline, and programs in it.

QEMU emulates every instruction (TCG): hardware virtualisation is not to be had in every container,
and where it seems to be, it may hang. A machine of one CPU is up in a few seconds.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.emulation.lab.errors import LabError
from weft.emulation.lab.machine import session
from weft.emulation.lab.machine.image import QEMU, Image, program
from weft.emulation.lab.machine.session import Switchboard
from weft.emulation.lab.spec import Address

BOOT_DEADLINE = 300.0
LIFETIME = 1800.0
MEMORY_MIB = 1024

KERNEL_OPTIONS = (
    "console=ttyS0", "quiet", "panic=-1",
    # What costs an emulated CPU much and gives a machine that nobody else shares nothing.
    "mitigations=off", "no5lvl", "nokaslr", "apparmor=0", "audit=0",
)  # fmt: skip


@dataclass(frozen=True)
class MachineOptions:
    """What a machine is made of."""

    cpus: int = 1
    memory_mib: int = MEMORY_MIB
    lifetime: float = LIFETIME
    """Seconds after which it is switched off, whatever happens."""


class Machine:
    """Boots when made; `wait_ready()` says when programs can be started.

    `enter`: words in front of the command line of QEMU, which put it into the host's namespace;
    `tap`: a TAP device, which QEMU inherits. `environment`: of QEMU, for `weft lab clean`.
    """

    def __init__(
        self, name: str, image: Image, address: Address, mtu: int, tap: int,
        enter: Sequence[str], options: MachineOptions, environment: dict[str, str],
    ) -> None:  # fmt: skip
        self.name = name
        self.options = options
        self._began = time.monotonic()
        self._console = tempfile.TemporaryFile()  # noqa: SIM115
        ours, theirs = socket.socketpair()
        with theirs:
            words = _command(image, address, mtu, name, tap, theirs.fileno(), options)
            self.process = subprocess.Popen(
                [*enter, *words], pass_fds=[tap, theirs.fileno()], stdin=subprocess.DEVNULL,
                stdout=self._console, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, **environment},
            )  # fmt: skip
        self._switchboard = Switchboard(ours)
        self._watch = threading.Timer(options.lifetime, self.process.kill)
        self._watch.daemon = True
        self._watch.start()

    def wait_ready(self, deadline: float = BOOT_DEADLINE) -> None:
        """Returns when programs can be started. Raises LabError when that takes too long."""
        while not self._switchboard.ready.wait(0.1):
            code = self.process.poll()
            if code is not None:
                raise LabError(f"{self.name}: the machine ended with code {code}: {self.console()}")
            if time.monotonic() - self._began > deadline:
                raise LabError(
                    f"{self.name}: the machine was not up within {deadline:g} s: {self.console()}"
                )

    def popen(self, words: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program inside; `options` are those of subprocess.Popen. What is returned stands
        for it: the same streams, exit code and signals."""
        if self.process.poll() is not None:
            raise LabError(f"{self.name}: the machine is off: {self.console()}")
        with self._switchboard.attach() as channel:
            command = [sys.executable, "-S", "-E", session.__file__, "exec", str(channel.fileno())]
            started: subprocess.Popen[Any] = subprocess.Popen(
                [*command, *words], pass_fds=[channel.fileno()], **options
            )
            return started

    def console(self, last: int = 2000) -> str:
        """The end of what its kernel has said."""
        size = os.fstat(self._console.fileno()).st_size
        text = os.pread(self._console.fileno(), last, max(0, size - last))
        return text.decode(errors="replace").strip() or "it has said nothing"

    def kill(self) -> None:
        """Pull the plug."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self._watch.cancel()
        self.kill()
        self._switchboard.close()
        self._console.close()


def _command(
    image: Image, address: Address, mtu: int, name: str, tap: int, channel: int,
    options: MachineOptions,
) -> list[str]:  # fmt: skip
    told = {
        "hostname": name,
        "ipv4": f"{address.ipv4}/{address.prefix}",
        "ipv6": f"{address.ipv6}/64",
        "mtu": str(mtu),
        "python": os.path.realpath(sys.executable),
        "agent": session.__file__,
    }
    line = [*KERNEL_OPTIONS, *(f"weft.{key}={value}" for key, value in told.items())]
    words = [
        program(QEMU), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-serial", "stdio",
        "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(options.cpus),
        "-m", str(options.memory_mib),
        "-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", " ".join(line),
        "-device", "virtio-rng-pci",
        "-chardev", f"socket,id=channel,fd={channel}",
        "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=channel",
        "-netdev", f"tap,id=net,fd={tap}",
        "-device", f"virtio-net-pci,netdev=net,mac={address.mac},romfile=,rx_queue_size=1024",
    ]  # fmt: skip
    for tag, path in (("root", Path("/")), ("userland", image.userland), ("kernel", image.modules)):
        words += [
            "-fsdev",
            f"local,id={tag},path={path},security_model=none,readonly=on,multidevs=remap",
            "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}",
        ]  # fmt: skip
    return words
