"""Network devices, and what the kernel offers: UDP offloads, AF_XDP, emulation modules."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Sequence

from weft.devices.nics import nics
from weft.doctor import child
from weft.doctor.finding import Finding, Level, Value, observed
from weft.doctor.privileges import capabilities

TOPIC = "network"

# include/uapi/linux/udp.h and socket.h; Python does not name them.
SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104
AF_XDP = 44
# Sockets need the first, BPF programs and their hook in a device the others.
XDP_CAPABILITIES = ("CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_BPF")

# Tries each kernel feature in a network namespace of its own, which goes when the process does.
# Prints the names that work. A queueing discipline or link kind can only be known by asking for
# one: modules load on demand.
KERNEL_FABRIC = """
import ctypes, errno
libc = ctypes.CDLL(None)
if libc.unshare(0x40000000) != 0 and libc.unshare(0x50000000) != 0:
    raise SystemExit("no network namespace")
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
works = []
with IPRoute() as ip:
    def attempt(name, call, *args, **options):
        try:
            call(*args, **options)
        except NetlinkError as error:
            if error.code not in (errno.ENOENT, errno.EOPNOTSUPP):
                raise
        else:
            works.append(name)
    attempt("veth", ip.link, "add", ifname="w0", kind="veth", peer={"ifname": "w1"})
    attempt("vrf", ip.link, "add", ifname="w2", kind="vrf", vrf_table=100)
    attempt("openvswitch", ip.link, "add", ifname="w3", kind="openvswitch")
    index = 1  # lo
    attempt("netem", ip.tc, "add", "netem", index, handle="1:", delay=1000)
    attempt("tbf", ip.tc, "replace", "tbf", index, handle="2:", rate="1mbit", burst=9000, latency=1)
print(" ".join(works))
"""


def probe() -> Iterator[Finding]:
    """NICs, UDP offloads, AF_XDP, emulation in the kernel."""
    yield from _interfaces()
    yield _udp_option("UDP segmentation (GSO)", UDP_SEGMENT, 1400, "4.18")
    yield _udp_option("UDP coalescing (GRO)", UDP_GRO, 1, "5.0")
    yield _address_family_xdp(capabilities())
    yield from _kernel_fabric()


def _interfaces() -> Iterator[Finding]:
    for card in nics():
        detail = f"{card.state}, MTU {card.mtu}"
        if card.gbit is not None:
            detail += f", {card.gbit:g} Gbit/s"
        if card.xdp is not None:
            detail += f", XDP {card.xdp.replace('_', ' ')}"
        values: dict[str, Value] = {
            "state": card.state,
            "mtu_bytes": card.mtu,
            "speed_mbit": None if card.gbit is None else int(card.gbit * 1000),
            "numa_node": card.numa_node,
            "xdp": card.xdp,
        }
        yield Finding(TOPIC, f"device {card.name}", Level.OK, detail, values=values)


def _udp_option(name: str, option: int, value: int, since: str) -> Finding:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe_socket:
        try:
            probe_socket.setsockopt(SOL_UDP, option, value)
        except OSError as error:
            good, detail = False, str(error)
        else:
            good, detail = True, "accepted by the kernel"
    mend = f"Linux {since} or newer; until then each packet costs a system call"
    return observed(TOPIC, name, good, detail, mend, usable=good)


def _address_family_xdp(held: Sequence[str]) -> Finding:
    """Whether the xdp datapath can open a device here: a kernel that has it, and privileges."""
    try:
        socket.socket(AF_XDP, socket.SOCK_RAW, 0).close()
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            said, mend = "this kernel has no AF_XDP sockets", "a kernel with CONFIG_XDP_SOCKETS"
            return observed(TOPIC, "AF_XDP", False, said, mend, usable=False)
    missing = [name for name in XDP_CAPABILITIES if name not in held]
    return observed(
        TOPIC,
        "AF_XDP",
        not missing,
        f"off: {', '.join(missing)} missing" if missing else "the xdp datapath may be used",
        "run as root, or setcap cap_net_admin,cap_net_raw,cap_bpf+ep on the program; until then "
        "messages go by udp",
        usable=not missing,
        missing=missing,
    )


def _kernel_fabric() -> Iterator[Finding]:
    """Features that a kernel-made fabric needs; Weft's own fabric needs veth only."""
    answered, said = child.run(KERNEL_FABRIC)
    if not answered:
        mend = (
            "pip install 'weft[lab]'"
            if "pyroute2" in said
            else "run as root: see rootless namespaces"
        )
        yield observed(TOPIC, "kernel fabric", False, f"cannot be tried: {said}", mend)
        return
    works = said.split()
    for name, module, what in (
        ("veth", "veth", "links between namespaces, without which there is no lab"),
        ("tbf", "sch_tbf", "rate limits"),
        ("netem", "sch_netem", "delays in a kernel fabric; Weft's own fabric does without"),
        ("vrf", "vrf", "routing tables per link; Weft's own fabric does without"),
        ("openvswitch", "openvswitch", "Open vSwitch datapath; Weft's own fabric does without"),
    ):
        good = name in works
        detail = what.partition(";")[0] if good else f"not in this kernel: {what}"
        mend = f"modprobe {module}, or a kernel that has it"
        yield observed(TOPIC, name, good, detail, mend, usable=good)
