"""Machines on a leaf-spine: what the tests of tests/vm share."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any

import pytest

from weft.emulation import Event, Topology
from weft.emulation.lab import Lab, LabError

LEAVES, SPINES = 2, 4
MTU = 4400
"""Room for RoCE's largest packet, 4096 bytes of payload."""


def leaf_spine(hosts_per_leaf: int = 2) -> Topology:
    return Topology.leaf_spine(
        leaves=LEAVES, spines=SPINES, hosts_per_leaf=hosts_per_leaf, rate="1Gbit/s", delay="20us"
    )


def up(stack: ExitStack, topology: Topology, **options: Any) -> Lab:
    """A lab all of whose hosts (or those of `machines`) are machines; skips, or fails where that
    must not be."""
    names = [topology.node_name(host) for host in range(topology.hosts)]
    try:
        return stack.enter_context(Lab(topology, **{"mtu": MTU, "machines": names} | options))
    except LabError as error:
        if os.environ.get("CI") or os.environ.get("WEFT_LAB_REQUIRED"):
            raise
        pytest.skip(str(error))


def every_link(lab: Lab, action: str, value: float) -> None:
    """Change all links between leaves and spines: "loss", "jitter", ... (0.0 mends)."""
    lab.play(
        *(
            Event(0.0, action, link=(f"leaf{leaf}", f"spine{spine}"), value=value)
            for leaf in range(LEAVES)
            for spine in range(SPINES)
        )
    )


def mend(lab: Lab) -> None:
    """Make a lab whole again, whatever a test has done to its fabric."""
    for spine in range(SPINES):
        lab.switch_up(f"spine{spine}")
    for action in ("loss", "jitter"):
        every_link(lab, action, 0.0)
