"""Datagrams of the aggregation protocol in Ethernet frames, as modelled wires carry them.

`native/innet/packet.h` is the format of the datagrams.
"""

from __future__ import annotations

import struct

import weft._native._core as _core

innet = _core.innet

PORT: int = innet.PORT  # of UDP, of the switch
VERSION: int = innet.VERSION
HEADER_SIZE: int = innet.HEADER_SIZE
MAX_WORKERS: int = innet.MAX_WORKERS  # of one switch: a worker is a bit of a 32 bit word
VALUES = 256
"""Per packet, of a software switch: 93 % of what is on the wire."""

BELOW = 14 + 20 + 8
"""Bytes of a frame before the datagram."""

SWITCH_HOST = 254


def address(host: int) -> tuple[str, str]:
    """MAC and IPv4 address of a host 0..255 of a modelled star (the switch is 254)."""
    return f"02:00:00:00:01:{host:02x}", f"10.0.1.{host}"


def frame(datagram: bytes, source: int, target: int = SWITCH_HOST) -> bytes:
    """A datagram between two hosts by number. Its UDP checksum is 0, none (RFC 768)."""
    (target_mac, target_ip), (source_mac, source_ip) = (
        (bytes.fromhex(mac.replace(":", "")), bytes(int(b) for b in ip.split(".")))
        for mac, ip in (address(target), address(source))
    )
    length = len(datagram)
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + length, 0, 0, 64, 17, 0, source_ip, target_ip)
    total = sum(struct.unpack(">10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    ip = ip[:10] + struct.pack(">H", total ^ 0xFFFF) + ip[12:]
    udp = struct.pack(">HHHH", PORT, PORT, 8 + length, 0)
    return target_mac + source_mac + b"\x08\x00" + ip + udp + datagram


def datagram(frame: bytes) -> bytes:
    """What a frame carries over UDP; empty if it is no such frame."""
    udp_over_ip = frame[12:15] == b"\x08\x00\x45" and frame[23:24] == b"\x11"
    if len(frame) < BELOW or not udp_over_ip:
        return b""
    return frame[BELOW : BELOW - 8 + int.from_bytes(frame[BELOW - 4 : BELOW - 2], "big")]
