"""Whole scenarios through Python: against closed formulas, and one mode against the other."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from weft.emulation import (
    Event,
    Policy,
    Queues,
    Scenario,
    Topology,
    Transport,
    Workload,
    simulate,
    sweep,
)
from weft.emulation import workload as patterns
from weft.emulation.events import cues

EXAMPLES = Path(__file__).parents[2] / "examples" / "scenarios"
CALM = Transport(congestion=Policy("swift", {"initial_window": 48, "base_target_us": 20}))


def fabric() -> Topology:
    return Topology.leaf_spine(leaves=4, spines=4, hosts_per_leaf=4, rate="100Gbit/s", delay="1us")


def test_one_message_takes_delay_and_serialisation() -> None:
    work = Workload()
    work.add(0, 15, 4096)
    result = simulate(Scenario(fabric(), work, CALM))
    wire = 4096 + CALM.packet_overhead
    assert result.received[0] == pytest.approx(4 * (1e-6 + wire * 8 / 100e9), rel=1e-9)
    assert result.slowdown == pytest.approx(1.0)


def test_incast_is_bound_by_the_receivers_link() -> None:
    work = Workload()
    patterns.incast(work, range(16), 500_000)
    # Room for all that 15 senders may have under way, and patience for the time that it waits.
    patient = replace(CALM, rto_initial=5e-3, rto_min=5e-3)
    result = simulate(Scenario(fabric(), work, patient, Queues(capacity=4_000_000)))
    packets = -(-500_000 // 4096)
    bytes_in = 15 * (500_000 + packets * CALM.packet_overhead)
    assert result.load_bound == pytest.approx(bytes_in * 8 / 100e9, rel=1e-6)
    assert 1.0 <= result.end / result.load_bound < 1.25
    assert result.unfinished == 0


@pytest.mark.parametrize("algorithm", ["ring", "direct", "halving_doubling"])
def test_all_reduce_moves_what_the_formula_says(algorithm: str) -> None:
    """Every rank sends 2 (n - 1) / n of the buffer (Patarasuk and Yuan, 2009) in any order."""
    work = Workload()
    n, size = 16, 1_600_000
    patterns.collective(work, "all_reduce", algorithm, range(n), size)
    result = simulate(Scenario(fabric(), work, CALM))
    assert result.unfinished == 0
    assert sum(work.size) == pytest.approx(n * 2 * (n - 1) / n * size, rel=1e-3)
    assert result.transport["bytes_received"] == sum(work.size)
    assert result.end >= result.ideal_bound


def test_ring_all_reduce_runs_at_its_bound() -> None:
    work = Workload()
    patterns.collective(work, "all_reduce", "ring", range(16), 16_000_000)
    result = simulate(Scenario(fabric(), work, CALM))
    assert 1.0 <= result.slowdown < 1.05
    assert simulate(Scenario(fabric(), work, CALM, mode="flow")).end == pytest.approx(
        result.end, rel=0.1
    )


def test_training_patterns_keep_their_order() -> None:
    ddp = Workload()
    patterns.data_parallel(
        ddp,
        range(4),
        algorithm="ring",
        gradients=400_000,
        buckets=2,
        forward=1e-4,
        backward=2e-4,
        steps=2,
    )
    result = simulate(Scenario(fabric(), ddp, CALM))
    assert result.unfinished == 0
    assert result.end >= 2 * 3e-4  # computation alone; communication hides behind it only in part
    assert result.end < 2 * 3e-4 + 4 * 1e-4

    pipe = Workload()
    patterns.pipeline(
        pipe, range(4), activations=10_000, forward=1e-4, backward=2e-4, microbatches=3
    )
    result = simulate(Scenario(fabric(), pipe, CALM))
    # Fill and drain: (microbatches + stages - 1) steps each way, and a transfer per hand-over.
    assert result.end >= 6 * 3e-4
    assert result.end < 6 * 3e-4 + 6 * 2 * 2e-5

    experts = Workload()
    patterns.mixture_of_experts(
        experts, range(8), tokens=800_000, expert=1e-4, layers=2, skew=1.0, seed=1
    )
    result = simulate(Scenario(fabric(), experts, CALM))
    assert result.unfinished == 0
    assert result.end >= result.ideal_bound >= 2e-4


def test_a_transformers_step_moves_what_its_groups_reduce() -> None:
    """2 x 2 x 4 hosts: sums over all groups by the formula of the all_reduce, and what stages hand
    over; and no rank begins its last reduction before its stage's computations are done."""
    tensor, stages, replicas, layers, microbatches = 2, 2, 4, 3, 2
    activations, gradients, forward = 40_000, 160_000, 1e-5
    step = Workload()
    patterns.transformer(
        step, range(16), tensor=tensor, pipeline=stages, layers=layers, activations=activations,
        gradients=gradients, forward=forward, microbatches=microbatches, algorithm="ring",
    )  # fmt: skip

    def reduced(ranks: int, size: int) -> float:
        return ranks * 2 * (ranks - 1) / ranks * size

    tensor_groups = stages * replicas * microbatches * layers * 4
    handed = (stages - 1) * replicas * microbatches * 2 * tensor * activations
    expected = tensor_groups * reduced(tensor, activations) + handed
    expected += stages * tensor * layers * reduced(replicas, gradients)
    assert sum(step.size) == pytest.approx(expected, rel=1e-3)
    result = simulate(Scenario(fabric(), step, CALM))
    assert result.unfinished == 0
    # GPipe's fill and drain: a stage's layers for each microbatch and one more, forward and back.
    assert result.end > (microbatches + stages - 1) * layers * 3 * forward
    with pytest.raises(ValueError, match="16 hosts are no whole number of replicas of 3 x 2"):
        patterns.transformer(
            step, range(16), tensor=3, pipeline=2, layers=1, activations=1, gradients=1,
            forward=0.0, microbatches=1, algorithm="ring",
        )  # fmt: skip


