"""Packets of the aggregation protocol, as `programs/aggregation/allreduce.p4` parses them.

Ethernet, IPv4 and UDP to port 22353, a header of 16 bytes, and `VALUES` signed 32 bit integers,
big-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PORT = 22353
VERSION = 1
ADD, RESULT, CLOSE = 1, 2, 3
VALUES = 32
MAX_WORKERS = 32  # of one switch: a worker is a bit of a 32 bit word

_HEADER = struct.Struct(">BBHHBbHHI")
_BELOW = 14 + 20 + 8
BYTES = _BELOW + _HEADER.size + 4 * VALUES
Values = npt.NDArray[np.int32]


class WireError(ValueError):
    """Bytes that are no packet of this protocol; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Update:
    """`round` counts a slot's uses from 1; `exponent` is that of the block the slot has next."""

    kind: int
    job: int
    epoch: int
    worker: int
    slot: int
    round: int
    exponent: int
    contributors: int
    values: Values


def address(host: int) -> tuple[bytes, bytes]:
    """MAC and IPv4 address of a host 0..255 (the switch is 254)."""
    return bytes([2, 0, 0, 0, 1, host]), bytes([10, 0, 1, host])


def encode(update: Update, source: int, target: int) -> bytes:
    """An Ethernet frame between two hosts by number."""
    (target_mac, target_ip), (source_mac, source_ip) = address(target), address(source)
    length = _HEADER.size + 4 * VALUES
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + length, 0, 0, 64, 17, 0, source_ip, target_ip)
    total = sum(struct.unpack(">10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    ip = ip[:10] + struct.pack(">H", total ^ 0xFFFF) + ip[12:]
    udp = struct.pack(">HHHH", PORT, PORT, 8 + length, 0)
    u = update
    head = _HEADER.pack(
        VERSION, u.kind, u.job, u.epoch, u.worker, u.exponent, u.slot, u.contributors, u.round
    )
    body = np.asarray(u.values, ">i4").tobytes()
    return target_mac + source_mac + b"\x08\x00" + ip + udp + head + body


def decode(frame: bytes) -> Update:
    """Raises `WireError` for anything but a whole packet of this version."""
    if len(frame) < BYTES:
        raise WireError(f"{len(frame)} bytes are less than the {BYTES} of a packet")
    if frame[12:14] != b"\x08\x00" or frame[14] != 0x45 or frame[23] != 17:
        raise WireError("not UDP over IPv4 without options")
    if int.from_bytes(frame[36:38], "big") != PORT:
        raise WireError("not the aggregation port")
    version, kind, job, epoch, worker, exponent, slot, contributors, round_ = _HEADER.unpack_from(
        frame, _BELOW
    )
    if version != VERSION or kind not in (ADD, RESULT, CLOSE):
        raise WireError(f"version {version}, kind {kind} are not ours")
    values = np.frombuffer(frame, ">i4", VALUES, _BELOW + _HEADER.size).astype(np.int32)
    return Update(kind, job, epoch, worker, slot, round_, exponent, contributors, values)
