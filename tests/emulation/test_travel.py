"""Scenarios and results travel to other processes: sweeps across machines need that."""

from __future__ import annotations

import os
import pickle
import secrets
import subprocess
import sys
import tempfile
from importlib.util import find_spec
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


ON_RAY = """
import sys
import numpy as np
import ray
sys.path.insert(0, sys.argv[1])
from test_travel import scenario
from weft.emulation import simulate, sweep_on_ray
ray.init(address="local", num_cpus=2, object_store_memory=80 << 20, include_dashboard=False,
         log_to_driver=False, logging_level="warning", _node_ip_address="127.0.0.1",
         _temp_dir=sys.argv[2])
points = sweep_on_ray([({"run": run}, scenario()) for run in range(3)])
expected = simulate(scenario())
assert all(np.array_equal(point.result.received, expected.received) for point in points)
print(len(points))
"""


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (extra: ray)")
def test_a_sweep_on_ray_gives_the_same_results() -> None:
    """On a small cluster of its own, heard on the loopback only, in a process of its own: Ray
    reads its variables once, when it is imported."""
    variables = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),  # else one is left in the user's home
    }
    # Unix sockets are made in the folder, whose paths may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
        done = subprocess.run(
            [sys.executable, "-c", ON_RAY, str(Path(__file__).parent), folder],
            env={**os.environ, **variables}, capture_output=True, text=True, timeout=200,
            check=False,
        )  # fmt: skip
    assert done.stdout.split() == ["3"], done.stderr[-2000:]
