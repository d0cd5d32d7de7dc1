"""The process on a worker: builds the namespaces of its hosts, and tunnels their frames to the
fabric. `python -m weft.emulation.lab.workers.worker [--rootless|--root]`, spoken to through its
standard streams; when they close, however that came about, everything in its hosts is killed.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import weft
import weft._native._core as _core
from weft.emulation.lab import clean, echo, reaper
from weft.emulation.lab.fabric import missing_capabilities
from weft.emulation.lab.namespaces import Site, inside
from weft.emulation.lab.spec import Address
from weft.emulation.lab.workers import channel

ETHERNET_HEADER = 14
RING_FRAMES_PER_HOST = 256
SOCKET_BUFFER = 8 << 20
CARRIED = "--udp="


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    given = [word for word in sys.argv[1:] if word.startswith(CARRIED)]
    if given:  # already in a user namespace; the socket is of the machine's own network
        udp = socket.socket(fileno=int(given[0].removeprefix(CARRIED)))
        return _serve(udp, rootless=True)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        udp.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)
    udp.bind(("0.0.0.0", 0))
    rootless = "--rootless" in sys.argv or ("--root" not in sys.argv and missing_capabilities())
    if rootless:
        os.set_inheritable(udp.fileno(), True)
        module = ["-m", "weft.emulation.lab.workers.worker", f"{CARRIED}{udp.fileno()}"]
        words = ["unshare", "--user", "--map-root-user", "--net", sys.executable, *module]
        os.execvp(words[0], words)
    return _serve(udp, rootless=False)


def _serve(udp: socket.socket, rootless: bool) -> int:
    worker = _Worker(udp, rootless)
    requests: dict[str, Callable[..., Any]] = {
        "build": worker.build,
        "clock": time.monotonic,
        "ping": worker.ping,
        "kill": worker.kill,
        "report": worker.report,
        "read": worker.read,
    }
    try:
        channel.serve(requests, 0, 1)
    finally:
        worker.end()
    return 0


class _Worker:
    def __init__(self, udp: socket.socket, rootless: bool) -> None:
        self.udp = udp
        self.rootless = rootless
        self.site: Site | None = None

    def build(self, hosts: list[tuple[int, str, int, str, str]], mtu: int) -> dict[str, Any]:
        """Hosts as (number, IPv4, prefix, IPv6, MAC); what the lab must know of them."""
        key = secrets.randbits(63) | 1
        addresses = [Address(ipv4, prefix, ipv6, mac) for _, ipv4, prefix, ipv6, mac in hosts]
        self.numbers = {number: place for place, (number, *_) in enumerate(hosts)}
        self.site = Site.build(addresses, mtu, False, 0)
        self.tunnel = _core.emulator.Tunnel(self.udp.fileno(), key, mtu + ETHERNET_HEADER)
        edges = [(number, self.site.ports[place]) for number, place in self.numbers.items()]
        self.tunnel.add(edges, RING_FRAMES_PER_HOST * len(hosts))
        self.thread = threading.Thread(target=self.tunnel.run, daemon=True)
        self.thread.start()
        return {
            "pid": os.getpid(),
            "weft": weft.__version__,
            "mark": clean.mark(os.getpid()),
            "rootless": self.rootless,
            "namespaces": {number: self.site.hosts[p] for number, p in self.numbers.items()},
            "port": self.udp.getsockname()[1],
            "key": key,
        }

    def _built(self) -> Site:
        if self.site is None:
            raise RuntimeError("nothing has been built yet")
        return self.site

    def ping(
        self, pairs: list[tuple[int, str]], count: int, interval: float, timeout: float
    ) -> list[list[float | None]]:
        site, sockets = self._built(), {}
        try:
            for number, _ in pairs:
                if number not in sockets:
                    with inside(site.hosts[self.numbers[number]], site.home):
                        sockets[number] = socket.socket(
                            socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP
                        )
            return echo.ping([(sockets[h], to) for h, to in pairs], count, interval, timeout)
        finally:
            for used in sockets.values():
                used.close()

    def kill(self, number: int) -> None:
        reaper.kill({self._built().inodes[self.numbers[number]]})

    def read(self, number: int, path: str) -> str:
        site = self._built()
        real = path.replace("/proc/net/", "/proc/thread-self/net/")
        with (
            inside(site.hosts[self.numbers[number]], site.home),
            open(real, encoding="ascii") as file,  # noqa: PTH123
        ):
            return file.read()

    def report(self) -> dict[str, int]:
        values: dict[str, int] = self.tunnel.report()
        return values

    def end(self) -> None:
        if self.site is not None:
            reaper.kill(set(self.site.inodes))
            self.tunnel.stop()
            self.thread.join(timeout=5)


if __name__ == "__main__":
    sys.exit(main())
