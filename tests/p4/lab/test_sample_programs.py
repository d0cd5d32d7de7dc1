"""The sample programs between real hosts: pings and TCP streams through compiled switches."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from weft.emulation import LinkSpec, Topology
from weft.emulation.lab import Lab, LabError
from weft.emulation.programs import Program

PROGRAMS = Path(__file__).parents[3] / "p4" / "programs"
FAST = {"rate": "1Gbit/s", "delay": "50us"}


def star(hosts: int) -> Topology:
    """One switch, whose port h leads to host h."""
    return Topology.graph(hosts, ["s"], [LinkSpec(f"h{h}", "s", **FAST) for h in range(hosts)])


def mac(host: int) -> str:
    return f"0x0200{host + 1:08x}"


def commands(folder: Path, lines: list[str]) -> Path:
    path = folder / f"commands{len(list(folder.iterdir()))}.txt"
    path.write_text("\n".join(lines))
    return path


def route(host: int, port: int) -> list[str]:
    return [
        f"table_add ipv4_lpm route 10.0.0.{host + 1}/32 => {host}",
        f"table_add next_hops forward {host} => 0x020000aa0000 {mac(host)} {port}",
    ]


@pytest.fixture
def lab_of(tmp_path: Path) -> Callable[..., Lab]:
    def make(topology: Topology, programs: list[Program], **options: Any) -> Lab:
        try:
            return Lab(topology, programs=programs, **options).start()
        except LabError as problem:
            if "refused" in str(problem) or "unshare" in str(problem):
                pytest.skip(f"no lab on this machine: {problem}")
            raise

    return make


IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2
"""linux/in.h: nothing leaves in fragments."""


def reaches(lab: Lab, source: str, target: str) -> bool:
    """A busy machine may lose or delay the first packets."""
    return any(lab.ping(source, target, timeout=3.0)[0] is not None for _ in range(5))


def ports(topology: Topology, switch: str) -> list[int]:
    """What node each port of a switch leads to, in the ports' order."""
    node = topology.node(switch)
    return [a if b == node else b for a, b in topology.ends if node in (a, b)]


def connects(lab: Lab, a: str, b: str, port: int) -> bool:
    """Does a TCP connection from one host to the other open within a second?"""
    with lab[b].socket() as listener, lab[a].socket() as caller:
        listener.bind((lab[b].ip, port))
        listener.listen()
        caller.settimeout(1.0)
        try:
            caller.connect((lab[b].ip, port))
        except TimeoutError:
            return False
        return True


