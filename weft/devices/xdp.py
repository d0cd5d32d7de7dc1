"""What network drivers offer to XDP, as the kernel tells: generic netlink family "netdev"
(Documentation/netlink/specs/netdev.yaml, Linux 6.3)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

NETLINK_GENERIC = 16
REQUEST, DUMP = 0x1, 0x300
ERROR, DONE = 2, 3
CONTROL, GET_FAMILY, FAMILY_ID, FAMILY_NAME = 0x10, 3, 1, 2
GET_DEVICE, INTERFACE, FEATURES = 1, 1, 3
BASIC, REDIRECT, ZERO_COPY, RX_JUMBO = 1, 2, 8, 32


@dataclass(frozen=True)
class Offer:
    """What a driver can do."""

    flags: int

    @property
    def mode(self) -> str:
        """The best mode of the xdp datapath: zero_copy, copy, or generic (which all can)."""
        if self.flags & ZERO_COPY:
            return "zero_copy"
        return "copy" if self.flags & BASIC and self.flags & REDIRECT else "generic"

    @property
    def jumbo(self) -> bool:
        """Whether received packets may span several buffers."""
        return bool(self.flags & RX_JUMBO)


def features() -> dict[int, Offer]:
    """By interface index, of this network namespace; empty where the kernel does not tell."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as kernel:
            kernel.settimeout(2)
            kernel.bind((0, 0))
            name = _attribute(FAMILY_NAME, b"netdev\0")
            family = None
            for answer in _ask(kernel, CONTROL, REQUEST, GET_FAMILY, name):
                number = _attributes(answer).get(FAMILY_ID)
                family = None if number is None else struct.unpack("=H", number)[0]
            if family is None:
                return {}
            offers = {}
            for answer in _ask(kernel, family, REQUEST | DUMP, GET_DEVICE, b""):
                fields = _attributes(answer)
                [index] = struct.unpack("=I", fields[INTERFACE])
                offers[index] = Offer(struct.unpack("=Q", fields[FEATURES])[0])
            return offers
    except OSError:
        return {}


def _ask(
    kernel: socket.socket, family: int, flags: int, command: int, body: bytes
) -> Iterator[bytes]:
    """The attributes of each answer. Raises OSError where the kernel refuses."""
    payload = struct.pack("=BBxx", command, 1) + body
    kernel.send(struct.pack("=IHHII", 16 + len(payload), family, flags, 1, 0) + payload)
    while True:
        answer = kernel.recv(1 << 16)
        while len(answer) >= 16:
            length, kind = struct.unpack_from("=IH", answer)
            if kind == DONE:
                return
            if kind == ERROR:
                raise OSError(-struct.unpack_from("=i", answer, 16)[0], "netlink")
            yield answer[20:length]
            answer = answer[(length + 3) & ~3 :]
        if flags & DUMP != DUMP:
            return


def _attribute(kind: int, value: bytes) -> bytes:
    padding = bytes(-len(value) % 4)
    return struct.pack("=HH", 4 + len(value), kind) + value + padding


def _attributes(text: bytes) -> dict[int, bytes]:
    found = {}
    while len(text) >= 4:
        length, kind = struct.unpack_from("=HH", text)
        if length < 4:
            break
        found[kind & 0x3FFF] = text[4:length]
        text = text[(length + 3) & ~3 :]
    return found
