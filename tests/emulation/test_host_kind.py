"""`[host]` of a scenario: what the lab's hosts are."""

from __future__ import annotations

import pytest

from weft.emulation import Scenario, ScenarioError
from weft.emulation.document import Document
from weft.emulation.policy import HostOptions

TEXT = """
seed = 3
host.kind = "rdma-vm"
[fabric]
kind = "dumbbell"
[[workload]]
pattern = "permutation"
size = "200KB"
"""


def test_machines_and_what_they_are_made_of() -> None:
    assert Scenario.of(Document.parse(TEXT)).host == HostOptions("rdma-vm", 1, 1 << 30)
    text = TEXT.replace('"rdma-vm"', '"rdma-vm"\nhost.cpus = 2\nhost.memory = "2GiB"')
    assert Scenario.of(Document.parse(text)).host == HostOptions("rdma-vm", 2, 2 << 30)


def test_namespaces_are_the_default() -> None:
    text = TEXT.replace('host.kind = "rdma-vm"', "")
    assert not Scenario.of(Document.parse(text)).host.machines


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ('"rdma-vm"', '"vm"', r"scenario:3: host.kind: .*there is namespace, rdma-vm"),
        ('"rdma-vm"', '"namespace"\nhost.cpus = 2', "scenario:4: host.cpus: is for virtual mach"),
        ('"rdma-vm"', '"rdma-vm"\nhost.memory = "1MB"', "scenario:4: host.memory: .* 512 MiB"),
        ('"rdma-vm"', '"rdma-vm"\nhost.cpu = 1', "scenario:4: host.cpu: "),
    ],
)
def test_what_hosts_cannot_be(before: str, after: str, fault: str) -> None:
    with pytest.raises(ScenarioError, match=fault):
        Scenario.of(Document.parse(TEXT.replace(before, after)))
