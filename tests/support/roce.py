"""RoCE v2 on the wire and in the fabric's counters, for tests that look over the NIC's shoulder.

InfiniBand Architecture Specification 1.6, annex A17 (RoCE v2): Ethernet, IP, UDP to port 4791, then
the base transport header (section 9.2), whose first byte names service and operation.
"""

from __future__ import annotations

import struct
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weft.emulation.lab import Lab

PORT = 4791
GLOBAL, RECORD = 24, 16
BTH = struct.Struct("!BBHII")
SERVICES = ("RC", "UC", "RD", "UD")


@dataclass(frozen=True)
class Packet:
    """`service`: RC, UC or UD; `operation`: the low five bits of the opcode (table 38)."""

    source_port: int
    service: str
    operation: int
    queue_pair: int
    sequence: int
    size: int


def packets(path: Path) -> Iterator[Packet]:
    """The RoCE v2 packets over IPv4 of a pcap file (microseconds or nanoseconds, native order)."""
    data = path.read_bytes()
    at = GLOBAL
    while at < len(data):
        kept, size = struct.unpack_from("=II", data, at + 8)
        frame = data[at + RECORD : at + RECORD + kept]
        at += RECORD + kept
        if frame[12:14] != b"\x08\x00" or frame[23] != 17:
            continue
        udp = 14 + (frame[14] & 15) * 4
        source, destination = struct.unpack_from("!HH", frame, udp)
        if destination != PORT:
            continue
        opcode, _, _, queue_pair, sequence = BTH.unpack_from(frame, udp + 8)
        yield Packet(
            source, SERVICES[opcode >> 5 & 3], opcode & 31, queue_pair & 0xFFFFFF,
            sequence & 0xFFFFFF, size,
        )  # fmt: skip


class Spread:
    """Packets that each spine got from a leaf since the counters were looked at first."""

    def __init__(self, lab: Lab, leaf: str, spines: int) -> None:
        self._lab = lab
        topology = lab.topology
        self._ports = {
            f"spine{spine}": [
                2 * link + (topology.ends[link][0] != topology.node(leaf))
                for link in topology.links_between(leaf, f"spine{spine}")
            ]
            for spine in range(spines)
        }
        self._before = self._counts()

    def _counts(self) -> dict[str, int]:
        sent = self._lab.port_stats()["packets"]
        return {spine: sum(sent[port] for port in ports) for spine, ports in self._ports.items()}

    def packets(self) -> dict[str, int]:
        now = self._counts()
        return {spine: now[spine] - before for spine, before in self._before.items()}

    def busiest(self, least: int, deadline: float = 60.0) -> str:
        """The spine that got most, once that is `least` packets."""
        until = time.monotonic() + deadline
        while max((got := self.packets()).values()) < least:
            assert time.monotonic() < until, got
            time.sleep(0.02)
        return max(got, key=lambda spine: got[spine])


def by_flow(captures: dict[str, Path]) -> dict[int, set[str]]:
    """Where each flow (its UDP source port) was seen."""
    seen: defaultdict[int, set[str]] = defaultdict(set)
    for place, path in captures.items():
        for packet in packets(path):
            seen[packet.source_port].add(place)
    return dict(seen)
