"""A virtual machine is a host of the lab like any other."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from weft.emulation import Topology
from weft.emulation.lab import Lab, LabError

DEADLINE = 60.0


def test_programs_run_inside_with_streams_codes_and_environment(lab: Lab) -> None:
    program = lab["h1"].popen(
        ["sh", "-c", 'cat; echo "$WEFT_LAB_HOST $(uname -r)" >&2; exit 4'],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    out, err = program.communicate("hello", DEADLINE)
    assert (out, program.returncode) == ("hello", 4)
    host, release = err.split()
    assert host == "h1"
    assert release != Path("/proc/sys/kernel/osrelease").read_text(encoding="ascii").strip()


def test_every_machine_has_an_rdma_device_that_is_up(lab: Lab) -> None:
    for name in lab:
        assert "state ACTIVE physical_state LINK_UP netdev eth0" in lab[name].cmd("rdma link")


def test_files_of_the_host_are_seen_and_cannot_be_changed(lab: Lab, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("outside", encoding="ascii")
    assert lab["h0"].cmd(f"cat {kept}; echo inside > {kept}; cat {kept}") == "outsideinside\n"
    assert kept.read_text(encoding="ascii") == "outside"


def test_everybody_reaches_everybody(lab: Lab) -> None:
    times = lab.ping_all(timeout=5.0)
    assert len(times) == 12
    assert all(time is not None and 4 * 20e-6 <= time < 5.0 for time in times.values()), times


def test_ipv6_crosses_the_fabric(lab: Lab) -> None:
    assert "1 received" in lab["h0"].cmd(f"ping -6 -c 1 -W 5 {lab['h3'].ipv6}")


def test_a_program_past_its_deadline_is_killed_inside_as_well(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"h2: `sleep 998` did not end within 0.5 s"):
        lab["h2"].run("sleep 998", timeout=0.5)
    assert "sleep 998" not in lab["h2"].cmd("ps -eo args | grep '[s]leep 99'")


def test_what_cannot_be_is_said(lab: Lab) -> None:
    with pytest.raises(LabError, match="h0: no file descriptor can pass into a virtual machine"):
        lab["h0"].popen("true", pass_fds=[0])
    with pytest.raises(LabError, match="h0: a virtual machine's sockets stay inside"):
        lab["h0"].socket()
    with pytest.raises(LabError, match="there is no node"):
        Lab(Topology.leaf_spine(leaves=1, spines=1, hosts_per_leaf=2), machines=["h7"])


def test_machines_and_namespaces_share_a_fabric_and_a_machine_can_be_switched_off() -> None:
    topology = Topology.dumbbell(left=1, right=1, rate="1Gbit/s", delay="10us")
    with Lab(topology, machines=["h0"], mtu=2000, name="mixed") as lab:
        assert lab.ping("h0", "h1", timeout=5.0)[0] is not None
        assert lab.ping("h1", "h0", timeout=5.0)[0] is not None
        assert lab.fidelity().machines == 1
        program = lab["h0"].popen(
            ["sh", "-c", "echo up; sleep 1000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert program.stdout and program.stdout.readline() == b"up\n"
        lab["h0"].kill()
        assert b"the machine has stopped" in program.communicate(timeout=DEADLINE)[1]
        assert program.returncode == -signal.SIGKILL
        with pytest.raises(LabError, match="h0: the machine is off"):
            lab["h0"].popen("true")
        assert lab.ping("h1", "h0", timeout=0.2) == [None]


def test_nothing_is_left_of_a_lab_that_has_ended() -> None:
    with Lab(Topology.dumbbell(left=1, right=1), machines=["h0"], mtu=2000) as lab:
        machine = lab["h0"].machine
        assert machine is not None
        emulator = os.pidfd_open(machine.process.pid)
    assert select.select([emulator], [], [], DEADLINE)[0]
    os.close(emulator)