def test_router(lab_of: Callable[[Topology, list[Program]], Lab], tmp_path: Path) -> None:
    """Two routers in a row: all hosts reach each other, TTLs fall by two, TCP gets through."""
    topology = Topology.dumbbell(left=2, right=2, **FAST)
    left, right = topology.switches
    programs = []
    for switch, own in ((left, (0, 1)), (right, (2, 3))):
        ends = ports(topology, switch)
        neck = next(i for i, end in enumerate(ends) if end >= topology.hosts)
        lines = [
            line for host in range(4)
            for line in route(host, ends.index(host) if host in own else neck)
        ]  # fmt: skip
        programs.append(Program(switch, PROGRAMS / "router.p4", commands(tmp_path, lines)))
    with lab_of(topology, programs) as lab:
        assert all(seconds is not None for seconds in lab.ping_all(timeout=3.0).values())
        with lab["h3"].socket(kind=socket.SOCK_DGRAM) as receiver:
            receiver.bind((lab["h3"].ip, 0))
            receiver.settimeout(5.0)
            receiver.setsockopt(socket.IPPROTO_IP, 12, 1)  # IP_RECVTTL
            with lab["h0"].socket(kind=socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x", receiver.getsockname())
            _, ancillary, _, _ = receiver.recvmsg(16, 64)
            ttl = int.from_bytes(ancillary[0][2][:4], "little")
            assert ttl == 62
        assert lab.iperf("h0", "h2", seconds=1.0) > 10e6
        # A route that is taken away while packets flow.
        lab.p4(left, "table_clear ipv4_lpm")
        assert lab.ping("h0", "h1", timeout=0.5) == [None]
        lab.p4(left, *route(1, 1)[:1], *route(0, 0)[:1])
        assert reaches(lab, "h0", "h1")


def test_firewall(lab_of: Callable[[Topology, list[Program]], Lab], tmp_path: Path) -> None:
    """Connections are opened from inside only; what answers them comes through."""
    lines = [
        "table_add ports direction 0 => 1 1",
        "table_add ports direction 1 => 0 0",
    ]
    program = Program("s", PROGRAMS / "firewall.p4", commands(tmp_path, lines))
    with lab_of(star(2), [program]) as lab:
        assert reaches(lab, "h0", "h1")  # it looks at TCP only
        assert connects(lab, "h0", "h1", 8001)
        assert not connects(lab, "h1", "h0", 8002)
        assert lab.iperf("h0", "h1", seconds=1.0) > 10e6


def test_load_balancer(lab_of: Callable[[Topology, list[Program]], Lab], tmp_path: Path) -> None:
    """Datagrams to a service's address reach several servers, those of one flow the same one."""
    lines = ["act_prof_create_group servers"]
    for number, server in enumerate((1, 2, 3)):
        lines.append(f"act_prof_create_member servers to_server {mac(server)} {server}")
        lines.append(f"act_prof_add_member_to_group servers {number} 0")
    lines.append("table_indirect_add_with_group services 10.0.0.100 => 0")
    program = Program("s", PROGRAMS / "ecmp.p4", commands(tmp_path, lines))
    with lab_of(star(4), [program]) as lab:
        lab["h0"].cmd("ip neigh add 10.0.0.100 lladdr 02:00:00:00:00:64 dev eth0")
        for server in ("h1", "h2", "h3"):
            lab[server].cmd("ip addr add 10.0.0.100/32 dev lo")
        receivers = {}
        for server in ("h1", "h2", "h3"):
            receivers[server] = lab[server].socket(kind=socket.SOCK_DGRAM)
            receivers[server].bind(("10.0.0.100", 9000))
            receivers[server].setblocking(False)
        flows: dict[int, set[str]] = {}
        for flow in range(16):
            with lab["h0"].socket(kind=socket.SOCK_DGRAM) as sender:
                for _ in range(3):
                    sender.sendto(bytes([flow]), ("10.0.0.100", 9000))
        end = time.monotonic() + 10.0
        heard = 0
        while heard < 48 and time.monotonic() < end:
            for server, receiver in receivers.items():
                with suppress(BlockingIOError):
                    flows.setdefault(receiver.recv(16)[0], set()).add(server)
                    heard += 1
        for receiver in receivers.values():
            receiver.close()
        assert heard == 48
        assert all(len(servers) == 1 for servers in flows.values())
        assert len(set().union(*flows.values())) >= 2


def test_telemetry(lab_of: Callable[[Topology, list[Program]], Lab], tmp_path: Path) -> None:
    """Records of both switches arrive before the payload; told to, the last takes them off."""
    topology = Topology.dumbbell(left=1, right=1, **FAST)
    programs = []
    for number, switch in enumerate(topology.switches):
        ends = ports(topology, switch)
        neck = next(i for i, end in enumerate(ends) if end >= topology.hosts)
        lines = [f"table_set_default self identify {number + 1}"]
        for host in (0, 1):
            port = ends.index(host) if host in ends else neck
            lines.append(f"table_add destinations forward 10.0.0.{host + 1}&&&0xffffffff => "
                         f"{port} 0 1")  # fmt: skip
        programs.append(Program(switch, PROGRAMS / "telemetry.p4", commands(tmp_path, lines)))
    with lab_of(topology, programs) as lab:
        assert reaches(lab, "h0", "h1")
        assert lab.iperf("h0", "h1", seconds=1.0) > 10e6
        sent = bytes([0, 4]) + (7000).to_bytes(2, "big") + b"data"
        with lab["h1"].socket(kind=socket.SOCK_DGRAM) as receiver:
            receiver.bind((lab["h1"].ip, 5000))
            receiver.settimeout(5.0)
            with lab["h0"].socket(kind=socket.SOCK_DGRAM) as sender:
                sender.sendto(sent, receiver.getsockname())
            heard = receiver.recv(256)
            assert heard[:4] == bytes([2, 2]) + sent[2:4] and heard[44:] == b"data"
            switches = [int.from_bytes(heard[i : i + 4], "big") for i in (4, 24)]
            assert switches == [2, 1]  # the last one in front
            stamps = [int.from_bytes(heard[i + 12 : i + 18], "big") for i in (4, 24)]
            assert stamps[0] >= stamps[1] > 0
        last = topology.switches[1]
        port = ports(topology, last).index(1)
        lab.p4(last, "table_clear destinations",
               f"table_add destinations forward 10.0.0.2&&&0xffffffff => {port} 1 1")  # fmt: skip
        with lab["h1"].socket(kind=socket.SOCK_DGRAM) as receiver:
            receiver.bind((lab["h1"].ip, 7000))
            receiver.settimeout(5.0)
            with lab["h0"].socket(kind=socket.SOCK_DGRAM) as sender:
                sender.sendto(sent, (lab["h1"].ip, 5000))
            assert receiver.recv(256) == b"data"


@pytest.mark.parametrize("mtu", [1500, 9000])
def test_vxlan(lab_of: Callable[..., Lab], tmp_path: Path, mtu: int) -> None:
    """Hosts at two tunnel end points are in one network; another network's hosts are not."""
    topology = Topology.dumbbell(left=2, right=2, **FAST)
    networks = {0: 100, 1: 200, 2: 100, 3: 300}
    programs = []
    for number, switch in enumerate(topology.switches):
        ends = ports(topology, switch)
        neck = next(i for i, end in enumerate(ends) if end >= topology.hosts)
        lines = []
        for host, network in networks.items():
            if host in ends:
                lines.append(f"table_add ports network {ends.index(host)} => {network}")
                action = f"local {network} {mac(host)} => {ends.index(host)}"
            else:
                action = (
                    f"tunnel {network} {mac(host)} => {neck} 0x020000aa000{number} "
                    f"0x020000aa000{1 - number} 172.16.0.{number} 172.16.0.{1 - number}"
                )
            lines.append(f"table_add macs {action}")
        programs.append(Program(switch, PROGRAMS / "vxlan.p4", commands(tmp_path, lines)))
    with lab_of(topology, programs, mtu=mtu) as lab:
        for a, b in ((0, 2), (2, 0), (1, 3), (3, 1), (0, 1)):  # no host asks by itself
            lab[f"h{a}"].cmd(
                f"ip neigh add {lab[f'h{b}'].ip} lladdr 02:00:00:00:00:0{b + 1} dev eth0"
            )
        assert reaches(lab, "h0", "h2")
        # What a tunnel adds to the largest packet of a host finds room between the switches.
        with (
            lab["h2"].socket(kind=socket.SOCK_DGRAM) as receiver,
            lab["h0"].socket(kind=socket.SOCK_DGRAM) as sender,
        ):
            receiver.bind((lab["h2"].ip, 0))
            receiver.settimeout(20.0)
            sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
            sender.sendto(bytes(mtu - 28), receiver.getsockname())
            assert len(receiver.recv(mtu)) == mtu - 28
        assert lab.ping("h1", "h3", timeout=0.5) == [None]
        assert lab.ping("h0", "h1", timeout=0.5) == [None]
        assert lab.iperf("h0", "h2", seconds=1.0) > 10e6


@pytest.mark.parametrize("program", ["pruning/all.p4", "aggregation/allreduce.p4"])
def test_in_network_computing_routes_the_rest(
    lab_of: Callable[[Topology, list[Program]], Lab], tmp_path: Path, program: str
) -> None:
    """What is no query and no sum passes through switches that prune and add."""
    lines = [f"table_add routes forward 10.0.0.{h + 1}/32 => {h}" for h in range(2)]
    with lab_of(star(2), [Program("s", PROGRAMS / program, commands(tmp_path, lines))]) as lab:
        assert reaches(lab, "h0", "h1")
        assert lab.iperf("h0", "h1", seconds=1.0) > 10e6


def test_what_cannot_be_is_said_first(tmp_path: Path) -> None:
    router = Program("s", PROGRAMS / "router.p4")
    with pytest.raises(LabError, match="leave trains off"):
        Lab(star(2), programs=[router], trains=True)
    with pytest.raises(LabError, match="is a host, not a switch"):
        Lab(star(2), programs=[Program("h0", PROGRAMS / "router.p4")])
    with Lab(star(2), programs=[router]) as lab, pytest.raises(LabError, match="no P4 program"):
        lab.p4("h0", "table_clear ipv4_lpm")
