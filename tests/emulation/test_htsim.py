"""The interchange files: what is written reads back, what is read is what the format means."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.emulation import Scenario, Workload, htsim, simulate
from weft.emulation import workload as patterns

TOPO = {
    "pods": 4,
    "pod_tors": 4,
    "tor_down": 4,
    "tor_up": 4,
    "aggregation_up": 4,
    "rate": 100e9,
    "delay": 1e-6,
}


def test_a_fat_tree_reads_back(tmp_path: Path) -> None:
    htsim.write_topo(tmp_path / "tree.topo", **TOPO)
    topology = htsim.read_topo(tmp_path / "tree.topo")
    assert topology.hosts == 64
    assert len(topology.switches) == 4 * 8 + 16
    assert len(topology.ends) == 3 * 64
    assert set(topology.rates()) == {100e9}


def test_triggers_and_barriers_are_dependencies(tmp_path: Path) -> None:
    work = Workload()
    first = work.add(0, 1, 1000)
    second = work.add(2, 1, 2000, start=3e-6)
    work.add(1, 3, 500, after=[first, second])
    work.add(1, 0, 700, after=[first])
    htsim.write_cm(work, 4, tmp_path / "w.cm")
    read, hosts = htsim.read_cm(tmp_path / "w.cm")
    assert hosts == 4
    assert (read.source, read.destination, read.size) == (work.source, work.destination, work.size)
    assert read.after == work.after
    assert read.start == pytest.approx(work.start)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Nodes 4\nConnections 1\n0->9 id 1 start 0 size 5", ":3: host 9 of 4 does not exist"),
        ("Nodes 4\nConnections 2\n0->1 id 1 start 0 size 5", ": says 2 connections, but has 1"),
        ("Nodes 4\nConnections 1\n0->1 id 1 trigger 7 size 5", ":3: trigger 7 is never fired"),
        ("Nodes 4\nConnections 1\n0 to 1", ":3: neither a flow, a trigger nor a header: '0 to 1'"),
        ("Nodes 4\n0->1 colour 3", ":2: unknown word 'colour'"),
        ("0->1 size 3", ": has no line 'Nodes N'"),
    ],
)
def test_malformed_matrices_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.cm"
    path.write_text(text)
    with pytest.raises(htsim.InterchangeError) as caught:
        htsim.read_cm(path)
    assert str(caught.value) == f"{path}{message}"


def test_malformed_trees_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.topo"
    for text in ("Nodes 8\nTiers 3\nTier 0\n", "Nodes 8", "Nodes eight", "Tier"):
        path.write_text(text)
        with pytest.raises(htsim.InterchangeError, match=str(path)):
            htsim.read_topo(path)


def test_a_generated_yardstick_runs(tmp_path: Path) -> None:
    """The format of the 1,024-host yardstick at a sixteenth of its size."""
    htsim.write_topo(tmp_path / "tree.topo", **TOPO)
    work = Workload()
    patterns.permutation(work, range(64), 2_000_000, seed=1)
    htsim.write_cm(work, 64, tmp_path / "perm.cm")
    read, _ = htsim.read_cm(tmp_path / "perm.cm")
    result = simulate(Scenario(htsim.read_topo(tmp_path / "tree.topo"), read))
    assert result.unfinished == 0
    assert result.transport["bytes_received"] == 64 * 2_000_000
