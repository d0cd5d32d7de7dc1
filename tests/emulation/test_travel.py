"""Scenarios and results travel to other processes: sweeps across machines need that."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from weft.emulation import Scenario, Topology, Workload, simulate, sweep_on_ray
from weft.emulation import workload as patterns


def scenario() -> Scenario:
    topology = Topology.leaf_spine(leaves=2, spines=2, hosts_per_leaf=2)
    topology.set_link("leaf0", "spine1", rate="50Gbit/s", loss=0.001, jitter="100ns", weight=2)
    work = Workload()
    patterns.all_to_all(work, range(4), 400_000)
    return Scenario(topology, work, seed=5)


def test_a_pickled_scenario_runs_the_same() -> None:
    before = scenario()
    after: Scenario = pickle.loads(pickle.dumps(before))
    assert after.topology.ends == before.topology.ends
    assert after.topology.rates() == before.topology.rates()
    mine, theirs = simulate(before), pickle.loads(pickle.dumps(simulate(after)))
    assert np.array_equal(mine.received, theirs.received)
    assert mine.dropped == theirs.dropped


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match="weft\\[ray\\]"):
        sweep_on_ray([({}, scenario())])


def test_a_sweep_on_ray_gives_the_same_results(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (extra: ray)")
    points = [({"run": run}, scenario()) for run in range(3)]
    expected = simulate(scenario())
    for point in sweep_on_ray(points):
        assert np.array_equal(point.result.received, expected.received)
