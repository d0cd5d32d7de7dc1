"""The fabric of kernel parts: what it does to packets, what it refuses, what it admits."""

from __future__ import annotations

import dataclasses
import math
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from weft.emulation import Event, LinkSpec, Queues, Scenario, ScenarioError, Topology
from weft.emulation.document import Document
from weft.emulation.lab import Lab, LabError, fabric, run
from weft.emulation.lab import calibration as measure
from weft.emulation.lab.kernel.fabric import hash_seed

UDP_SEGMENT = 103
privileged = pytest.mark.skipif(
    bool(fabric.missing_capabilities()), reason="eBPF needs privileges that this process lacks"
)


def pair(every: str = "100Mbit/s", **link: Any) -> Topology:
    cables = [LinkSpec(f"h{h}", "s0", every, 0.0) for h in range(2)]
    topology = Topology.graph(2, ["s0"], cables)
    if link:
        topology.set_link("h0", "s0", **link)
    return topology


@contextmanager
def kernel(topology: Topology, **options: Any) -> Iterator[Lab]:
    with Lab(topology, fabric="kernel", **options) as lab:
        yield lab


@pytest.mark.parametrize("rootless", [None, True], ids=["privileged", "rootless"])
def test_all_reach_all_over_both_families(rootless: bool | None) -> None:
    """Without ECN and losses no program is needed, and so no privilege."""
    topology = Topology.leaf_spine(leaves=2, spines=2, hosts_per_leaf=2, rate="100Mbit/s", delay=0)
    with kernel(topology, rootless=rootless) as lab:
        assert None not in lab.ping_all(timeout=5.0).values()
        with (
            lab["h3"].socket(socket.AF_INET6, socket.SOCK_DGRAM) as receiver,
            lab["h0"].socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender,
        ):
            receiver.bind((lab["h3"].ipv6, 0))
            receiver.settimeout(10)
            sender.sendto(b"six", receiver.getsockname()[:2])
            assert receiver.recv(16) == b"six"
        evidence = lab.fidelity()
        assert evidence.fabric.startswith("kernel") and evidence.frames >= 24
        assert (evidence.cpu_idle < 0.05) == (not evidence.valid)


def test_rate() -> None:
    """At 20 Mbit/s, where the queue is drained by a timer and not by the sender."""
    with kernel(pair(rate="20Mbit/s"), queues=Queues(capacity=60_000)) as lab:
        got = measure.rate(lab, "h1", "h0", 40e6, seconds=1.0)
        assert sum(lab.port_stats()["drops"]) > 0  # trap 8: the queue filled, and nobody waited
    assert abs(got / 20e6 - 1) <= 0.03


@privileged
def test_loss_within_binomial_bounds() -> None:
    count, share = 5000, 0.02
    with kernel(pair(loss=share)) as lab:
        lost = measure.lost(lab, "h1", "h0", count, per_second=5000)
        counted = lab.counts()["dropped_link_loss"]
    low, high = measure.binomial_bounds(count, share)
    assert low <= lost <= high and counted >= lost


@privileged
def test_marks_begin_at_the_depth_that_was_set() -> None:
    depth, wire = 8, 1000 + measure.HEADERS + measure.WIRE
    queues = Queues(ecn_min=depth * wire, ecn_max=depth * wire)
    with kernel(pair(rate="2Mbit/s"), queues=queues) as lab:
        first = measure.first_marked(lab, "h1", "h0", 4 * depth)
        marks = lab.port_stats()["marks"]
    # The program cannot tell the packet that is being sent from those that wait: one sooner.
    assert first is not None and depth <= first <= depth + 4
    assert sum(marks) > 0


@privileged
def test_full_queues_trim_udp_and_drop_the_rest() -> None:
    queues = Queues(capacity=8000, trimming=True)
    with kernel(pair(rate="2Mbit/s"), queues=queues) as lab:
        with measure.datagrams(lab, "h1", "h0") as (sender, receiver):
            for number in range(30):
                sender.send(number.to_bytes(4, "big") + bytes(996))
            receiver.settimeout(2.0)
            sizes = [len(receiver.recv(2048)) for _ in range(30)]
        trims = sum(lab.port_stats()["trims"])
        assert sizes.count(128 - 42) == trims > 10
        assert set(sizes) == {1000, 128 - 42}
        lines = [line.split() for line in lab["h0"].read("/proc/net/snmp").splitlines()]
        names, values = [line for line in lines if line[0] == "Udp:"]
        assert dict(zip(names, values, strict=True))["InCsumErrors"] == "0"


@privileged
def test_links_fail_and_heal() -> None:
    with kernel(pair()) as lab:
        assert lab.ping("h0", "h1", timeout=5.0) != [None]
        lab.link_down("h0", "s0")
        assert lab.ping("h0", "h1", timeout=0.3) == [None]
        lab.link_up("h0", "s0")
        assert lab.ping("h0", "h1", timeout=5.0) != [None]
        lab.play(Event(at=0.0, action="loss", link=("h0", "s0"), value=1.0))
        assert lab.ping("h0", "h1", timeout=0.3) == [None]
        lab.play(Event(at=0.2, action="loss", link=("h0", "s0"), value=0.0))
        end = time.monotonic() + 10
        while lab.ping("h0", "h1", timeout=0.1) == [None]:
            assert time.monotonic() < end
        with pytest.raises(LabError, match="no link_delay"):
            lab.play(Event(at=0.0, action="delay", link=("h0", "s0"), value=1e-3))


