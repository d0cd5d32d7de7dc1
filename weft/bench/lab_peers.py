"""Mininet's two data paths, without Mininet: hosts in namespaces joined by a Linux bridge whose
ports are shaped by tbf, and by Open vSwitch in user space (Debian's, netdev datapath).

Both have one switch and no delay, which is the least that they could do; the lab beside them has
three tiers of queues, delay and ECN.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weft.bench.libraries import Unavailable
from weft.bench.network import ip
from weft.emulation.lab.namespaces import inside

ADDRESSES = ("10.98.0.1", "10.98.0.2")
MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17
SHAPED = ["tbf", "rate", "40gbit", "burst", "1mb", "latency", "50ms"]
"""Faster than anything here, so that only what it costs is seen."""
DEADLINE = 10.0

Commands = tuple[list[str], list[str]]
"""What stands in front of a command on the first and on the second host."""


@contextmanager
def bridge(mtu: int = 1500, rate: str | None = None) -> Iterator[Commands]:
    """Two hosts on a Linux bridge with tbf at both its ports (at `rate`, tc's notation)."""
    with _hosts(mtu) as (names, switch):
        ip("-n", switch, "link", "add", "br0", "type", "bridge")
        shaped = [*SHAPED]
        if rate is not None:
            shaped[2:5] = [rate, "burst", "15kb"]
        for port in ("p0", "p1"):
            ip("-n", switch, "link", "set", port, "master", "br0", "up")
            ip("-n", switch, "qdisc", "add", "dev", port, "root", *shaped, tool="tc")
        ip("-n", switch, "link", "set", "br0", "up")
        _await_packets(names)
        yield _enter(names)


@contextmanager
def open_vswitch(mtu: int = 1500) -> Iterator[Commands]:
    """Two hosts on Open vSwitch's user-space datapath. Raises Unavailable where it is missing."""
    for program in ("ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl"):
        if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            raise Unavailable(f"{program} is not installed (Debian: openvswitch-switch)")
    with (
        tempfile.TemporaryDirectory(prefix="weft-ovs-") as folder,
        _hosts(mtu) as (names, switch),
    ):
        for name in names:
            _without_checksum_offload(name)  # or its packets arrive with sums that nobody finished
        daemons = []
        try:
            daemons = _start_daemons(Path(folder), switch)
            ports = ["--", "add-port", "br0", "p0", "--", "add-port", "br0", "p1"]
            for port in ("p0", "p1"):
                ip("-n", switch, "link", "set", port, "up")
            made = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", *ports]
            _tool(["ovs-vsctl", f"--db=unix:{folder}/db", f"--timeout={DEADLINE:.0f}", *made])
            _await_packets(names)
            yield _enter(names)
        finally:
            for daemon in reversed(daemons):
                daemon.terminate()
                try:
                    daemon.wait(DEADLINE)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()


def _start_daemons(folder: Path, switch: str) -> list[subprocess.Popen[bytes]]:
    database, remote = folder / "conf", folder / "db"
    _tool(["ovsdb-tool", "create", str(database), str(SCHEMA)])
    environment = {**os.environ, "OVS_RUNDIR": str(folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL,
             "stderr": subprocess.DEVNULL, "env": environment}  # fmt: skip
    server = ["ovsdb-server", str(database), f"--remote=punix:{remote}"]
    switchd = ["ip", "netns", "exec", switch, "ovs-vswitchd", f"unix:{remote}"]
    daemons: list[subprocess.Popen[bytes]] = []
    for name, command in (("server", server), ("switchd", switchd)):
        control = folder / name
        daemons.append(subprocess.Popen([*command, f"--unixctl={control}"], **quiet))  # type: ignore[call-overload]
        end = time.monotonic() + DEADLINE
        while not control.exists():
            if daemons[-1].poll() is not None or time.monotonic() > end:
                raise Unavailable(f"Open vSwitch: {command[0]} did not come up")
            time.sleep(0.02)
    _tool(["ovs-vsctl", f"--db=unix:{remote}", f"--timeout={DEADLINE:.0f}", "--no-wait", "init"])
    return daemons


@contextmanager
def _hosts(mtu: int) -> Iterator[tuple[tuple[str, str], str]]:
    """Two namespaces with eth0, whose other ends p0 and p1 are in a third."""
    if os.geteuid() != 0:
        raise Unavailable("Mininet's data paths need root")
    stem = f"weft-peer-{os.getpid()}"
    names, switch = (f"{stem}-0", f"{stem}-1"), f"{stem}-s"
    try:
        for name in (*names, switch):
            ip("netns", "add", name)
        for number, name in enumerate(names):
            far = ["netns", switch, "name", f"p{number}", "mtu", str(mtu)]
            near = ["netns", name, "address", MACS[number], "mtu", str(mtu)]
            ip("link", "add", "eth0", *near, "type", "veth", "peer", *far)
            ip("-n", name, "addr", "add", f"{ADDRESSES[number]}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
            # What waits for the first answer to ARP would count as lost.
            known = [ADDRESSES[1 - number], "lladdr", MACS[1 - number], "dev", "eth0"]
            ip("-n", name, "neigh", "replace", *known, "nud", "permanent")
        yield names, switch
    finally:
        for name in (*names, switch):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _enter(names: tuple[str, str]) -> Commands:
    return ["ip", "netns", "exec", names[0]], ["ip", "netns", "exec", names[1]]


def _tool(command: list[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=2 * DEADLINE
    )
    if done.returncode != 0:
        raise Unavailable(f"{command[0]}: {done.stderr.strip()[-300:]}")


def _await_packets(names: tuple[str, str]) -> None:
    """Until datagrams get through in both directions: ports of switches take a moment."""
    with _socket(names[0]) as here, _socket(names[1]) as there:
        ends = (here, there)
        for end, address in zip(ends, ADDRESSES, strict=True):
            end.bind((address, 0))
            end.settimeout(0.05)
        deadline, good = time.monotonic() + DEADLINE, 0
        while good < 4:
            if time.monotonic() > deadline:
                raise Unavailable("the switch between the hosts carries nothing")
            try:
                ends[good % 2].sendto(b"?", ends[1 - good % 2].getsockname())
                ends[1 - good % 2].recv(16)
                good += 1
            except OSError:
                good = 0


def _socket(name: str) -> socket.socket:
    """A UDP socket in a named namespace."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        with inside(there, here):
            return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    finally:
        os.close(here)
        os.close(there)


def _without_checksum_offload(name: str) -> None:
    """SIOCETHTOOL (linux/ethtool.h) on the namespace's eth0."""
    with _socket(name) as any_socket:
        value = ctypes.create_string_buffer(struct.pack("=II", ETHTOOL_STXCSUM, 0))
        request = struct.pack("16sP", b"eth0", ctypes.addressof(value))
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)
