"""The algorithm `innet` where there is no switch: typed errors before anything runs, and groups
that work as ever. (tests/p4/aggregation/test_lab.py has switches.)"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import numpy as np
import pytest
import ranks

from weft.collectives import Communicator
from weft.transport.errors import InvalidArgument, Mismatch


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address of this host where no controller answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def add_up(group: Communicator) -> tuple[float, dict[str, object]]:
    data = np.full(5000, group.rank + 1.0, np.float32)
    group.all_reduce(data, algorithm="innet")
    return float(data[17]), group.explain("all_reduce", 20_000_000)


def test_nobody_at_the_controllers_address_means_another_algorithm(nobody: str) -> None:
    for value, said in ranks.run(3, add_up, group={"algorithms": {"innet": nobody}}):
        assert value == 6.0
        assert said["innet"] == f"refused: no controller answers at {nobody}"
        assert said["chosen"] != "innet"


def test_innet_without_a_switch_is_refused_by_name() -> None:
    with pytest.raises(InvalidArgument, match="WEFT_INNET=host:port"):
        ranks.run(2, add_up)


@pytest.mark.parametrize("address", ["nowhere", "host:", "host:0", "host:99999", ":5"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidArgument, match="is not host:port"):
        ranks.run(2, add_up, group={"algorithms": {"innet": address}})


def test_only_all_reduce_goes_through_a_switch(nobody: str) -> None:
    def body(group: Communicator) -> None:
        group.broadcast(np.zeros(5), algorithm="innet")

    with pytest.raises(InvalidArgument, match="sums all_reduce only, not broadcast"):
        ranks.run(2, body, group={"algorithms": {"innet": nobody}})


def test_all_ranks_must_name_the_same_switch(nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def context(rank: int) -> dict[str, object]:
        if rank == 1:  # called here, before each fork
            monkeypatch.setenv("WEFT_INNET", nobody)
        return {}

    with pytest.raises(Mismatch, match="other tuning options"):
        ranks.run(2, add_up, context=context)
