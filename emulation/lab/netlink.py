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
from dataclasses import dataclass, field

NETLINK_ROUTE = 0
REQUEST, ACK, CREATE, EXCLUSIVE = 0x1, 0x4, 0x400, 0x200
NEWLINK, NEWADDR, NEWROUTE, ERROR = 16, 20, 24, 2
IFF_UP, IFF_NOARP = 0x1, 0x80

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_TXQLEN, IFLA_LINKINFO = 1, 3, 4, 13, 18
IFLA_NET_NS_FD, IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES = 28, 31, 32
IFLA_GSO_MAX_SEGS, IFLA_GSO_MAX_SIZE = 40, 41
INFO_KIND, INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTA_OIF = 4
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
        self, name: str, index: int, peer: tuple[str, int, int], mtu: int, mac: str | None = None
    ) -> None:
        """A pair with one queue each; `peer`: its name, number, and namespace (a descriptor)."""
        queues = attribute(IFLA_NUM_TX_QUEUES, 1) + attribute(IFLA_NUM_RX_QUEUES, 1)
        common = attribute(IFLA_MTU, mtu) + queues
        peer_name, peer_index, namespace = peer
        far = link(peer_index) + attribute(IFLA_IFNAME, peer_name)
        far += attribute(IFLA_NET_NS_FD, namespace) + common
        info = attribute(INFO_KIND, "veth")
        info += attribute(INFO_DATA, attribute(VETH_INFO_PEER, far))
        body = link(index) + attribute(IFLA_IFNAME, name) + common
        if mac is not None:
            body += attribute(IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))
        body += attribute(IFLA_LINKINFO, info)
        self.add(NEWLINK, body, f"making {name} and {peer_name}", CREATE | EXCLUSIVE)

    def up(self, index: int, *, arp: bool = True, attributes: bytes = b"") -> None:
        """Switch a device on, with what else shall be set."""
        flags = IFF_UP | (0 if arp else IFF_NOARP)
        body = link(index, flags, IFF_UP if arp else flags) + attributes
        self.add(NEWLINK, body, f"switching device {index} on")

    def address(self, index: int, family: int, address: str, prefix: int) -> None:
        """Give a device an address."""
        packed = socket.inet_pton(family, address)
        body = struct.pack("=BBBBI", family, prefix, 0, 0, index)
        body += attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)
        pardoned = AF_INET6_MISSING if family == socket.AF_INET6 else ()
        self.add(NEWADDR, body, f"address {address}", CREATE | EXCLUSIVE, pardoned)

    def everything_on(self, index: int) -> None:
        """A default route without a gateway: whatever the address, it is on this link."""
        route = (socket.AF_INET, 0, 0, 0, MAIN_TABLE, BOOT_PROTOCOL, LINK_SCOPE, UNICAST, 0)
        body = struct.pack("=BBBBBBBBI", *route) + attribute(RTA_OIF, index)
        self.add(NEWROUTE, body, "the route to everybody", CREATE | EXCLUSIVE)

    def send(self) -> None:
        """Let the kernel do it all, in the calling thread's namespace, in order.

        Raises OSError with what the first refused request was for.
        """
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE) as channel:
            channel.settimeout(ANSWER_DEADLINE)
            for at in range(0, len(self.requests), BATCH):
                batch = self.requests[at : at + BATCH]
                channel.send(b"".join(request for request, _, _ in batch))
                self._answers(channel, len(batch))
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
