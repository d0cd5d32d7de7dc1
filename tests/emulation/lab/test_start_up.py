"""How much work it is to bring a lab up: CPU time of the process that builds it.

A busy machine does not change that much; `weft bench lab` measures how long it takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from weft.emulation import Topology
from weft.emulation.lab import Lab


@pytest.mark.parametrize(("hosts", "seconds"), [(64, 1.0), (1024, 8.0)])
def test_start_up_stays_within_its_goal(hosts: int, seconds: float) -> None:
    """Goals of wall time, held by what one core computes."""
    topology = Topology.leaf_spine(leaves=hosts // 16, spines=4, hosts_per_leaf=16)
    with Lab(topology) as lab:
        fields = Path(f"/proc/{lab.fabric.process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])  # utime, stime: proc(5)
        assert ticks / os.sysconf("SC_CLK_TCK") < seconds
        last = f"h{hosts - 1}"
        assert lab.ping("h0", last, timeout=5.0) != [None]
        assert "LOWER_UP" in lab[last].run("ip -br link show eth0").stdout