def test_a_dead_link_is_survived_and_seen() -> None:
    work = Workload()
    patterns.permutation(work, range(16), 2_000_000, seed=2)
    events = [Event(at=20e-6, action="down", link=("leaf0", "spine0"), lasts=100e-6)]
    scenario = Scenario(
        fabric(), work, CALM, events=events, traced_connections=16, sample_interval=5e-6
    )
    result = simulate(scenario)
    assert result.unfinished == 0
    assert not result.failures
    assert result.dropped["link_down"] > 0
    assert result.transport["retransmitted"] > 0
    assert {event.kind for event in result.trace} >= {"chunk_lost"}
    assert result.sample_backlog.shape == (
        len(result.sample_times),
        2 * len(scenario.topology.ends),
    )
    healthy = simulate(Scenario(fabric(), work, CALM))
    assert healthy.end < result.end


def test_a_partition_ends_in_named_failures() -> None:
    work = Workload()
    work.add(0, 15, 50_000_000)
    events = [Event(at=1e-5, action="down", switch="leaf0")]
    result = simulate(Scenario(fabric(), work, CALM, events=events))
    assert result.unfinished == 1
    assert result.slowdown == float("inf")
    assert {result.failures[0][0], result.failures[0][1]} == {"h0", "h15"}
    assert result.failures[0][2] < 2.0
    assert result.evidence["stopped_by"] == "failures"


def test_runs_are_repeatable_also_side_by_side() -> None:
    work = Workload()
    patterns.all_to_all(work, range(16), 800_000)

    def scenario(seed: int) -> Scenario:
        return Scenario(fabric(), work, CALM, Queues(forwarding="spray"), seed=seed)

    alone = simulate(scenario(7))
    points = sweep([({"seed": seed}, scenario(seed)) for seed in (7, 8, 7, 8)], jobs=2)
    ends = [point.result.received for point in points]
    assert np.array_equal(ends[0], alone.received)
    assert np.array_equal(ends[0], ends[2])
    assert np.array_equal(ends[1], ends[3])
    assert not np.array_equal(ends[0], ends[1])


