"""Policies exchanged and paths denied on living connections, through the public API."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from weft.transport import Context, Peer
from weft.transport.errors import InvalidArgument, Unsupported

DEADLINE = 60.0
POLICIES = (
    {"scheduler": "reps", "scheduler.freeze_us": 500},
    {"congestion": "dctcp"},
    {"scheduler": "round_robin", "congestion": "none", "recovery": "selective_repeat"},
    {"congestion": "eqds", "congestion.initial_window": 16},
    {"scheduler": "power_of_two", "congestion": "swift", "congestion.per_path": 1},
)


class Pair:
    """Two contexts of this process with an edge over UDP."""

    def __init__(self, datapath: str) -> None:
        options: dict[str, Any] = {
            "secret": "live", "datapaths": [datapath], "interfaces": ["127.0.0.1"],
            "timeout": DEADLINE,
        }  # fmt: skip
        if datapath != "shm":
            options["transport"] = {"paths": 4}
        self.a, self.b = Context(**options), Context(**options)
        accepted: list[Peer] = []
        caller = threading.Thread(target=lambda: accepted.append(self.b.accept(DEADLINE)))
        caller.start()
        self.to_b = self.a.connect(self.b.address, DEADLINE)
        caller.join(DEADLINE)
        self.to_a = accepted[0]

    def exchange(self, seed: int) -> None:
        """Two megabytes each way."""
        rng = np.random.default_rng(seed)
        sent = [rng.integers(0, 255, 2_000_000, dtype=np.uint8) for _ in range(2)]
        got = [np.zeros_like(array) for array in sent]
        works = [
            self.to_b.send(sent[0]), self.to_a.send(sent[1]),
            self.to_a.recv(got[0]), self.to_b.recv(got[1]),
        ]  # fmt: skip
        for work in works:
            work.wait(DEADLINE)
        for there, here in zip(sent, got, strict=True):
            np.testing.assert_array_equal(there, here)

    def edge(self) -> dict[str, Any]:
        """The statistics of a's edge to b."""
        (peer,) = self.a.stats()["peers"]
        return dict(peer["channel"])

    def close(self) -> None:
        self.to_a.close()
        self.to_b.close()
        self.a.close()
        self.b.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair("udp")
    yield made
    made.close()


def test_every_shelf_is_exchanged_while_messages_flow(pair: Pair) -> None:
    pair.exchange(0)
    for number, change in enumerate(POLICIES):
        message = np.full(8_000_000, number, np.uint8)
        got = np.zeros_like(message)
        works = [pair.to_b.send(message, tag=7), pair.to_a.recv(got, tag=7)]
        pair.to_b.set_policies(change)  # in the middle of it
        for work in works:
            work.wait(DEADLINE)
        np.testing.assert_array_equal(message, got)
        edge = pair.edge()
        assert {key: edge[key] for key in change if "." not in key} == {
            key: value for key, value in change.items() if "." not in key
        }
        pair.exchange(number + 1)


def test_a_change_of_the_context_reaches_edges_that_live_and_that_come(pair: Pair) -> None:
    pair.a.set_policies({"scheduler": "mrc"})
    assert pair.edge()["scheduler"] == "mrc"
    pair.exchange(1)


def test_wrong_changes_change_nothing(pair: Pair) -> None:
    before = pair.edge()
    for change, named in (
        ({"scheduler": "reps", "congestion": "swfit"}, "swfit.*swift"),
        ({"scheduler": "reps", "scheduler.freeze_ms": 1}, "freeze_ms.*freeze_us"),
        ({"congestion.beta": 0.5}, "congestion=..."),
        ({"scheduler": "reps", "paths": 3}, "paths"),
        ({}, "scheduler=reps"),
    ):
        for who in (pair.a, pair.to_b):
            with pytest.raises(InvalidArgument, match=named):
                who.set_policies(change)  # type: ignore[attr-defined]
    after = pair.edge()
    for shelf in ("scheduler", "congestion", "recovery"):
        assert after[shelf] == before[shelf]
    pair.exchange(2)


def test_a_denied_path_carries_nothing_until_it_is_allowed_again(pair: Pair) -> None:
    pair.to_b.set_policies({"scheduler": "round_robin"})
    pair.exchange(3)
    pair.to_b.deny_path(2)
    before = [path["sent"] for path in pair.edge()["paths"]]
    pair.exchange(4)
    after = [path["sent"] for path in pair.edge()["paths"]]
    assert [later > earlier for earlier, later in zip(before, after, strict=True)] == [
        True, True, False, True,
    ]  # fmt: skip
    pair.to_b.deny_path(2, denied=False)
    pair.exchange(5)
    assert pair.edge()["paths"][2]["sent"] > after[2]


def test_denying_what_cannot_be_denied_says_why(pair: Pair) -> None:
    with pytest.raises(InvalidArgument, match=r"path 4 is not there.*paths 0 to 3"):
        pair.to_b.deny_path(4)
    for path in range(3):
        pair.to_b.deny_path(path)
    with pytest.raises(InvalidArgument, match="last good one"):
        pair.to_b.deny_path(3)
    pair.exchange(6)


def test_shared_memory_says_that_it_has_no_policies() -> None:
    pair = Pair("shm")
    try:
        for who in (pair.a, pair.to_b):
            with pytest.raises(Unsupported, match="shm"):
                who.set_policies({"scheduler": "reps"})
        with pytest.raises(Unsupported, match="no paths"):
            pair.to_b.deny_path(0)
    finally:
        pair.close()
