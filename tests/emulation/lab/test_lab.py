"""Labs come up, carry what the model says, and leave nothing behind."""

from __future__ import annotations

import math
import os
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from weft.emulation import Event, LinkSpec, Queues, Topology
from weft.emulation.lab import FabricDied, Lab, LabError, clean, fabric, reaper

SMALL = {"leaves": 2, "spines": 2, "hosts_per_leaf": 2, "rate": "1Gbit/s", "delay": "100us"}
IP_RECVTOS, IP_MTU_DISCOVER, PMTUDISC_DO = 13, 10, 2


@pytest.fixture(scope="module", params=[None, True], ids=["privileged", "rootless"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A leaf-spine that several tests share: none may change it for good."""
    if request.param is None and fabric.missing_capabilities():
        pytest.skip(f"this process lacks {', '.join(fabric.missing_capabilities())}")
    with Lab(Topology.leaf_spine(**SMALL), rootless=request.param, name="shared") as made:
        yield made


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return true()


def datagrams(lab: Lab, a: str = "h0", b: str = "h3") -> tuple[socket.socket, socket.socket]:
    """A UDP socket on each host, connected from the first to the second."""
    receiver = lab[b].socket(kind=socket.SOCK_DGRAM)
    receiver.bind((lab[b].ip, 0))
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    receiver.settimeout(5.0)
    sender = lab[a].socket(kind=socket.SOCK_DGRAM)
    sender.connect(receiver.getsockname())
    return sender, receiver


def received(receiver: socket.socket, quiet: float = 0.5) -> list[bytes]:
    """All datagrams until none comes for a while."""
    receiver.settimeout(quiet)
    got = []
    with suppress(TimeoutError):
        while True:
            got.append(receiver.recv(65536))
    return got


def udp_errors(lab: Lab, host: str, name: str) -> int:
    lines = lab[host].read("/proc/net/snmp").splitlines()
    udp = [line.split()[1:] for line in lines if line.startswith("Udp:")]
    return int(dict(zip(*udp, strict=True))[name])


def pair(**link: object) -> Topology:
    """Two hosts on one switch; `link` are the parameters of h0's cable."""
    topology = Topology.graph(
        2, ["s0"], [LinkSpec(f"h{h}", "s0", "1Gbit/s", "10us") for h in range(2)]
    )
    topology.set_link("h0", "s0", **link)
    return topology


# --- What it is


def test_programs_run_in_their_host(lab: Lab) -> None:
    assert lab["h0"].cmd("echo $WEFT_LAB_HOST").strip() == "h0"
    addresses = lab["h1"].run("ip -br -4 addr show eth0").stdout.split()
    assert addresses[0].startswith("eth0") and addresses[2] == "10.0.0.2/8"
    process = lab["h2"].popen(["sh", "-c", "exit 7"])
    assert process.wait(timeout=20) == 7
    assert list(lab) == ["h0", "h1", "h2", "h3"] and "h3" in lab and "h4" not in lab


def test_all_reach_all_and_never_sooner_than_light(lab: Lab) -> None:
    assert wait_until(lambda: None not in lab.ping_all(timeout=5.0).values())
    answers = lab.ping("h0", "h3", count=20, interval=0.005, timeout=5.0)
    times = [t for t in answers if t is not None]
    assert times and min(times) >= 8 * 100e-6  # four links of 100 us, there and back
    near = [t for t in lab.ping("h0", "h1", count=20, interval=0.005) if t is not None]
    assert near and min(near) >= 4 * 100e-6


def test_ipv6_and_tcp(lab: Lab) -> None:
    with lab["h3"].socket(socket.AF_INET6) as listener:
        listener.bind((lab["h3"].ipv6, 0))
        listener.listen()
        with lab["h0"].socket(socket.AF_INET6) as sender:
            sender.settimeout(20)
            listener.settimeout(20)
            sender.connect(listener.getsockname()[:2])
            receiver, _ = listener.accept()
            with receiver:
                message = os.urandom(300_000)
                receiver.settimeout(20)
                sender.sendall(message[:100_000])
                got = bytearray()
                while len(got) < 100_000:
                    got += receiver.recv(65536)
                assert bytes(got) == message[:100_000]


def test_who_asks_for_an_address_is_answered(lab: Lab) -> None:
    """With ARP switched on, as a virtual machine on the fabric would have it."""
    lab["h1"].run("ip link set eth0 arp on")
    try:
        times = lab.ping("h1", "h2", count=3, timeout=5.0)
        assert any(t is not None for t in times)
        assert lab["h2"].address.mac in lab["h1"].run("ip neigh show 10.0.0.3").stdout
    finally:
        lab["h1"].run("ip link set eth0 arp off")


def test_links_fail_and_heal(lab: Lab) -> None:
    lab.link_down("h0", "leaf0")
    assert lab.ping("h0", "h1", timeout=0.3) == [None]
    lab.link_up("h0", "leaf0")
    assert wait_until(lambda: lab.ping("h0", "h1") != [None])
    lab.play(Event(at=0.0, action="down", link=("h0", "leaf0"), lasts=1.0))
    assert wait_until(lambda: lab.ping("h0", "h1", timeout=0.1) == [None])
    assert wait_until(lambda: lab.ping("h0", "h1") != [None])


def test_tcp_runs_at_no_more_than_the_link_rate(lab: Lab) -> None:
    rate = lab.iperf("h0", "h2", seconds=1.0)
    assert 1e6 < rate < 1e9
    evidence = lab.fidelity()
    assert evidence.frames > 100 and evidence.record()["valid"] == (not evidence.faults)
    assert evidence.late_p50 <= evidence.late_p99 <= evidence.late_max


def test_captures_are_pcap(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "leaf0.pcap"
    lab.pcap(path, "h0")
    assert wait_until(lambda: lab.ping("h0", "h1") != [None])
    lab.end_pcap(path)
    data = path.read_bytes()
    magic, major, minor = struct.unpack_from("=IHH", data)
    assert (magic, major, minor) == (0xA1B23C4D, 2, 4)
    at, kinds = 24, []
    while at < len(data):
        seconds, nanos, kept, length = struct.unpack_from("=IIII", data, at)
        frame = data[at + 16 : at + 16 + kept]
        assert kept == length and abs(seconds + nanos * 1e-9 - time.time()) < 300
        if frame[12:14] == b"\x08\x00":
            header = struct.unpack("!10H", frame[14:34])
            total = sum(header)
            assert (total & 0xFFFF) + (total >> 16) == 0xFFFF  # RFC 1071
            kinds.append(frame[34])
        at += 16 + kept
    assert at == len(data) and 8 in kinds and 0 in kinds  # echo and its reply


# --- What the model does to packets


def test_loss_is_as_asked(seed: int) -> None:
    count, share = 4000, 0.1
    with Lab(pair(loss=share), seed=seed) as lab:
        sender, receiver = datagrams(lab, "h0", "h1")
        for number in range(count):
            sender.send(struct.pack("!I", number))
            if number % 50 == 49:
                time.sleep(0.001)
        got = len(received(receiver))
        counts = lab.counts()
    outside = counts["ring_drops"] + counts["refused"]
    assert counts["dropped_link_loss"] == counts["frames_in"] - got - counts["strangers"] or outside
    deviation = math.sqrt(count * share * (1 - share))
    assert abs(counts["dropped_link_loss"] - count * share) < 5 * deviation + outside


def test_duplication_and_corruption() -> None:
    topology = pair(duplication=1.0)
    with Lab(topology) as lab:
        sender, receiver = datagrams(lab, "h0", "h1")
        sender.send(b"once")
        assert received(receiver) == [b"once", b"once"]
    with Lab(pair(corruption=1.0)) as lab:
        sender, receiver = datagrams(lab, "h0", "h1")
        sender.send(bytes(500))
        assert received(receiver) == []
        assert udp_errors(lab, "h1", "InCsumErrors") == 1


def test_jitter_lets_packets_overtake_and_loses_none() -> None:
    with Lab(pair(jitter="2ms", delay="1ms")) as lab:
        sender, receiver = datagrams(lab, "h0", "h1")
        for number in range(200):
            sender.send(struct.pack("!I", number))
            time.sleep(0.0002)
        numbers = [struct.unpack("!I", data)[0] for data in received(receiver)]
        outside = lab.counts()["ring_drops"] + lab.counts()["refused"]
    assert sorted(numbers) == list(range(200)) or outside
    assert numbers != sorted(numbers)


def test_more_frames_are_under_way_than_the_ring_has_places() -> None:
    """A frame stays in the ring (1,024 places) until it leaves, unless others need its place."""
    sent = {struct.pack("!I", number) * 250 for number in range(3000)}
    with Lab(pair(delay="500ms", jitter="50ms")) as lab:
        sender, receiver = datagrams(lab, "h0", "h1")
        for number, data in enumerate(sent):
            sender.send(data)
            if number % 50 == 49:
                time.sleep(0.002)
        got = received(receiver, quiet=1.5)
        outside = lab.counts()["ring_drops"] + lab.counts()["refused"]
        outside += udp_errors(lab, "h1", "RcvbufErrors")
    assert len(got) == len(set(got)) == len(sent) - outside
    assert set(got) <= sent


def burst(lab: Lab, count: int, tos: int = 2) -> list[tuple[bytes, int]]:
    """Sends at once more than the slow link behind the switch takes; payloads and TOS bytes."""
    sender, receiver = datagrams(lab, "h0", "h1")
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
    receiver.setsockopt(socket.IPPROTO_IP, IP_RECVTOS, 1)
    for number in range(count):
        sender.send(struct.pack("!I", number) + bytes(996))
    receiver.settimeout(1.0)
    got = []
    with suppress(TimeoutError):
        while True:
            data, control, _, _ = receiver.recvmsg(2048, 64)
            got.append((data, control[0][2][0] & 3))
    return got


def bottleneck() -> Topology:
    topology = pair()
    topology.set_link("h1", "s0", rate="10Mbit/s")
    return topology


def test_congestion_is_marked_from_the_depth_that_was_set() -> None:
    """1066 bytes a packet on the wire; one is being sent, so packet k finds k - 1 waiting."""
    with Lab(bottleneck(), queues=Queues(ecn_min=5000, ecn_max=5000)) as lab:
        got = burst(lab, 20)
        marks = lab.port_stats()["marks"]
    assert len(got) == 20
    assert sum(marks) == sum(tos == 3 for _, tos in got)
    unmarked = [struct.unpack_from("!I", data)[0] for data, tos in got if tos != 3]
    assert set(range(5)) <= set(unmarked)  # four waiting ones are 4264 bytes
    assert 5 <= sum(marks) <= 14
    with Lab(bottleneck(), queues=Queues(ecn_min=5000, ecn_max=5000)) as lab:
        assert all(tos == 0 for _, tos in burst(lab, 20, tos=0))


def test_full_queues_trim() -> None:
    with Lab(bottleneck(), queues=Queues(capacity=5000, trimming=True)) as lab:
        got = [data for data, _ in burst(lab, 20)]
        trims = sum(lab.port_stats()["trims"])
    short = [data for data in got if len(data) == 128 - 42]
    assert len(got) == 20 and len(short) == trims > 5
    assert sorted(struct.unpack_from("!I", data)[0] for data in got) == list(range(20))


def test_flows_take_the_way_that_the_hash_says(seed: int) -> None:
    """Equal seeds, equal ways; every flow keeps to one spine; all spines are used."""

    def ways(seed: int) -> list[list[int]]:
        with Lab(Topology.leaf_spine(**{**SMALL, "spines": 4}), seed=seed) as lab:
            before = lab.port_stats()["packets"]
            used = []
            uplinks = [2 * lab.topology.links_between("leaf0", f"spine{s}")[0] for s in range(4)]
            for port in range(20_000, 20_024):
                with lab["h0"].socket(kind=socket.SOCK_DGRAM) as sender:
                    sender.bind((lab["h0"].ip, port))
                    for _ in range(3):
                        sender.sendto(b"x", (lab["h2"].ip, 9))
                    total = sum(before[up] for up in uplinks) + 3
                    assert wait_until(
                        lambda total=total: (
                            sum(lab.port_stats()["packets"][u] for u in uplinks) >= total
                        )
                    )
                after = lab.port_stats()["packets"]
                used.append([after[up] - before[up] for up in uplinks])
                before = after
            return used

    first = ways(seed)
    assert all(sorted(way) == [0, 0, 0, 3] for way in first)
    assert all(any(way[spine] for way in first) for spine in range(4))
    assert ways(seed) == first
    assert ways(seed + 1) != first


def test_jumbo_frames() -> None:
    with Lab(pair(), mtu=9000) as lab:
        sender, receiver = datagrams(lab, "h0", "h1")
        sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DO)
        sender.send(bytes(8972))
        assert receiver.recv(65536) == bytes(8972)
        with pytest.raises(OSError, match="Message too long"):
            sender.send(bytes(8973))


def test_trains_cross_whole() -> None:
    """UDP_SEGMENT: one system call, one train in the fabric, many datagrams at the receiver."""
    udp_segment = 103
    for trains, frames in ((True, 1), (False, 30)):
        with Lab(pair(), trains=trains) as lab:
            sender, receiver = datagrams(lab, "h0", "h1")
            sender.setsockopt(socket.IPPROTO_UDP, udp_segment, 1000)
            before = lab.counts()["frames_out"]
            sender.send(bytes(30_000))
            assert [len(data) for data in received(receiver)] == [1000] * 30
            assert lab.counts()["frames_out"] - before == frames
            sent = lab.port_stats()["bytes"][0]
            assert 30 * 1066 <= sent <= 30 * 1066 + 2000  # headers of every packet are accounted


def test_dilation_slows_everything() -> None:
    topology = Topology.leaf_spine(**{**SMALL, "delay": "1ms"})
    with Lab(topology, dilation=10) as lab:
        answers = [t for t in lab.ping("h0", "h2", count=3, timeout=5.0) if t is not None]
        assert answers and min(answers) >= 80e-3


# --- Bad input


def test_mistakes_are_named_before_anything_runs() -> None:
    topology = Topology.leaf_spine(**SMALL)
    with pytest.raises(LabError, match=r"h0 and h2 both have 10\.0\.0\.3"):
        Lab(topology, addresses={"h0": "10.0.0.3/8"})
    with pytest.raises(LabError, match=r"address of h1: .*300"):
        Lab(topology, addresses={"h1": "10.0.0.300/8"})
    with pytest.raises(LabError, match="there is no node 'h9'"):
        Lab(topology, addresses={"h9": "10.0.0.9/8"})
    with pytest.raises(LabError, match=r"mtu must lie in 576 \.\. 9000, not 90000"):
        Lab(topology, mtu=90_000)
    with pytest.raises(LabError, match="dilation"):
        Lab(topology, dilation=0)
    with pytest.raises(LabError, match="h0 and h2 are not joined"):
        Lab(topology, events=[Event(at=0, action="down", link=("h0", "h2"))])
    with pytest.raises(LabError, match="not running"):
        Lab(topology)["h0"].cmd("true")
    with pytest.raises(ValueError, match="given twice"):
        Topology.graph(1, ["s0", "s0"], [])


def test_mistakes_in_a_running_lab(lab: Lab) -> None:
    with pytest.raises(LabError, match="there is no node 'h7'"):
        lab["h7"]
    with pytest.raises(LabError, match="'leaf0' is a switch"):
        lab["leaf0"]
    with pytest.raises(LabError, match="not joined"):
        lab.link_down("h0", "spine0")
    with pytest.raises(LabError, match="started already"):
        lab.start()
    with pytest.raises(LabError, match=r"h0: `sh -c 'exit 3'` ended with exit code 3"):
        lab["h0"].run(["sh", "-c", "exit 3"])
    with pytest.raises(LabError, match="no-such-program"):
        lab["h0"].run("no-such-program")


def test_a_program_that_never_ends_is_ended(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"h0: `sleep 1000` did not end within 0.3 s"):
        lab["h0"].run("sleep 1000", timeout=0.3)
    assert wait_until(lambda: not reaper.processes(set(lab.fabric.facts["inodes"])))


def test_who_may_not_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fabric, "missing_capabilities", lambda: ["CAP_SYS_ADMIN"])
    with (
        pytest.raises(LabError, match="needs CAP_SYS_ADMIN, which this process lacks"),
        Lab(pair(), rootless=False),
    ):
        pass
    # A user namespace in which no further one may be made stands for a kernel that refuses them.
    program = """
        from pathlib import Path
        from weft.emulation import Topology
        from weft.emulation.lab import Lab, LabError
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
        try:
            Lab(Topology.dumbbell(left=1, right=1), rootless=True, name="narrow").start()
        except LabError as error:
            print(error)
    """
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "narrow: user namespaces are refused here" in done.stdout, done.stderr
    assert "user.max_user_namespaces" in done.stdout and "CAP_NET_ADMIN" in done.stdout


# --- Faults


def test_a_killed_fabric_is_reported_at_once() -> None:
    with Lab(pair(), name="mortal") as lab:
        process = lab["h0"].popen("sleep 1000")
        inodes, mark = set(lab.fabric.facts["inodes"]), lab.fabric.mark
        assert wait_until(lambda: bool(reaper.processes(inodes)))
        os.kill(lab.fabric.process.pid, signal.SIGKILL)
        began = time.monotonic()
        with pytest.raises(FabricDied, match=r"mortal: the fabric process has died \(signal 9\)"):
            lab.ping("h0", "h1")
        with pytest.raises(FabricDied, match="mortal"):
            lab["h0"].cmd("true")
        assert time.monotonic() - began < 2
    assert process.wait(timeout=10) == -signal.SIGKILL
    assert not clean.orphans(mark)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_the_program_dies(how: signal.Signals) -> None:
    program = """
        import signal
        import time
        from weft.emulation import Topology
        from weft.emulation.lab import Lab
        # A shell starts its background jobs with SIGINT ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with Lab(Topology.dumbbell(left=1, right=1)) as lab:
            lab["h0"].popen("sh -c 'sleep 1000 & sleep 1000'", start_new_session=True)
            print(lab.fabric.process.pid, *lab.fabric.facts["inodes"], flush=True)
            time.sleep(1000)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as victim:  # fmt: skip
        assert victim.stdout is not None
        fabric_pid, *inodes = map(int, victim.stdout.readline().split())
        assert wait_until(lambda: len(reaper.processes(set(inodes))) >= 2)
        mark = clean.mark(fabric_pid)
        victim.send_signal(how)
        victim.wait(timeout=30)
    assert wait_until(lambda: not clean.orphans(mark))
    assert wait_until(lambda: not Path(f"/proc/{fabric_pid}/stat").exists())


def test_labs_side_by_side_do_not_meet() -> None:
    with Lab(pair(), name="one") as one, Lab(pair(), name="two") as two:
        two.link_down("h0", "s0")
        assert wait_until(lambda: one.ping("h0", "h1") != [None])
        assert two.ping("h0", "h1", timeout=0.3) == [None]
        one["h0"].popen("sleep 1000")
        mark = one.fabric.mark
        process = two["h0"].popen("sleep 1000")
        one.stop()
        assert process.poll() is None and not clean.orphans(mark)
