"""The other end of the tunnels, on the fabric's machine: one process for all of them.

A host that lives elsewhere has a namespace here as well, without addresses, so that its kernel is
silent: what the fabric delivers there goes into the tunnel, what comes out of it is sent as if the
host had. Requests as in channel.py: "build" once, then "report".
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import weft._native._core as _core
from weft.emulation.lab.namespaces import HOST_INDEX, HOST_INTERFACE, current_network, inside
from weft.emulation.lab.workers import channel

ETHERNET_HEADER = 14
RING_FRAMES = 512
SIOCSIFADDR = 0x8916  # linux/sockios.h


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    relay = _Relay()
    channel.serve({"build": relay.build, "report": relay.report}, 0, 1)
    return 0


class _Relay:
    def __init__(self) -> None:
        self.tunnels: dict[str, Any] = {}

    def build(self, tunnels: list[dict[str, Any]], mtu: int) -> None:
        """Of each: name, udp (a file descriptor), key, address and port of the worker, and edges
        as (host, path of its namespace)."""
        home = current_network()
        for told in tunnels:
            tunnel = _core.emulator.Tunnel(told["udp"], told["key"], mtu + ETHERNET_HEADER)
            address = struct.unpack("=I", socket.inet_aton(told["address"]))[0]
            tunnel.set_peer(address, told["port"])
            for host, path in told["edges"]:
                namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                with inside(namespace, home):
                    _silence()
                    tunnel.add([(host, HOST_INDEX)], RING_FRAMES)
                os.close(namespace)
            self.tunnels[told["name"]] = tunnel
            threading.Thread(target=tunnel.run, daemon=True).start()

    def report(self) -> dict[str, dict[str, int]]:
        return {name: tunnel.report() for name, tunnel in self.tunnels.items()}


def _silence() -> None:
    """Take the addresses from eth0: who has none answers nobody."""
    with suppress(OSError):  # kernels without IPv6
        Path(f"/proc/sys/net/ipv6/conf/{HOST_INTERFACE}/disable_ipv6").write_text("1")
    none = struct.pack("=16sH2x4s8x", HOST_INTERFACE.encode(), socket.AF_INET, bytes(4))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        fcntl.ioctl(asked, SIOCSIFADDR, none)


if __name__ == "__main__":
    sys.exit(main())
