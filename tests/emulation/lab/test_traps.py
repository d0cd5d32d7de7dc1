"""Each known trap of emulating networks with namespaces, and that the lab does not fall into it.

The number is that of the trap in our list of them: (1) unfinished checksums, (2) super-packets, (3)
the kernel's backlog, (4) shared tables of neighbours, (5) reverse-path filters and address
detection, (6) interfaces that do not come up, (7) a first packet that pays nothing, (8) shapers
that hide congestion, (9) names in use again, (10) what else must be written down. That switches do
not hash alike is in test_calibration.py.
"""

from __future__ import annotations

import ctypes
import dataclasses
import fcntl
import socket
import struct
import time
from pathlib import Path

import pytest

from weft.emulation import LinkSpec, Queues, Topology
from weft.emulation.lab import Lab
from weft.emulation.lab import calibration as measure
from weft.emulation.lab import fabric as process
from weft.emulation.lab.fidelity import Fidelity
from weft.emulation.lab.netlink import NEWLINK, Batch

UDP_SEGMENT = 103


def pair(every: str = "1Gbit/s", **link: object) -> Topology:
    cables = [LinkSpec(f"h{h}", "s0", every, "10us") for h in range(2)]
    topology = Topology.graph(2, ["s0"], cables)
    topology.set_link("h0", "s0", **link)
    return topology


def test_1_checksums_that_senders_left_unfinished_arrive_good(tmp_path: Path) -> None:
    """Forwarders over AF_PACKET lose CHECKSUM_PARTIAL and deliver nothing; captures show it."""
    with Lab(pair()) as lab, measure.datagrams(lab, "h0", "h1") as (sender, receiver):
        assert _leaves_checksums(sender)
        lab.pcap(tmp_path / "wire.pcap", "h0")
        measure.send(sender, 20, 700, 1000)
        assert len(measure.arrivals(receiver)) == 20
        lab.end_pcap(tmp_path / "wire.pcap")
        lines = lab["h1"].read("/proc/net/snmp").splitlines()
        udp = [line.split() for line in lines if "Udp:" in line]
        counters = dict(zip(udp[0][1:], udp[1][1:], strict=True))
        assert counters["InCsumErrors"] == "0"
    data, at, good = (tmp_path / "wire.pcap").read_bytes(), 24, 0
    while at < len(data):
        (kept,) = struct.unpack_from("=I", data, at + 8)
        frame = data[at + 16 : at + 16 + kept]
        at += 16 + kept
        if frame[12:14] == b"\x08\x00" and frame[23] == 17:
            segment = frame[34:] + bytes(len(frame[34:]) % 2)
            words = struct.unpack(f"!{len(segment) // 2}H", segment)
            pseudo = sum(struct.unpack("!4H", frame[26:34])) + 17 + len(frame[34:])
            total = sum(words) + pseudo
            while total >> 16:
                total = (total & 0xFFFF) + (total >> 16)
            assert total == 0xFFFF  # RFC 768
            good += 1
    assert good == 20


def _leaves_checksums(of_host: socket.socket) -> bool:
    """Whether eth0 in the socket's namespace offloads them (SIOCETHTOOL, ETHTOOL_GTXCSUM)."""
    value = ctypes.create_string_buffer(struct.pack("=II", 0x16, 0))
    fcntl.ioctl(of_host, 0x8946, struct.pack("16sP", b"eth0", ctypes.addressof(value)))
    return bool(struct.unpack("=II", value.raw[:8])[1])


def test_2_loss_takes_packets_and_not_super_packets(seed: int) -> None:
    """UDP_SEGMENT hands the kernel 30 packets as one; a link with loss must see 30."""
    share, trains, segments = 0.2, 40, 30
    with Lab(pair(loss=share), seed=seed) as lab:
        assert "gso_max_segs 1" in lab.fidelity().offloads
        with measure.datagrams(lab, "h0", "h1") as (sender, receiver):
            sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
            for _ in range(trains):
                sender.send(bytes(1000 * segments))
                time.sleep(0.002)
            lost = trains * segments - len(measure.arrivals(receiver))
        counted = lab.counts()["dropped_link_loss"]
    low, high = measure.binomial_bounds(trains * segments, share)
    assert low <= counted <= high and lost >= counted


def good() -> Fidelity:
    return Fidelity(
        fabric="f", seed=1, dilation=1, rootless=False, scheduling="", segmentation="exact",
        offloads="", kernel="", tcp_congestion="", elapsed=1, frames=1, late_p50=0, late_p99=0,
        late_max=0, ring_drops=0, softnet_drops=0, refused=0, socket_drops=0, fabric_cpu=0,
        cpu_idle=1,
    )  # fmt: skip


def test_3_drops_of_the_kernels_backlog_make_a_run_invalid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """netdev_max_backlog drops in silence, in the second column of softnet_stat, which is hex."""
    assert good().valid
    for counter in ("ring_drops", "softnet_drops", "refused"):
        bad = dataclasses.replace(good(), **{counter: 3})
        assert not bad.valid and "3 frames were dropped" in bad.faults[0]
    file = tmp_path / "softnet_stat"
    file.write_text("0000ffff 0000001f 0 0\n00000001 00000001 0 0\n")
    monkeypatch.setattr(process, "SOFTNET", file)
    assert process.softnet_drops() == 32
    with Lab(pair()) as lab:
        assert lab.fidelity().softnet_drops == 0
        file.write_text("0000ffff 00000020 0 0\n00000001 00000001 0 0\n")
        assert lab.fidelity().softnet_drops == 1 and not lab.fidelity().valid


