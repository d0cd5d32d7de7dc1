"""RoCE v2 through our own switches, moved by programs that know nothing of Weft (linux-rdma's
perftest): what the machines' RDMA devices and the fabric between them do, before Weft's datapath
has any part in it."""

from __future__ import annotations

from pathlib import Path

import rack
import roce
from perftest import perftest, rate
from rack import SPINES

from weft.emulation.lab import Host, Lab


def counters(host: Host) -> dict[str, int]:
    """Of the device itself: retries, packets out of sequence."""
    said = host.cmd("cd /sys/class/infiniband/rxe0/ports/1/hw_counters; grep -H . *")
    pairs = (line.split(":") for line in said.splitlines() if ":" in line)
    return {name: int(value) for name, value in pairs if value.strip().isdigit()}


def test_queue_pairs_are_paths_of_the_fabric(lab: Lab, tmp_path: Path) -> None:
    spread = roce.Spread(lab, "leaf0", SPINES)
    captures = {f"spine{spine}": tmp_path / f"{spine}.pcap" for spine in range(SPINES)}
    for spine, path in captures.items():
        lab.pcap(path, "leaf0", spine, snap=128)
    report = perftest(
        lab,
        "ib_write_bw",
        "h2",
        "h0",
        "-q",
        "16",
        "-m",
        "4096",
        "-s",
        "16384",
        "-n",
        "20",
        "-t",
        "8",
    )
    for path in captures.values():
        lab.end_pcap(path)
    assert rate(report) > 0
    sent = spread.packets()
    used = [spine for spine, count in sent.items() if count > 50]
    # 16 hashed flows leave two of four spines idle once in ten thousand times.
    assert len(used) >= SPINES - 1, sent
    flows = roce.by_flow(captures)
    assert len(flows) >= 16
    # Both directions of a flow have the same port, and each its own way: at most two places.
    assert all(len(places) <= 2 for places in flows.values()), flows
    writes = [
        p for path in captures.values() for p in roce.packets(path) if p.operation in range(6, 12)
    ]
    assert {p.service for p in writes} == {"RC"}
    assert sum(p.size > 4096 for p in writes) >= 16 * 20 * 4  # 16 KiB is four packets of 4096 bytes


def test_one_queue_pair_has_one_path(lab: Lab) -> None:
    spread = roce.Spread(lab, "leaf0", SPINES)
    perftest(lab, "ib_write_bw", "h2", "h0", "-s", "16384", "-n", "50", "-t", "16")
    sent = sorted(spread.packets().values())
    assert sent[-1] >= 200
    assert sent[-2] < 60, sent  # the handshake, over TCP


def test_the_device_resends_what_the_fabric_loses(lab: Lab) -> None:
    before = counters(lab["h2"])
    rack.every_link(lab, "loss", 0.01)
    perftest(lab, "ib_write_bw", "h2", "h0", "-q", "4", "-s", "16384", "-n", "100", "-t", "8")
    after = counters(lab["h2"])
    assert after["out_of_seq_request"] > before["out_of_seq_request"], after


def test_unreliable_queue_pairs_work_while_nothing_is_lost(lab: Lab) -> None:
    report = perftest(
        lab, "ib_send_bw", "h1", "h0", "-c", "UC", "-s", "4096", "-n", "200", "-t", "8", "-r", "256"
    )
    assert rate(report) > 0
