"""The flow planner at work in the simulator: where it puts bytes, they go, and balance is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import weft._native._core as _core
from weft.emulation import Event, Policy, Queues, Scenario, Topology, Transport, Workload, simulate
from weft.emulation import workload as patterns

CALM = Transport(
    paths=16, pinning="source_route", congestion=Policy("swift", {"initial_window": 64})
)


def fabric(spines: int = 4) -> Topology:
    return Topology.leaf_spine(leaves=4, spines=spines, hosts_per_leaf=4)


def planned(topology: Topology, work: Workload, strategy: str, **options: object) -> object:
    chosen = {"minimum_piece": 1, "seed": 1, "failed_links": [], **options}
    return _core.simulator.plan_messages(topology.native, work.native(), strategy, **chosen)


def uplinks(topology: Topology) -> list[int]:
    """Ports from leaves to spines and back."""
    links = [i for i in range(len(topology.ends)) if topology.tier_of_link(i) == 1]
    return [2 * link + side for link in links for side in (0, 1)]


def all_to_all(hosts: int, size: int) -> Workload:
    work = Workload()
    patterns.all_to_all(work, range(hosts), size * hosts)
    return work


@pytest.mark.parametrize("spines", [3, 4, 6])
@pytest.mark.parametrize("strategy", ["ethereal", "wrap_around"])
def test_planned_congestion_equals_ideal_spraying(spines: int, strategy: str) -> None:
    """Ethereal's theorem: pinned flows with a few splits load no link more than perfect spray."""
    topology, work = fabric(spines), all_to_all(16, 120_000)
    spray = planned(topology, work, "spray")
    made = planned(topology, work, strategy)
    ports = uplinks(topology)
    assert made.port_bytes[ports].max() == pytest.approx(spray.port_bytes[ports].max(), rel=1e-3)
    assert made.pieces < spray.pieces
    assert made.ratio == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("pinning", ["source_route", "hash"])
@pytest.mark.parametrize("strategy", ["whole", "ethereal", "wrap_around", "spray"])
def test_bytes_go_where_the_plan_puts_them(strategy: str, pinning: str) -> None:
    topology, work = fabric(3), all_to_all(16, 60_000)
    options = replace(CALM, plan=strategy, pinning=pinning, burst=4096)
    result = simulate(Scenario(topology, work, options, Queues(capacity=4_000_000), seed=7))
    assert not result.unfinished
    assert result.transport["retransmitted"] == 0
    expected = planned(topology, work, strategy, seed=7).port_bytes
    ports = uplinks(topology)
    overhead = 1 + options.packet_overhead / options.chunk_size
    # A packet is the grain; acknowledgements come on top.
    flows = 4 * 12
    slack = flows * 2 * (options.chunk_size + options.packet_overhead)
    difference = result.port_bytes[ports] - expected[ports] * overhead
    assert (difference > -slack).all() and (difference < slack).all()


def test_a_plan_knows_what_has_failed() -> None:
    topology = fabric(4)
    down = topology.links_between("leaf0", "spine2")[0]
    work = all_to_all(16, 100_000)
    failed = [index == down for index in range(len(topology.ends))]
    made = planned(topology, work, "wrap_around", failed_links=failed)
    assert made.port_bytes[[2 * down, 2 * down + 1]].sum() == 0
    event = Event(at=0.0, action="down", link=("leaf0", "spine2"))
    options = replace(CALM, plan="wrap_around")
    result = simulate(Scenario(topology, work, options, events=[event]))
    assert not result.unfinished and result.transport["timeouts"] == 0


def test_planned_messages_survive_a_path_that_dies() -> None:
    work = Workload()
    patterns.tornado(work, range(16), 4_000_000)
    event = Event(at=50e-6, action="down", link=("leaf0", "spine1"))
    options = replace(CALM, plan="wrap_around")
    result = simulate(Scenario(fabric(4), work, options, events=[event]))
    assert not result.unfinished
    assert result.transport["timeouts"] > 0


def test_unequal_paths_get_unequal_shares() -> None:
    topology = fabric(4)
    topology.set_link("leaf0", "spine0", rate="50Gbit/s")
    work = Workload()
    work.add(0, 12, 7_000_000)
    made = planned(topology, work, "wrap_around")
    ways = [2 * topology.links_between("leaf0", f"spine{s}")[0] for s in range(4)]
    assert made.port_bytes[ways] == pytest.approx(np.array([1, 2, 2, 2]) * 1e6, rel=1e-4)


def test_steps_of_a_collective_are_planned_apart() -> None:
    """A ring's flows never leave a host together: none is cut by whole, each rides one path."""
    work = Workload()
    patterns.collective(work, "all_reduce", "ring", range(16), 1_600_000)
    made = planned(fabric(), work, "wrap_around")
    assert made.ratio == pytest.approx(1.0, abs=1e-4)
    assert made.pieces == 4 * made.messages  # one flow at a time over four paths


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"plan": "wrap_around", "pinning": "none"}, "needs pinned paths"),
        ({"plan": "wrap_around", "paths": 2}, "have only 2 paths"),
        ({"plan": "wraparound"}, "no strategy 'wraparound'"),
    ],
)
def test_plans_that_cannot_be(change: dict[str, object], says: str) -> None:
    work = all_to_all(16, 1000)
    with pytest.raises(ValueError, match=says):
        simulate(Scenario(fabric(), work, replace(CALM, **change)))  # type: ignore[arg-type]


def test_ethereal_wants_equal_flows() -> None:
    work = Workload()
    work.add(0, 12, 1000)
    work.add(0, 13, 2000)
    with pytest.raises(ValueError, match="ethereal needs equal flows"):
        simulate(Scenario(fabric(), work, replace(CALM, plan="ethereal")))
