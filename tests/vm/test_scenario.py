"""`host.kind = "rdma-vm"`: a scenario's hosts are machines."""

from __future__ import annotations

import pytest

from weft.emulation import Scenario
from weft.emulation.document import Document
from weft.emulation.lab import run

TEXT = """
seed = 3
host.kind = "rdma-vm"
[fabric]
kind = "dumbbell"
left = 1
right = 1
rate = "1Gbit/s"
delay = "20us"
[[workload]]
pattern = "permutation"
size = "200KB"
[run]
limit = 60.0
[lab]
carrier = "CARRIER"
mtu = 4400
tolerance = "1s"
"""


@pytest.mark.parametrize("carrier", ["tcp", "weft"])
def test_messages_of_a_scenario_travel_between_machines(carrier: str) -> None:
    scenario = Scenario.of(Document.parse(TEXT.replace("CARRIER", carrier)))
    outcome = run(scenario)
    assert outcome.errors == []
    assert outcome.fidelity.machines == 2
    assert (outcome.result.received > outcome.result.started).all()
    assert sum(outcome.result.port_bytes) > 2 * 3 * 200_000  # two messages over three links
