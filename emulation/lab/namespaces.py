"""Network namespaces and the interfaces in them.

Namespaces have no names: a file descriptor in the fabric process holds each, so that whatever
happens to that process, the kernel removes them. Runs inside the fabric process, which is
privileged (as root, or in a user namespace of its own) and single-threaded while it builds.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from weft.emulation.lab import netlink
from weft.emulation.lab.netlink import Batch
from weft.emulation.lab.spec import Address

CLONE_NEWNET = 0x40000000
FSOPEN, FSCONFIG, FSMOUNT, FSCONFIG_CREATE = 430, 431, 432, 6
"""Numbers of system calls, the same on every architecture since Linux 5.2."""
HOST_INTERFACE = "eth0"
LOOPBACK_INDEX, HOST_INDEX, FIRST_PORT_INDEX = 1, 2, 2
"""lo is 1 in every namespace."""

EXACT_SEGMENTS = 1
"""Most segments of one super-packet: the sender's kernel cuts it up before it enters the link."""
TUN = "/dev/net/tun"
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
IFREQ = struct.Struct("16sH22x")
TAP_QUEUE = 8192
"""Frames that wait for a virtual machine, which is slower than the fabric: 1000, Linux's default,
are gone in a burst."""

TRAIN_BYTES = 56 * 1024
"""With trains: room is left for the headers that the fabric accounts for each segment."""

_libc = ctypes.CDLL(None, use_errno=True)


def _call(function: str, *arguments: int) -> None:
    if getattr(_libc, function)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{function}: {os.strerror(code)}")


def new_network() -> None:
    """Move this thread into a new network namespace."""
    _call("unshare", CLONE_NEWNET)


def current_network() -> int:
    """A file descriptor of this thread's network namespace."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def enter(namespace: int) -> None:
    """Move this thread into a network namespace."""
    _call("setns", namespace, CLONE_NEWNET)


@contextmanager
def inside(namespace: int, home: int) -> Iterator[None]:
    """Be in a namespace for a while, then back home."""
    _call("setns", namespace, CLONE_NEWNET)
    try:
        yield
    finally:
        _call("setns", home, CLONE_NEWNET)


def _sysfs() -> int | None:
    """A sysfs of this namespace's devices, attached nowhere; None where it is refused."""
    syscall = _libc.syscall
    context = syscall(FSOPEN, b"sysfs", 1)
    if context < 0:
        return None
    try:
        if syscall(FSCONFIG, context, FSCONFIG_CREATE, None, None, 0) != 0:
            return None
        mount = syscall(FSMOUNT, context, 1, 0)
        return mount if mount >= 0 else None
    finally:
        os.close(context)


def steer(cpus: int, interface: str = HOST_INTERFACE) -> bool:
    """Let these CPUs (a bit each) do what an interface's frames cost their receiver; False if
    refused."""
    sysfs = _sysfs()
    if sysfs is None:
        return False
    try:
        path = f"class/net/{interface}/queues/rx-0/rps_cpus"
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=sysfs)
        try:
            os.write(file, f"{cpus:x}".encode())
        finally:
            os.close(file)
    except OSError:
        return False
    finally:
        os.close(sysfs)
    return True


def sysctl(key: str, value: str) -> None:
    """Set a value below net/ in this namespace, where the kernel has it."""
    with suppress(OSError):  # kernels without IPv6
        Path("/proc/sys/net", key).write_text(value, encoding="ascii")


