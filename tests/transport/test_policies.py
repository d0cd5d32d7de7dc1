"""The shelves of policies as users meet them: by name, in scenarios, against each other."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import weft._native._core as _core
from weft.emulation import (
    Event,
    Policy,
    Queues,
    Result,
    Scenario,
    ScenarioError,
    Topology,
    Transport,
    Workload,
    simulate,
)
from weft.emulation import workload as patterns

SHELVES = {
    "scheduler": _core.simulator.path_schedulers(),
    "congestion": _core.simulator.congestion_controls(),
    "recovery": _core.simulator.loss_recoveries(),
}
MARKING = Queues(ecn_min=60_000, ecn_max=60_000)


def leaf_spine() -> Topology:
    return Topology.leaf_spine(leaves=4, spines=4, hosts_per_leaf=4, rate="100Gbit/s", delay="1us")


def permutation(
    transport: Transport, size: int = 400_000, events: tuple[Event, ...] = ()
) -> Result:
    work = Workload()
    patterns.permutation(work, range(16), size, seed=3)
    return simulate(Scenario(leaf_spine(), work, transport, MARKING, list(events)))


def test_every_policy_is_documented_and_nothing_else() -> None:
    page = (Path(__file__).parents[2] / "docs" / "transport.md").read_text()
    documented = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert documented == {name for names in SHELVES.values() for name in names}


@pytest.mark.parametrize(
    ("shelf", "name"), [(shelf, name) for shelf, names in SHELVES.items() for name in names]
)
def test_every_policy_gets_a_permutation_through_and_repeats_itself(shelf: str, name: str) -> None:
    transport = Transport(paths=16, **{shelf: Policy(name)})  # type: ignore[arg-type]
    if name == "go_back_n":
        transport = replace(transport, scheduler=Policy("single"))
    first, again = permutation(transport), permutation(transport)
    assert first.unfinished == 0
    assert first.transport["bytes_received"] == 16 * 400_000
    assert np.array_equal(first.received, again.received)
    assert first.evidence["events"] == again.evidence["events"]


@pytest.mark.parametrize(
    ("shelf", "name"), [(shelf, names[-1]) for shelf, names in SHELVES.items()]
)
def test_a_wrong_name_is_answered_with_the_right_ones(
    shelf: str, name: str, tmp_path: Path
) -> None:
    text = f"""
[fabric]
kind = "leaf_spine"
leaves = 2
spines = 2
hosts_per_leaf = 2
[[workload]]
pattern = "permutation"
size = "1kB"
[transport]
{shelf} = "nonsense"
"""
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=rf"11.*{shelf}.*{name}"):
        Scenario.load(path)
    with pytest.raises(ValueError, match="it has: "):
        permutation(Transport(**{shelf: Policy(name, {"nonsense": 1.0})}))  # type: ignore[arg-type]


def test_spraying_beats_one_path_where_flows_collide() -> None:
    ends = {
        name: permutation(Transport(paths=64, scheduler=Policy(name))).end
        for name in ("single", "round_robin", "reps", "mrc")
    }
    assert max(ends["round_robin"], ends["reps"], ends["mrc"]) < 0.7 * ends["single"]


def test_reps_leaves_a_slow_uplink_alone_where_random_spray_waits_for_it() -> None:
    """One uplink at a quarter of its rate (arXiv 2407.21625, the asymmetric network)."""
    slow = Event(at=0.0, action="rate", link=("leaf0", "spine1"), value=25e9)
    ends = {}
    for policy in (Policy("random"), Policy("reps", {"explore": 32})):
        transport = Transport(paths=256, scheduler=policy, congestion=Policy("nscc"), ack_every=1)
        ends[policy.name] = permutation(transport, 4_000_000, (slow,)).end
    assert ends["reps"] < 0.85 * ends["random"]


def test_credits_keep_an_incast_out_of_the_switch() -> None:
    work = Workload()
    patterns.incast(work, range(16), 500_000)
    results = {}
    for policy in (Policy("swift"), Policy("eqds", {"initial_window": 1})):
        transport = Transport(paths=16, congestion=policy)
        results[policy.name] = simulate(Scenario(leaf_spine(), work, transport, Queues()))
    peak = {name: max(result.port_stats["peak_backlog"]) for name, result in results.items()}
    assert results["eqds"].unfinished == 0
    assert results["eqds"].transport["retransmitted"] == 0
    assert peak["eqds"] < 0.5 * peak["swift"]
    assert results["eqds"].end < 1.05 * results["eqds"].ideal_bound