def test_rates_change_while_it_runs() -> None:
    with kernel(pair(rate="20Mbit/s"), queues=Queues(capacity=60_000)) as lab:
        lab.play(Event(at=0.0, action="rate", link=("h0", "s0"), value=5e6))
        got = measure.rate(lab, "h1", "h0", 20e6, seconds=0.8)
    assert abs(got / 5e6 - 1) <= 0.03


def test_switches_do_not_hash_alike(seed: int) -> None:
    """All namespaces share one hash seed unless told otherwise: of 64 flows at one aggregation
    switch, both ways up must get some."""
    topology = Topology.fat_tree(
        pods=2, pod_tors=1, pod_aggregations=2, tor_down=1, tor_up=2, aggregation_up=2,
        rate="100Mbit/s", delay=0,
    )  # fmt: skip
    with kernel(topology, seed=seed) as lab:
        for port in range(64):
            with lab["h0"].socket(kind=socket.SOCK_DGRAM) as sender:
                sender.bind((lab["h0"].ip, 21_000 + port))
                sender.sendto(b"x", (lab["h1"].ip, 9))
        lab.ping("h0", "h1", timeout=5.0)
        packets = lab.port_stats()["packets"]
    for aggregation in ("agg0.0", "agg0.1"):
        node = topology.node(aggregation)
        up = [
            packets[2 * link + ends.index(node)]
            for link, ends in enumerate(topology.ends)
            if node in ends and any(topology.node_name(end).startswith("core") for end in ends)
        ]
        assert len(up) == 2 and min(up) >= sum(up) / 10, (aggregation, up)
    assert len({hash_seed(seed, node) for node in range(100)}) == 100


SCENARIO = """
name = "no delay"
[fabric]
kind = "dumbbell"
left = 1
right = 1
rate = "20Mbit/s"
delay = "0us"
[[workload]]
pattern = "permutation"
size = "100kB"
[transport]
paths = 4
congestion = { name = "swift", base_target_us = 20000 }
peer_timeout = "5s"
[run]
limit = "20s"
[lab]
fabric = "kernel"
"""


def test_a_scenario_asks_for_it() -> None:
    outcome = run(Scenario.of(Document.parse(SCENARIO)))
    assert outcome.errors == [] and outcome.result.unfinished == 0
    assert outcome.fidelity.fabric.startswith("kernel")
    assert outcome.result.end >= 0.95 * outcome.result.ideal_bound


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('delay = "0us"', 'delay = "5us"'), r"no delay: the kernel fabric cannot .* has a delay"),
        (('delay = "0us"', 'delay = "0us"\nforwarding = "spray"'), "forwarding is 'spray'"),
        (('fabric = "kernel"', 'fabric = "kernel"\ntrains = true'), "trains cross whole"),
        (("[[workload]]", "[fabric.queue]\necn_min = 1000\necn_max = 2000\n[[workload]]"),
         "with a probability"),
    ],
)  # fmt: skip
def test_what_kernels_cannot_do_is_refused_before_anything_runs(
    change: tuple[str, str], said: str
) -> None:
    with pytest.raises(LabError, match=said):
        run(Scenario.of(Document.parse(SCENARIO.replace(*change))))


def test_mistakes_name_line_and_key() -> None:
    with pytest.raises(ScenarioError, match=r"scenario:\d+: lab.fabric: 'netem' is not known"):
        Scenario.of(Document.parse(SCENARIO.replace('"kernel"', '"netem"')))
    with pytest.raises(LabError, match="fabric must be one of weft, kernel"):
        Lab(pair(), fabric="ovs")


@pytest.mark.skipif(not fabric.missing_capabilities(), reason="this process may load programs")
def test_losses_need_a_capability_that_is_named() -> None:
    with pytest.raises(LabError, match="CAP_BPF for losses"), kernel(pair(loss=0.1)):
        pass


def test_rootless_losses_need_a_capability_that_is_named() -> None:
    with (
        pytest.raises(LabError, match="CAP_BPF for losses"),
        kernel(pair(loss=0.1), rootless=True),
    ):
        pass


def test_it_admits_what_it_cannot_know() -> None:
    with kernel(pair("1Gbit/s")) as lab:
        evidence = lab.fidelity()
    busy = dataclasses.replace(evidence, cpu_idle=0.01, hidden_congestion=False)
    assert "1 % idle" in busy.faults[0]
    fast = dataclasses.replace(evidence, cpu_idle=1.0, hidden_congestion=True)
    assert "hide congestion" in fast.faults[0]
    assert not math.isnan(evidence.cpu_idle)
    with kernel(pair()) as lab, pytest.raises(LabError, match="records nothing"):
        lab.pcap("/nonexistent/file", "h0")