def test_4_hosts_need_no_neighbours() -> None:
    """The kernel's table is one for all namespaces (gc_thresh3): a fabric must not fill it."""
    with Lab(Topology.leaf_spine(leaves=2, spines=2, hosts_per_leaf=4)) as lab:
        answers = lab.ping_all(timeout=5.0)
        assert len(answers) == 56
        known = lab["h0"].run("ip neigh show dev eth0 nud all").stdout.split("\n")
        assert not [line for line in known if "10.0.0." in line and "NOARP" not in line]


def test_5_addresses_work_at_once_and_replies_may_take_any_way() -> None:
    """IPv6's duplicate address detection would cost a second or two, rp_filter asymmetric paths."""
    with Lab(pair()) as lab:
        ours = lab["h0"].run("ip -6 addr show dev eth0 scope global").stdout
        assert "fd00::1" in ours and "tentative" not in ours
        for key in ("all", "eth0"):
            assert lab["h0"].read(f"/proc/sys/net/ipv4/conf/{key}/rp_filter").strip() == "0"


def test_6_both_ends_are_up_and_names_fit() -> None:
    """A veth peer cannot be created up, and an interface's name has 15 characters.

    One whose carrier came after it was switched on loses what it sends until the kernel has looked,
    up to a second later: the first packets of all hosts get through."""
    topology = Topology.leaf_spine(leaves=2, spines=1, hosts_per_leaf=60)
    with Lab(topology) as lab:
        first = [lab[f"h{host}"].socket(kind=socket.SOCK_DGRAM) for host in range(119)]
        with lab["h119"].socket(kind=socket.SOCK_DGRAM) as receiver:
            receiver.bind((lab["h119"].ip, 7000))
            receiver.settimeout(10)
            for sender in first:
                sender.sendto(b"first", (lab["h119"].ip, 7000))
            assert len({receiver.recvfrom(16)[1][0] for _ in first}) == 119
        for sender in first:
            sender.close()
        for host in ("h0", "h119"):
            shown = lab[host].run("ip -br link show eth0").stdout
            assert "LOWER_UP" in shown
    batch = Batch()
    batch.add(NEWLINK, b"\0" * 16, "something impossible", 0)
    with pytest.raises(OSError, match="something impossible"):
        batch.send()


def test_7_the_first_packet_pays_its_serialisation() -> None:
    """Token buckets let it through at once. 1466 bytes at 1 Mbit/s are 11.7 ms, twice."""
    size = 1400
    with Lab(pair("1Mbit/s")) as lab:
        took = measure.delays(lab, "h0", "h1", 1, 1.0, size=size)
    wire = (size + measure.HEADERS + measure.WIRE) * 8 / 1e6
    assert took[0] >= 2 * wire


@pytest.mark.parametrize("rate", [5e6, 100e6])
def test_8_congestion_builds_a_queue(rate: float) -> None:
    """A kernel that does everything in the sender's context slows the sender instead: no queue, no
    drop. Here the queue fills to its capacity, whatever the rate, and the excess is dropped."""
    capacity = 30_000  # half of one burst: a sender that must wait between two still fills it
    with Lab(pair(rate=rate), queues=Queues(capacity=capacity)) as lab:
        with measure.datagrams(lab, "h1", "h0") as (sender, receiver):
            sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1400)
            for _ in range(8):
                sender.send(bytes(1400 * 40))  # faster than a program that waits for its CPU
            measure.arrivals(receiver, quiet=0.3)
        stats = lab.port_stats()
        down = 1 if lab.topology.ends[0][0] == 0 else 0  # of h0's cable: towards h0
        peak, drops = stats["peak_backlog"][down], stats["drops"][down]
    assert capacity - 1500 <= peak <= capacity
    assert drops > 50


def test_9_a_lab_may_follow_a_lab() -> None:
    """Teardown goes on after close(): names must not be in the way of the next lab."""
    before = set(Path("/sys/class/net").iterdir())
    for _ in range(3):
        with Lab(pair(), addresses={"h0": "10.9.0.1/8", "h1": "10.9.0.2/8"}) as lab:
            assert lab.ping("h0", "h1", timeout=5.0) != [None]
    assert set(Path("/sys/class/net").iterdir()) <= before


def test_10_every_result_says_what_it_was_made_under(seed: int) -> None:
    with Lab(pair(), seed=seed, dilation=2.0) as lab:
        record = lab.fidelity().record()
    assert record["seed"] == seed and record["dilation"] == 2.0
    for key in ("fabric", "scheduling", "offloads", "kernel", "tcp_congestion", "segmentation"):
        assert record[key], key
    assert 0.0 <= record["cpu_idle"] <= 1.0
    for key in ("ring_drops", "softnet_drops", "socket_drops", "refused", "late_p50", "late_max"):
        assert record[key] >= 0, key
    assert record["valid"] is (record["faults"] == [])


def test_sockets_that_nobody_reads_are_evidence() -> None:
    with Lab(pair()) as lab, measure.datagrams(lab, "h0", "h1") as (sender, receiver):
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        measure.send(sender, 50, 1000, 10_000)
        end = time.monotonic() + 10
        while lab.fidelity().socket_drops == 0:
            assert time.monotonic() < end
            time.sleep(0.02)
