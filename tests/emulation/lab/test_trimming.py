"""Switches of the lab cut payloads off; connections between real sockets send them again."""

from __future__ import annotations

from weft.emulation import Scenario
from weft.emulation.document import Document
from weft.emulation.lab.run import Outcome, run

INCAST = """
seed = 3
[fabric]
kind = "leaf_spine"
leaves = 2
spines = 2
hosts_per_leaf = 2
rate = "20Mbit/s"
delay = "100us"

[fabric.queue]
capacity = "15kB"
trimming = true

[[workload]]
pattern = "incast"
size = "150kB"

[transport]
paths = 4
burst = 1500
rto_initial = "1s"
rto_min = "1s"
rto_max = "2s"
congestion = { name = "none", window_chunks = 32 }
recovery = { name = "selective_repeat", tail_probe = 0 }
peer_timeout = "20s"

[run]
limit = "30s"
"""
"""Three senders keep 32 packets each on their way to a port that has room for ten. Nothing but what
the receiver says of a trimmed packet repeats it within the second that a time-out takes."""


def counted(outcome: Outcome, name: str) -> int:
    return sum(int(end.get(name, 0) + end["drops"].get(name, 0)) for end in outcome.connections)


def test_what_the_fabric_trims_comes_again_without_waiting() -> None:
    outcome = run(Scenario.of(Document.parse(INCAST)))
    assert outcome.errors == [] and outcome.result.unfinished == 0
    trims = int(outcome.result.port_stats["trims"].sum())
    assert trims > 50
    # What the fabric counts is what the receiver saw, and what the senders heard of and repeated.
    assert counted(outcome, "trimmed") == trims
    assert counted(outcome, "trims") == trims
    assert counted(outcome, "retransmitted") >= trims
    assert counted(outcome, "malformed") == 0