def test_link_loads_add_up() -> None:
    work = Workload()
    patterns.tornado(work, range(16), 1_000_000)
    result = simulate(Scenario(fabric(), work, CALM, Queues(forwarding="spray")))
    ends = result.scenario.topology.ends
    up = sum(result.port_bytes[2 * k] for k, (a, _) in enumerate(ends) if a < 16)
    packets = 16 * -(-1_000_000 // 4096)
    payload_and_headers = 16 * 1_000_000 + packets * CALM.packet_overhead
    assert payload_and_headers <= up < 1.05 * payload_and_headers  # and acknowledgements
    assert 0 < result.link_load.max() <= 1.0


def test_flow_mode_refuses_events_and_scales() -> None:
    work = Workload()
    patterns.permutation(work, range(16), 1_000_000, seed=1)
    events = [Event(at=0.0, action="down", link=("leaf0", "spine0"))]
    with pytest.raises(ValueError, match="flow mode knows no events"):
        simulate(Scenario(fabric(), work, mode="flow", events=events))
    large = Topology.leaf_spine(leaves=64, spines=32, hosts_per_leaf=32)
    work = Workload()
    patterns.permutation(work, range(large.hosts), 10_000_000, seed=1)
    result = simulate(Scenario(large, work, CALM, Queues(forwarding="spray"), mode="flow"))
    assert result.slowdown == pytest.approx(1.0, abs=0.01)


def test_a_host_in_two_planes_has_the_rate_of_both() -> None:
    work = Workload()
    work.add(0, 2, 20_000_000)
    planes = Topology.leaf_spine(leaves=2, spines=2, hosts_per_leaf=2, planes=2)
    wide = replace(CALM, paths=64, window=1024, congestion=Policy("swift", {"initial_window": 96}))
    result = simulate(Scenario(planes, work, wide))
    wire = 20_000_000 * (1 + CALM.packet_overhead / 4096) * 8
    assert result.ideal_bound == pytest.approx(wire / 200e9, rel=0.01)
    assert result.end < wire / 180e9  # one plane alone would take wire / 100e9


@pytest.mark.parametrize("pinning", ["source_route", "hash"])
def test_pinned_paths_balance_what_hashes_do_not(pinning: str) -> None:
    """Path p of every host of a leaf on spine p: no two flows meet, unlike with a hash."""

    def end_of(pinning: str) -> float:
        work = Workload()
        patterns.tornado(work, range(16), 2_000_000)
        options = replace(CALM, paths=4, pinning=pinning)
        return simulate(Scenario(fabric(), work, options)).slowdown

    assert end_of(pinning) < 1.1
    assert end_of(pinning) < end_of("none")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_yardstick_completes_when_the_field_says_it_does() -> None:
    """1,024 flows of 2 MB over 1,024 hosts, 128 paths: htsim's last flow ends at 206 us."""
    topology = Topology.fat_tree(
        pods=16, pod_tors=8, pod_aggregations=8, tor_down=8, rate="100Gbit/s", delay="1us"
    )
    work = Workload()
    patterns.permutation(work, range(topology.hosts), 2_000_000, seed=1)
    options = Transport(paths=128, overhead=46)
    result = simulate(Scenario(topology, work, options, Queues(forwarding="spray")))
    assert result.unfinished == 0
    assert result.transport["bytes_received"] == 1024 * 2_000_000
    assert result.end == pytest.approx(206e-6, rel=0.05)


@pytest.mark.parametrize(
    ("event", "kinds"),
    [
        (Event(at=1e-6, action="down", link=("h0", "leaf0")), 1),
        (Event(at=1e-6, action="down", link=("leaf0", "spine1"), lasts=1e-6), 2),
        (Event(at=0.0, action="flap", link=("leaf0", "spine1"), value="10us", lasts=4e-5), 8),
        (Event(at=0.0, action="rate", link=("spine1", "leaf0"), value="1Gbit/s", lasts=1e-3), 2),
        (Event(at=0.0, action="down", switch="spine2", lasts=1e-3), 2),
        (Event(at=0.0, action="pause", host="h3", lasts=1e-3), 2),
    ],
)
def test_faults_become_cues(event: Event, kinds: int) -> None:
    assert len(cues(event, fabric())) == kinds


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Event(at=0.0, action="down"), "exactly one of link, switch, host"),
        (Event(at=0.0, action="down", link=("leaf0", "leaf1")), "leaf0 and leaf1 are not joined"),
        (Event(at=0.0, action="rate", link=("leaf0", "spine0")), "'rate' needs a value"),
        (Event(at=0.0, action="loss", link=("leaf0", "spine0"), value=2), "lies in 0 .. 1, not 2"),
        (Event(at=0.0, action="flap", link=("leaf0", "spine0"), value=1e-5), "for how long"),
        (Event(at=0.0, action="pause", switch="leaf0"), "leaf0 cannot 'pause'"),
        (Event(at=0.0, action="down", switch="h1"), "'h1' is a host, not a switch"),
        (Event(at=0.0, action="pause", host="leaf0"), "'leaf0' is a switch, not a host"),
    ],
)
def test_impossible_faults_are_refused(event: Event, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        cues(event, fabric())


def test_a_rate_changed_in_one_direction_slows_only_that() -> None:
    def ends(direction: str) -> list[float]:
        work = Workload()
        work.add(0, 1, 1_000_000)
        work.add(1, 0, 1_000_000)
        slow = Event(0.0, "rate", link=("leaf0", "h1"), value="10Gbit/s", direction=direction)
        topology = Topology.leaf_spine(leaves=1, spines=1, hosts_per_leaf=2)
        patient = replace(CALM, rto_initial=5e-3, rto_min=5e-3)
        return list(simulate(Scenario(topology, work, patient, events=[slow])).received)

    to_h1, from_h1 = ends("forward"), ends("backward")
    assert to_h1[0] > 5 * to_h1[1]
    assert from_h1[1] > 5 * from_h1[0]


def test_a_trace_file_is_read_and_its_mistakes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("source,destination,size,id,after\n0,1,5000,a,\n1,2,6000,b,a\n")
    work = Workload()
    patterns.trace(work, path)
    assert work.after == [(), (0,)]
    result = simulate(Scenario(fabric(), work, CALM))
    assert result.started[1] == result.received[0]
    path.write_text("source,destination,size\n0,1,5000\n0,x,1\n")
    with pytest.raises(ValueError, match=r"trace\.csv:3: "):
        patterns.trace(Workload(), path)


@pytest.mark.parametrize(("up", "factor"), [(2, 1), (1, 2)])
def test_the_bound_knows_of_oversubscription_above_the_racks(up: int, factor: int) -> None:
    """Two pods of four hosts, four or two links between them and the core: all traffic crosses."""
    pods = Topology.fat_tree(
        pods=2, pod_tors=2, pod_aggregations=2, tor_down=2, aggregation_up=up, rate="100Gbit/s"
    )
    work = Workload()
    patterns.tornado(work, range(8), 1_000_000)
    options = replace(CALM, paths=64)
    result = simulate(Scenario(pods, work, options, Queues(forwarding="spray")))
    wire = 1_000_000 + -(-1_000_000 // 4096) * CALM.packet_overhead
    assert result.load_bound == pytest.approx(factor * wire * 8 / 100e9, rel=1e-6)
    assert result.end >= result.ideal_bound


@pytest.mark.parametrize("seed", range(6))
def test_no_run_ends_before_its_bound(seed: int) -> None:
    chance = random.Random(seed)
    shape = chance.choice(["leaf_spine", "fat_tree", "rail_optimised", "dumbbell", "torus"])
    topology: Topology = getattr(Topology, shape)()
    work = Workload()
    for _ in range(40):
        source, destination = chance.sample(range(topology.hosts), 2)
        after = [chance.randrange(len(work))] if len(work) and chance.random() < 0.3 else []
        size = chance.randrange(1, 300_000)
        work.add(source, destination, size, start=chance.random() * 1e-5, after=after)
    for mode in ("packet", "flow"):
        result = simulate(Scenario(topology, work, replace(CALM, paths=8), mode=mode))
        assert not result.unfinished
        slack = 1.0 if mode == "packet" else 0.99  # flows that end together end a little early
        assert result.end >= slack * result.ideal_bound


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_defaults_of_sockets_fill_four_links_both_ways(seed: int) -> None:
    """Nine tenths of the links' sum, of which headers take one in a hundred."""
    scenario = Scenario.load(EXAMPLES / "links.toml")
    result = simulate(replace(scenario, seed=seed))
    assert 1.0 <= result.slowdown < 1 / 0.9
    taking_turns = replace(scenario.transport, spread_bursts=False)
    assert simulate(replace(scenario, seed=seed, transport=taking_turns)).end > result.end
