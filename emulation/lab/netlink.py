"""Route netlink by hand: many requests in one message, one answer each.

A host of a lab costs half a dozen requests. Sent together through a socket that was opened inside
the host's namespace they take a tenth of the time that a library needs which opens, asks about and
closes each (netlink(7), rtnetlink(7), linux/if_link.h; numbers are the kernel's ABI).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from contextlib import nullcontext
from dataclasses import dataclass, field

NETLINK_ROUTE = 0
REQUEST, ACK, CREATE, EXCLUSIVE = 0x1, 0x4, 0x400, 0x200
REPLACE, DUMP = 0x100, 0x300
GETLINK, NEWLINK, NEWADDR, NEWROUTE, NEWQDISC, GETQDISC = 18, 16, 20, 24, 36, 38
ERROR, DONE = 2, 3
IFF_UP, IFF_NOARP = 0x1, 0x80

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_TXQLEN, IFLA_LINKINFO = 1, 3, 4, 13, 18
IFLA_NET_NS_FD, IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES = 28, 31, 32
IFLA_GSO_MAX_SEGS, IFLA_GSO_MAX_SIZE = 40, 41
INFO_KIND, INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFA_ADDRESS, IFA_LOCAL, NO_DETECTION = 1, 2, 0x02
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_MULTIPATH, ON_LINK = 1, 4, 5, 9, 4
ANY_GATEWAY = socket.inet_pton(socket.AF_INET6, "fe80::2")
TCA_KIND, TCA_OPTIONS, TCA_STATS2, STATS_BASIC, STATS_QUEUE = 1, 2, 7, 1, 3
TBF_PARAMETERS, TBF_RATE64, TBF_BURST = 1, 4, 6
NETEM_CORRUPT, NETEM_LATENCY64, NETEM_JITTER64, NETEM_SEED = 4, 10, 11, 14
NETEM_PACKETS = 1_000_000
"""That may be on their way: more than any link here holds."""
EVERY = 2**32 - 1
"""netem's probability of 1."""
TOP, BELOW = (1 << 16, 0xFFFFFFFF), (2 << 16, 1 << 16 | 1)
"""Handle and parent of a device's discipline, and of one behind netem."""
ETHERNET_LAYER = 1
MAIN_TABLE, BOOT_PROTOCOL, UNICAST, LINK_SCOPE = 254, 3, 1, 253
AF_INET6_MISSING = (errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES)
"""What the kernel answers to IPv6 where it was left out or switched off."""

BATCH = 128
"""Requests in one message. The kernel answers all before we read: their answers must fit the
socket's buffer (net.core.rmem_default), in which each takes most of a kilobyte."""
ANSWERS = 64 * 1024
ANSWER_DEADLINE = 20.0


def attribute(kind: int, value: bytes | int | str) -> bytes:
    """A length, a kind and a value, padded to four bytes."""
    if isinstance(value, int):
        value = struct.pack("=I", value)
    elif isinstance(value, str):
        value = value.encode() + b"\0"
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def link(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    """struct ifinfomsg."""
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, change)


def open_channel() -> socket.socket:
    """A socket to the kernel's network, of the namespace that the calling thread is in now."""
    channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)
    channel.settimeout(ANSWER_DEADLINE)
    return channel


def hardware(mac: str) -> bytes:
    """A MAC address' six bytes."""
    return bytes.fromhex(mac.replace(":", ""))


