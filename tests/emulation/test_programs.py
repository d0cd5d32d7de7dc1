"""P4 programs as switches of the simulated fabric: the sample router and load balancer at work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from weft.emulation import Scenario, Topology, Transport, Workload, simulate
from weft.emulation import workload as patterns
from weft.emulation.document import ScenarioError
from weft.emulation.programs import Program
from weft.p4.switch import build
from weft.p4.switch.build import CompilerError

PROGRAMS = Path(__file__).parents[2] / "p4" / "programs"

try:
    build.compiler()
except CompilerError as problem:
    pytest.skip(f"no C compiler: {problem}", allow_module_level=True)


def ports(topology: Topology, switch: str) -> dict[int, int]:
    """Neighbour -> the switch's port to it, counted as the fabric counts."""
    node = topology.node(switch)
    neighbours = [a if b == node else b for a, b in topology.ends if node in (a, b)]
    return {neighbour: port for port, neighbour in enumerate(neighbours)}


def mac(host: int) -> str:
    return f"0x0200{host + 1:08x}"


def router(topology: Topology, switch: str, ways: dict[int, int], folder: Path) -> Program:
    """The sample router with a /32 for each host, by the port to the given neighbour."""
    numbers = ports(topology, switch)
    lines = []
    for host, neighbour in ways.items():
        hop = f"0x020000aa0000 {mac(host)} {numbers[neighbour]}"
        lines.append(f"table_add ipv4_lpm route 10.0.0.{host + 1}/32 => {host}")
        lines.append(f"table_add next_hops forward {host} => {hop}")
    commands = folder / f"{switch}.txt"
    commands.write_text("\n".join(lines))
    return Program(switch, PROGRAMS / "router.p4", commands)


def test_routed_like_the_fabric_routes(tmp_path: Path) -> None:
    """One path only: with routers in both switches every time is the same to the picosecond."""
    topology = Topology.dumbbell(left=2, right=2)
    left, right = topology.switches
    away = {left: topology.node(right), right: topology.node(left)}
    programs = [
        router(topology, left, {0: 0, 1: 1, 2: away[left], 3: away[left]}, tmp_path),
        router(topology, right, {0: away[right], 1: away[right], 2: 2, 3: 3}, tmp_path),
    ]
    work = Workload()
    patterns.all_to_all(work, range(4), 300_000)
    plain = simulate(Scenario(topology, work, Transport()))
    routed = simulate(Scenario(topology, work, Transport(), programs=programs))
    assert routed.unfinished == 0
    assert np.array_equal(plain.received, routed.received)
    assert routed.evidence["packets"] == plain.evidence["packets"]


def test_a_program_without_a_route_drops(tmp_path: Path) -> None:
    topology = Topology.dumbbell(left=1, right=1)
    left = topology.switches[0]
    work = Workload()
    work.add(0, 1, 5000)
    programs = [router(topology, left, {0: 0}, tmp_path)]
    lost = simulate(Scenario(topology, work, Transport(), programs=programs, limit=0.02))
    assert lost.unfinished == 1
    assert lost.dropped["no_route"] > 0
    assert not np.isfinite(lost.received[0])


def test_load_balancer_spreads_paths_over_spines(tmp_path: Path) -> None:
    """Leaves run the ECMP program: remote hosts by a group of all spines, local ones by a port."""
    topology = Topology.leaf_spine(leaves=2, spines=4, hosts_per_leaf=2)
    programs = []
    for leaf in ("leaf0", "leaf1"):
        numbers = ports(topology, leaf)
        spines = [numbers[topology.node(f"spine{s}")] for s in range(4)]
        lines = []
        for host in range(4):
            way = [numbers[host]] if host in numbers else spines
            lines.append("act_prof_create_group servers")
            for port in way:
                lines.append(f"act_prof_create_member servers to_server {mac(host)} {port}")
                member = sum("create_member" in line for line in lines) - 1
                lines.append(f"act_prof_add_member_to_group servers {member} {host}")
            lines.append(f"table_indirect_add_with_group services 10.0.0.{host + 1} => {host}")
        commands = tmp_path / f"{leaf}.txt"
        commands.write_text("\n".join(lines))
        programs.append(Program(leaf, PROGRAMS / "ecmp.p4", commands))
    work = Workload()
    work.add(0, 2, 2_000_000)
    work.add(3, 1, 2_000_000)
    result = simulate(Scenario(topology, work, Transport(paths=64), programs=programs))
    assert result.unfinished == 0
    node = topology.node("leaf0")
    up = {
        b if a == node else a: result.port_bytes[2 * i + (a != node)]
        for i, (a, b) in enumerate(topology.ends)
        if node in (a, b) and topology.hosts <= (b if a == node else a)
    }
    # 64 five-tuples over four spines: each takes a share, none takes most.
    shares = np.array(list(up.values())) / sum(up.values())
    assert len(shares) == 4
    assert shares.min() > 0.05
    assert shares.max() < 0.6


TOML = """
[fabric]
kind = "dumbbell"
left = 1
right = 1
[[fabric.programs]]
switch = "{switch}"
program = "{program}"
[[workload]]
pattern = "permutation"
size = 1000
{more}
"""


def scenario(folder: Path, switch: str, program: str, more: str = "") -> Scenario:
    path = folder / "scenario.toml"
    path.write_text(TOML.format(switch=switch, program=program, more=more))
    return Scenario.load(path)


def test_scenario_files(tmp_path: Path) -> None:
    (tmp_path / "router.p4").write_text("not P4")
    left = Topology.dumbbell(left=1, right=1).switches[0]
    with pytest.raises(ValueError, match=f"program of {left}: .*router.p4:1:5"):
        simulate(scenario(tmp_path, left, "router.p4"))
    with pytest.raises(ScenarioError, match="names no file"):
        scenario(tmp_path, left, "nothing.p4")
    with pytest.raises(ScenarioError, match="is a host, not a switch"):
        scenario(tmp_path, "h0", "router.p4")
    with pytest.raises(ScenarioError, match="flow has no packets"):
        scenario(tmp_path, left, "router.p4", '[run]\nmode = "flow"')
