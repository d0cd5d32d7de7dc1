"""What the fabric process must know, as plain values that cross a pipe."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from weft.emulation.lab.errors import LabError
from weft.emulation.programs import Program
from weft.emulation.topology import Topology

WIRE_OVERHEAD = 24
"""Bytes of preamble, check sequence and gap that a frame takes on the wire beside itself."""

HOST_QUEUE_PACKETS = 1000
"""Linux's default length of an interface's queue."""

FIRST_IPV4 = int(ipaddress.IPv4Address("10.0.0.0"))
FIRST_IPV6 = int(ipaddress.IPv6Address("fd00::"))


def default_host_queue(mtu: int) -> int:
    """Bytes on the wire that wait in a host's own interface."""
    return HOST_QUEUE_PACKETS * (mtu + 14 + WIRE_OVERHEAD)


@dataclass(frozen=True)
class Address:
    """Of one host's interface, eth0."""

    ipv4: str
    prefix: int
    ipv6: str
    mac: str

    @classmethod
    def of(cls, host: int) -> Address:
        """Host 0 is 10.0.0.1/8 and fd00::1/64, and so on upwards."""
        number = host + 1
        mac = f"02:00:{number >> 24 & 255:02x}:{number >> 16 & 255:02x}"
        return cls(
            str(ipaddress.IPv4Address(FIRST_IPV4 + number)),
            8,
            str(ipaddress.IPv6Address(FIRST_IPV6 + number)),
            f"{mac}:{number >> 8 & 255:02x}:{number & 255:02x}",
        )


def plan(hosts: int, chosen: dict[int, str]) -> list[Address]:
    """Addresses of all hosts; `chosen` replaces the IPv4 address of some ("192.168.1.5/24").

    Raises LabError when two hosts would have the same one, or one is not an address.
    """
    addresses = [Address.of(host) for host in range(hosts)]
    for host, text in chosen.items():
        try:
            interface = ipaddress.IPv4Interface(text)
        except ValueError as error:
            raise LabError(f"address of h{host}: {error}") from None
        plain = addresses[host]
        addresses[host] = Address(
            str(interface.ip), interface.network.prefixlen, plain.ipv6, plain.mac
        )
    seen: dict[str, int] = {}
    for host, address in enumerate(addresses):
        if address.ipv4 in seen:
            raise LabError(f"hosts h{seen[address.ipv4]} and h{host} both have {address.ipv4}")
        seen[address.ipv4] = host
    return addresses


@dataclass(frozen=True)
class LinkParameters:
    """One link of the fabric. Rates in bit/s, times in picoseconds, shares 0 .. 1."""

    a: int
    b: int
    rate: float
    delay: int
    loss: float
    corruption: float
    duplication: float
    jitter: int
    weight: int


def links_of(topology: Topology, dilation: float) -> list[LinkParameters]:
    """All links, rates and times slowed down."""
    links = []
    for number in range(len(topology.ends)):
        link: Any = topology.native.link(number)  # type: ignore[attr-defined]
        links.append(
            LinkParameters(
                link.a, link.b, link.rate / dilation, round(link.delay * dilation),
                link.loss, link.corruption, link.duplication, round(link.jitter * dilation),
                link.weight,
            )
        )  # fmt: skip
    return links


def programs_of(
    topology: Topology, programs: Sequence[Program]
) -> list[tuple[int, str, str, str | None]]:
    """As Spec.programs wants them."""
    return [
        (
            topology.node(program.switch),
            program.switch,
            str(program.source.resolve()),
            None if program.commands is None else str(program.commands.resolve()),
        )
        for program in programs
    ]


@dataclass(frozen=True)
class Spec:
    """A whole lab. Times in picoseconds."""

    addresses: list[Address]
    switches: list[tuple[str, int]]
    """Name and tier."""
    links: list[LinkParameters]
    queue: dict[str, Any]
    """Attributes of the native QueueOptions."""
    forwarding: str
    reroute_after: int | None
    host_queue: int
    """Bytes that wait in a host's own interface."""
    seed: int
    mtu: int
    trains: bool
    """Segmentation offloads stay whole: a super-packet crosses the fabric as one train."""
    trimmed_bytes: int
    spin: int
    programs: list[tuple[int, str, str, str | None]]
    """P4 programs: node, its name, the source file, and a command file."""
    machines: list[int] = field(default_factory=list)
    """Hosts that are virtual machines."""
    kernel: bool = False
    """The fabric is made of kernel parts (emulation/lab/kernel), not of ours."""
