"""Packets of the pruning protocol, as `programs/pruning/include/wire.p4` parses them.

Ethernet, IPv4 (no options) and UDP to port 22352, then a header of 16 bytes and, in DATA, up to
`LANES` rows of 16 bytes (id, a, b, c), in SURVIVORS ids only. All numbers are big-endian.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import overload

import numpy as np
import numpy.typing as npt

from weft._native import _core

LANES = 8
PORT = 22352
VERSION = 1
DATA, SURVIVORS, ACK, EOS, RECEIPT = 1, 2, 3, 4, 5
#: Most packets a flow may have open: the switch remembers that many of each flow.
WINDOW = 64
#: Flows that the switch remembers; packets of a higher number pass unpruned.
FLOWS = 256

#: Octets of Ethernet, IPv4 and UDP around a message.
BELOW = 14 + 20 + 8
_HEADER = struct.Struct(">BBHHBBHHI")
HEADER_BYTES = BELOW + _HEADER.size
ROW_BYTES, ID_BYTES = 16, 4
#: Of a packet with all its rows on a link: with preamble, check sequence and gap of Ethernet.
FULL_BYTES = HEADER_BYTES + 24 + LANES * ROW_BYTES

Codes = npt.NDArray[np.uint32]
Ids = npt.NDArray[np.uint32]


class WireError(ValueError):
    """Bytes that are no packet of this protocol; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a worker or the master is reached; `host` is the last octet of 10.0.0.0/24."""

    host: int

    @property
    def mac(self) -> bytes:
        return bytes([2, 0, 0, 0, 0, self.host])

    @property
    def ip(self) -> bytes:
        return bytes([10, 0, 0, self.host])

    def __str__(self) -> str:
        return f"10.0.0.{self.host}"


@dataclass(frozen=True, slots=True)
class Stream:
    """What all packets of one flow in one phase share."""

    source: Address
    target: Address
    query: int
    epoch: int
    phase: int
    flow: int


@dataclass(frozen=True, slots=True)
class Packet:
    """A decoded packet; `ids` are the rows it still has, in order of lanes."""

    kind: int
    query: int
    epoch: int
    phase: int
    flow: int
    sequence: int
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bodies(Sequence[tuple[int, bytes]]):
    """Bodies of packets, (lanes present, bytes) each; made when asked for.

    `rows` (packets, LANES, 4) in big-endian, `masks` (packets): which lanes have a row.
    """

    rows: npt.NDArray[np.uint32]
    masks: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.masks)

    @overload
    def __getitem__(self, index: int) -> tuple[int, bytes]: ...
    @overload
    def __getitem__(self, index: slice) -> Bodies: ...
    def __getitem__(self, index: int | slice) -> tuple[int, bytes] | Bodies:
        if isinstance(index, slice):
            return Bodies(self.rows[index], self.masks[index])
        mask = int(self.masks[index])
        rows = self.rows[index]
        if mask == (1 << LANES) - 1:
            return mask, rows.tobytes()
        return mask, rows[[bool(mask >> lane & 1) for lane in range(LANES)]].tobytes()


def lay_out(
    ids: Ids, codes: Codes, lanes: npt.NDArray[np.integer], *, spread: bool = False
) -> Bodies:
    """Rows as bodies of packets. Rows of a lane keep their order, unless they are to be spread:
    then rows that are neighbours here are far apart in the packets.

    `ids` (n), `codes` (n, 3) and `lanes` (n, each in 0..LANES-1) belong together.
    """
    rows, masks = _core.pruning.lay_out(
        np.ascontiguousarray(ids, np.uint32), np.ascontiguousarray(codes, np.uint32),
        np.ascontiguousarray(lanes, np.uint8), _far_apart(len(ids)) if spread else 1,
    )  # fmt: skip
    return Bodies(rows, masks)


def _far_apart(count: int) -> int:
    """A stride that visits all of so many rows, and after any number of steps has been nearly
    everywhere: by the golden ratio."""
    stride = max(1, int(count * 0.6180339887498949))
    while math.gcd(stride, count) > 1:
        stride -= 1
    return stride


@cache
def _below(source: Address, target: Address, length: int) -> bytes:
    """Ethernet, IPv4 and UDP headers around that many bytes."""
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + length, 0, 0, 64, 17, 0, source.ip, target.ip)
    total = sum(struct.unpack(">10H", ip))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    ip = ip[:10] + struct.pack(">H", total ^ 0xFFFF) + ip[12:]
    udp = struct.pack(">HHHH", PORT, PORT, 8 + length, 0)
    return target.mac + source.mac + b"\x08\x00" + ip + udp


def encode(stream: Stream, kind: int, sequence: int, present: int = 0, body: bytes = b"") -> bytes:
    """A packet of `stream`, as an Ethernet frame."""
    s = stream
    head = _HEADER.pack(VERSION, kind, s.query, s.epoch, s.phase, present, s.flow, 0, sequence)
    return _below(s.source, s.target, _HEADER.size + len(body)) + head + body


def decode(frame: bytes) -> tuple[Address, Packet]:
    """The sender and the packet; `WireError` for anything but a whole packet of this version."""
    if len(frame) < HEADER_BYTES:
        raise WireError(f"{len(frame)} bytes are less than the {HEADER_BYTES} of the headers")
    ether_type, ip_first, protocol = frame[12:14], frame[14], frame[23]
    if ether_type != b"\x08\x00" or ip_first != 0x45 or protocol != 17:
        raise WireError("not UDP over IPv4 without options")
    (length,) = struct.unpack_from(">H", frame, 16)
    (port, udp_length) = struct.unpack_from(">HH", frame, 36)
    if port != PORT:
        raise WireError(f"UDP port {port} is not {PORT}")
    if length + 14 > len(frame) or udp_length + 20 != length:
        raise WireError(f"lengths disagree: IP {length}, UDP {udp_length}, frame {len(frame)}")
    if frame[26:29] != b"\x0a\x00\x00":
        raise WireError("the sender is not of 10.0.0.0/24")
    return Address(frame[29]), decode_message(frame[BELOW : 14 + length])


def decode_message(message: bytes) -> Packet:
    """What a UDP datagram holds; `WireError` for anything but a whole packet of this version."""
    if len(message) < _HEADER.size:
        raise WireError(f"{len(message)} bytes are less than the {_HEADER.size} of the header")
    version, kind, query, epoch, phase, present, flow, _, sequence = _HEADER.unpack_from(message)
    if version != VERSION:
        raise WireError(f"version {version} is not {VERSION}")
    if kind not in (DATA, SURVIVORS, ACK, EOS, RECEIPT):
        raise WireError(f"unknown kind {kind}")
    row = {DATA: ROW_BYTES, SURVIVORS: ID_BYTES}.get(kind, 0)
    body = message[_HEADER.size :]
    if kind in (DATA, SURVIVORS) and len(body) != row * present.bit_count():
        raise WireError(f"{len(body)} bytes of rows, but {present.bit_count()} rows are announced")
    words = struct.unpack(f">{len(body) // 4}I", body) if row else ()
    return Packet(kind, query, epoch, phase, flow, sequence, words[:: row // 4] if row else ())