def _tap(name: str) -> int:
    """A TAP device in this namespace, of the name, as a file descriptor: frames without virtio
    headers, so that no offload of the machine crosses the fabric unfinished."""
    try:
        fd = os.open(TUN, os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(fd, TUNSETIFF, IFREQ.pack(name.encode(), IFF_TAP | IFF_NO_PI))
    except OSError as error:
        raise OSError(
            error.errno, f"virtual machines need TAP devices: {TUN}: {error.strerror}"
        ) from None
    return fd


@dataclass
class Site:
    """The fabric's namespace and those of the hosts, in order of host."""

    home: int
    hosts: list[int] = field(default_factory=list)
    inodes: list[int] = field(default_factory=list)
    """Of the hosts' namespaces: by them their processes are found."""
    steered: bool = False
    ports: list[int] = field(default_factory=list)
    """Interface numbers of the fabric's ends of the cables."""
    taps: dict[int, int] = field(default_factory=dict)
    """File descriptors, by host, of the cables that end in a virtual machine."""

    @classmethod
    def build(
        cls,
        addresses: list[Address],
        mtu: int,
        trains: bool,
        receivers: int,
        machines: Sequence[int] = (),
    ) -> Site:
        """Make all namespaces and links. This thread ends up in the fabric's namespace.

        `receivers`: the CPUs (a bit each) that do what frames cost their receivers; 0: any.
        `machines`: hosts whose interface is in a virtual machine; their namespace, empty, is where
        the machine's own process runs.
        """
        new_network()
        site = cls(current_network(), steered=receivers != 0)
        sysctl("ipv6/conf/default/disable_ipv6", "1")  # ports have no addresses of their own
        sysctl("ipv6/conf/all/disable_ipv6", "1")
        try:
            with netlink.open_channel() as home:
                for host, address in enumerate(addresses):
                    new_network()
                    namespace = current_network()
                    site.hosts.append(namespace)
                    site.inodes.append(os.fstat(namespace).st_ino)
                    if host in machines:
                        continue
                    site._join(host, address, mtu, trains, home)
                    if receivers and site.steered:
                        site.steered = steer(receivers)
        finally:
            _call("setns", site.home, CLONE_NEWNET)
        site.taps = {host: _tap(f"h{host}") for host in machines}
        site.ports = [socket.if_nametoindex(f"h{host}") for host in range(len(addresses))]
        tap = netlink.attribute(netlink.IFLA_MTU, mtu)
        tap += netlink.attribute(netlink.IFLA_TXQLEN, TAP_QUEUE)
        batch = Batch()
        for host in site.taps:
            batch.up(site.ports[host], attributes=tap)
        batch.send()
        return site

    def _join(
        self, host: int, address: Address, mtu: int, trains: bool, home: socket.socket
    ) -> None:
        """In the host's namespace: a cable to the fabric, addresses, routes. `home`: the channel of
        the fabric's namespace."""
        sysctl("ipv6/conf/default/accept_dad", "0")  # it would cost each address a second
        sysctl("ipv6/conf/default/router_solicitations", "0")
        sysctl("ipv4/conf/all/rp_filter", "0")
        sysctl("ipv4/conf/default/rp_filter", "0")
        sysctl("ipv4/ping_group_range", "0 0")  # a group that every user namespace has
        # The fabric's end goes up first: the host's then sends from its first moment on.
        cable, port = Batch(), host + FIRST_PORT_INDEX
        cable.veth(
            HOST_INTERFACE, HOST_INDEX, (f"h{host}", port, self.home), mtu, address.mac,
            namespace=self.hosts[host],
        )  # fmt: skip
        cable.up(port)
        cable.send(home)
        batch = Batch()
        batch.up(LOOPBACK_INDEX)
        if trains:
            offload = netlink.attribute(netlink.IFLA_GSO_MAX_SIZE, TRAIN_BYTES)
        else:
            offload = netlink.attribute(netlink.IFLA_GSO_MAX_SEGS, EXACT_SEGMENTS)
        # Without ARP every frame bears its sender's own address as destination: the fabric goes by
        # IP and puts the right one in. No tables of neighbours, which the kernel would share among
        # all namespaces.
        batch.up(HOST_INDEX, arp=False, attributes=offload)
        batch.address(HOST_INDEX, socket.AF_INET, address.ipv4, address.prefix)
        batch.address(HOST_INDEX, socket.AF_INET6, address.ipv6, 64)
        batch.everything_on(HOST_INDEX)
        batch.send()