def attributes(data: bytes) -> dict[int, bytes]:
    """What attribute() packed, by kind."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) // 4 * 4
    return found


@dataclass(frozen=True)
class Counters:
    """Of a queueing discipline."""

    sent: int
    packets: int
    drops: int
    backlog: int
    """Bytes that wait."""


def queue_counters(kind: str) -> dict[int, Counters]:
    """Of the discipline of this kind at every device of this namespace."""
    found: dict[int, Counters] = {}
    with open_channel() as channel:
        body = struct.pack("=BxxxiIII", socket.AF_UNSPEC, 0, 0, 0, 0)
        channel.send(struct.pack("=IHHII", 16 + len(body), GETQDISC, REQUEST | DUMP, 0, 0) + body)
        while True:
            data, at = channel.recv(ANSWERS), 0
            while at < len(data):
                length, what = struct.unpack_from("=IH", data, at)
                if what == DONE:
                    return found
                (index,) = struct.unpack_from("=i", data, at + 20)
                told = attributes(data[at + 36 : at + length])
                if told.get(TCA_KIND, b"").rstrip(b"\0") == kind.encode():
                    stats = attributes(told[TCA_STATS2])
                    sent, packets = struct.unpack_from("=QI", stats[STATS_BASIC])
                    _, backlog, drops = struct.unpack_from("=III", stats[STATS_QUEUE])
                    found[index] = Counters(sent, packets, drops, backlog)
                at += (length + 3) // 4 * 4


@dataclass(frozen=True)
class Impairments:
    """What netem does to the packets of a port; times in nanoseconds, shares 0 .. 1."""

    delay: int
    jitter: int
    """Added to the delay, uniform in 0 .. jitter."""
    loss: float
    corruption: float
    duplication: float
    seed: int


@dataclass
class Batch:
    """Requests that wait to be sent together, each with what it is for."""

    requests: list[tuple[bytes, str, tuple[int, ...]]] = field(default_factory=list)

    def add(
        self, kind: int, body: bytes, what: str, flags: int = 0, pardoned: tuple[int, ...] = ()
    ) -> None:
        """`pardoned`: errors that do not matter."""
        number = len(self.requests)
        head = struct.pack("=IHHII", 16 + len(body), kind, REQUEST | ACK | flags, number, 0)
        self.requests.append((head + body + bytes(-len(body) % 4), what, pardoned))

    def veth(
        self,
        name: str,
        index: int,
        peer: tuple[str, int, int],
        mtu: int,
        mac: str | None = None,
        *,
        namespace: int | None = None,
        peer_mac: str | None = None,
    ) -> None:
        """A pair with one queue each; `peer`: its name, number, and namespace (a descriptor)."""
        queues = attribute(IFLA_NUM_TX_QUEUES, 1) + attribute(IFLA_NUM_RX_QUEUES, 1)
        common = attribute(IFLA_MTU, mtu) + queues
        peer_name, peer_index, far_namespace = peer
        far = link(peer_index) + attribute(IFLA_IFNAME, peer_name)
        far += attribute(IFLA_NET_NS_FD, far_namespace) + common
        if peer_mac is not None:
            far += attribute(IFLA_ADDRESS, hardware(peer_mac))
        info = attribute(INFO_KIND, "veth")
        info += attribute(INFO_DATA, attribute(VETH_INFO_PEER, far))
        body = link(index) + attribute(IFLA_IFNAME, name) + common
        if mac is not None:
            body += attribute(IFLA_ADDRESS, hardware(mac))
        if namespace is not None:
            body += attribute(IFLA_NET_NS_FD, namespace)
        body += attribute(IFLA_LINKINFO, info)
        self.add(NEWLINK, body, f"making {name} and {peer_name}", CREATE | EXCLUSIVE)

    def up(self, index: int, *, arp: bool = True, attributes: bytes = b"") -> None:
        """Switch a device on, with what else shall be set."""
        flags = IFF_UP | (0 if arp else IFF_NOARP)
        body = link(index, flags, IFF_UP if arp else flags) + attributes
        self.add(NEWLINK, body, f"switching device {index} on")

    def address(self, index: int, family: int, address: str, prefix: int) -> None:
        """Give a device an address; nobody is asked whether another has it (RFC 4862)."""
        packed = socket.inet_pton(family, address)
        flags = NO_DETECTION if family == socket.AF_INET6 else 0
        body = struct.pack("=BBBBI", family, prefix, flags, 0, index)
        body += attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)
        pardoned = AF_INET6_MISSING if family == socket.AF_INET6 else ()
        self.add(NEWADDR, body, f"address {address}", CREATE | EXCLUSIVE, pardoned)

    def everything_on(self, index: int) -> None:
        """A default route without a gateway: whatever the address, it is on this link."""
        route = (socket.AF_INET, 0, 0, 0, MAIN_TABLE, BOOT_PROTOCOL, LINK_SCOPE, UNICAST, 0)
        body = struct.pack("=BBBBBBBBI", *route) + attribute(RTA_OIF, index)
        self.add(NEWROUTE, body, "the route to everybody", CREATE | EXCLUSIVE)

    def route(self, family: int, address: str, through: list[int]) -> None:
        """The way to one address: out of one device, or of several in turn by a flow's hash."""
        packed = socket.inet_pton(family, address)
        scope = LINK_SCOPE if family == socket.AF_INET else 0
        head = (family, 8 * len(packed), 0, 0, MAIN_TABLE, BOOT_PROTOCOL, scope, UNICAST, 0)
        body = struct.pack("=BBBBBBBBI", *head) + attribute(RTA_DST, packed)
        if len(through) == 1:
            body += attribute(RTA_OIF, through[0])
        else:
            # IPv6 wants a gateway for each of several ways; without ARP any will do.
            gate = b"" if family == socket.AF_INET else attribute(RTA_GATEWAY, ANY_GATEWAY)
            hop = 8 + len(gate)
            flags = ON_LINK if gate else 0
            hops = (struct.pack("=HBBi", hop, flags, 0, index) + gate for index in through)
            body += attribute(RTA_MULTIPATH, b"".join(hops))
        pardoned = AF_INET6_MISSING if family == socket.AF_INET6 else ()
        self.add(NEWROUTE, body, f"a route to {address}", CREATE | EXCLUSIVE, pardoned)

    def shape(
        self, index: int, rate: float, burst: int, limit: int, overhead: int, *, below: bool = False
    ) -> None:
        """tbf at a device: bytes per second, bytes at once, bytes that wait, bytes more a packet.
        Replaces the one before. `below`: behind netem, which is there already."""
        number = round(rate)
        spec = struct.pack("=BBHhHI", 0, ETHERNET_LAYER, overhead, 0, 0, min(number, 2**32 - 1))
        options = attribute(TBF_PARAMETERS, spec + bytes(12) + struct.pack("=III", limit, 0, 0))
        options += attribute(TBF_BURST, burst)
        if number >= 2**32:
            options += attribute(TBF_RATE64, struct.pack("=Q", number))
        self._queue("tbf", index, BELOW if below else TOP, options)

    def impair(self, index: int, asked: Impairments) -> None:
        """netem at a device (struct tc_netem_qopt, linux/pkt_sched.h). Replaces the one before."""
        # netem's jitter goes both ways from the middle.
        half = asked.jitter // 2
        shares = (round(share * EVERY) for share in (asked.loss, asked.duplication))
        loss, duplication = shares
        options = struct.pack("=6I", 0, NETEM_PACKETS, loss, 0, duplication, 0)
        options += attribute(NETEM_LATENCY64, struct.pack("=q", asked.delay + half))
        options += attribute(NETEM_JITTER64, struct.pack("=q", half))
        corruption = round(asked.corruption * EVERY)
        options += attribute(NETEM_CORRUPT, struct.pack("=II", corruption, 0))
        options += attribute(NETEM_SEED, struct.pack("=Q", asked.seed))  # Linux 6.8 heeds it
        self._queue("netem", index, TOP, options)

    def _queue(self, kind: str, index: int, where: tuple[int, int], options: bytes) -> None:
        body = struct.pack("=BxxxiIII", socket.AF_UNSPEC, index, *where, 0)
        body += attribute(TCA_KIND, kind) + attribute(TCA_OPTIONS, options)
        self.add(NEWQDISC, body, f"{kind} at device {index} (sch_{kind})", CREATE | REPLACE)

    def settle(self, index: int) -> None:
        """Wait until a device that has its carrier also sends: until the kernel has looked, what
        leaves by it is lost in silence (net/core/link_watch.c)."""
        self.add(GETLINK, link(index), f"looking at device {index}")

    def send(self, channel: socket.socket | None = None) -> None:
        """Let the kernel do it all, in order: in the calling thread's namespace, or in that where
        the `channel` was opened.

        Raises OSError with what the first refused request was for.
        """
        with open_channel() if channel is None else nullcontext(channel) as through:
            for at in range(0, len(self.requests), BATCH):
                batch = self.requests[at : at + BATCH]
                through.send(b"".join(request for request, _, _ in batch))
                self._answers(through, len(batch))
        self.requests.clear()

    def _answers(self, channel: socket.socket, count: int) -> None:
        while count > 0:
            data = channel.recv(ANSWERS)
            at = 0
            while at < len(data):
                length, kind, _, number, _ = struct.unpack_from("=IHHII", data, at)
                if kind == ERROR:
                    (code,) = struct.unpack_from("=i", data, at + 16)
                    _, what, pardoned = self.requests[number]
                    if code != 0 and -code not in pardoned:
                        raise OSError(-code, f"{what}: {os.strerror(-code)}")
                    count -= 1
                at += (length + 3) // 4 * 4
