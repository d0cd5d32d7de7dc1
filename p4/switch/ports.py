"""Ports: packets from and to files (pcap) and network interfaces (AF_PACKET: veth, TAP, real ones).

A pcap file has the classic format (micro- or nanoseconds, either byte order), link type Ethernet.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

from weft.p4.switch.switch import ControlError, Output, Switch

Send = Callable[[int, bytes], list[Output]]
_MAGIC = {0xA1B2C3D4: 1, 0xA1B23C4D: 1000}  # divisor of the fraction to microseconds
_ETHERNET = 1
_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_MAX_FRAME = 65535
_MAX_PCAP_FRAME = 1 << 18


def read_pcap(path: Path) -> Iterator[tuple[int, bytes]]:
    """(microseconds, frame) of every record; raises `ControlError` for a broken file."""
    with path.open("rb") as file:
        head = file.read(24)
        orders = [
            o for o in "<>" if len(head) == 24 and struct.unpack(o + "I", head[:4])[0] in _MAGIC
        ]
        if not orders:
            raise ControlError(f"{path} is no pcap file (pcapng is not read)")
        order = orders[0]
        divisor = _MAGIC[struct.unpack(order + "I", head[:4])[0]]
        link = struct.unpack(order + "I", head[20:])[0] & 0xFFFF
        if link != _ETHERNET:
            raise ControlError(f"{path} holds frames of link type {link}, not Ethernet (1)")
        while record := file.read(16):
            if len(record) < 16:
                raise ControlError(f"{path} ends inside a record's head")
            seconds, fraction, length, _ = struct.unpack(order + "4I", record)
            if length > _MAX_PCAP_FRAME:
                raise ControlError(f"{path} has a record of {length} bytes")
            data = file.read(length)
            if len(data) < length:
                raise ControlError(f"{path} ends inside a frame")
            yield seconds * 1_000_000 + fraction // divisor, data


class PcapWriter:
    """Writes frames with their times; close it or use it as a context."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._file.write(
            struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _MAX_PCAP_FRAME, _ETHERNET)
        )

    def write(self, now_us: int, data: bytes) -> None:
        seconds, fraction = divmod(now_us, 1_000_000)
        self._file.write(struct.pack("<4I", seconds & 0xFFFFFFFF, fraction, len(data), len(data)))
        self._file.write(data)

    def __enter__(self) -> PcapWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def run_pcaps(switch: Switch, inputs: Mapping[int, Path], folder: Path) -> dict[int, int]:
    """Feeds the files of all ports in order of time; port n's frames go to `folder`/port<n>.pcap.

    The switch's clock follows the files, from zero. Returns how many frames left on each port.
    """
    folder.mkdir(parents=True, exist_ok=True)
    frames = [
        (when, port, index, data)
        for port, path in inputs.items()
        for index, (when, data) in enumerate(read_pcap(path))
    ]
    frames.sort(key=lambda frame: frame[:3])
    writers: dict[int, PcapWriter] = {}
    counts: dict[int, int] = {}
    start = frames[0][0] if frames else 0
    try:
        for when, port, _, data in frames:
            for output in switch.send(port, data, now_us=when - start):
                if output.port not in writers:
                    writers[output.port] = PcapWriter(folder / f"port{output.port}.pcap")
                writers[output.port].write(when, output.data)
                counts[output.port] = counts.get(output.port, 0) + 1
    finally:
        for writer in writers.values():
            writer.__exit__(None, None, None)
    return counts


class Interfaces:
    """Binds ports to network interfaces and forwards until stopped. Needs CAP_NET_RAW.

    Checksum offload must be off at the other end of a veth (`ethtool -K <if> tx off`): frames that
    a host left without checksum reach the program as they are.
    """

    def __init__(self, interfaces: Mapping[int, str], send: Send) -> None:
        """`send` runs a packet and tells what leaves: `Switch.send`, or a server's."""
        self._send = send
        self._sockets: dict[int, socket.socket] = {}
        self._ports: dict[int, int] = {}
        self.dropped = 0  # frames for ports without interface, or that the interface refused
        self._wake_read, self._wake_write = os.pipe()
        try:
            for port, name in interfaces.items():
                self._open(port, name)
        except BaseException:
            self.close()
            raise

    def _open(self, port: int, name: str) -> None:
        try:
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            made.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            made.bind((name, _ETH_P_ALL))
        except OSError as problem:
            raise ControlError(
                f"port {port}: cannot open interface '{name}': {problem.strerror}"
            ) from problem
        made.setblocking(False)
        self._sockets[port] = made
        self._ports[made.fileno()] = port

    def run(self, seconds: float | None = None) -> None:
        """Forwards until `stop`, or for that long."""
        poller = select.poll()
        poller.register(self._wake_read, select.POLLIN)
        for made in self._sockets.values():
            poller.register(made, select.POLLIN)
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if end is None else max(0.0, end - time.monotonic()) * 1000
            ready = poller.poll(left)
            if not ready and end is not None and time.monotonic() >= end:
                return
            for descriptor, _ in ready:
                if descriptor == self._wake_read:
                    return
                self._receive(self._ports[descriptor])

    def _receive(self, port: int) -> None:
        for _ in range(64):  # no port keeps the others waiting
            try:
                data = self._sockets[port].recv(_MAX_FRAME)
            except BlockingIOError:
                return
            except OSError:  # the interface went down; it may come back
                return
            for output in self._send(port, data):
                self.transmit(output)

    def transmit(self, output: Output) -> None:
        """Puts a frame on the interface of its port."""
        made = self._sockets.get(output.port)
        try:
            if made is None:
                self.dropped += 1
            else:
                made.send(output.data)
        except OSError:  # full queue, link down, frame above the MTU: a wire would lose it too
            self.dropped += 1

    def stop(self) -> None:
        """Ends `run`, from any thread."""
        os.write(self._wake_write, b"x")

    def close(self) -> None:
        for made in self._sockets.values():
            made.close()
        self._sockets.clear()
        for descriptor in (self._wake_read, self._wake_write):
            if descriptor >= 0:
                os.close(descriptor)
        self._wake_read = self._wake_write = -1

    def __enter__(self) -> Interfaces:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
