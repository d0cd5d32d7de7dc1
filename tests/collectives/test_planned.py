"""Collectives whose sends are planned over the paths of UDP edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import ranks

from weft.collectives import Communicator
from weft.transport import Context, plan
from weft.transport.errors import InvalidArgument

PATHS = 4
UDP = {"datapaths": ["udp"], "interfaces": ["lo"], "transport": {"paths": PATHS}}


def algorithms(strategy: str) -> dict[str, Any]:
    return {"algorithms": {"all_to_all": "direct", "all_to_allv": "direct", "plan": strategy}}


def chunks_by_path(context: Context) -> np.ndarray[Any, Any]:
    """[edge, path] chunks sent so far."""
    channels = [peer.get("channel", peer) for peer in context.stats()["peers"]]
    return np.array(
        [[path["sent"] for path in channel["paths"]] for channel in channels if "paths" in channel]
    )


def exchange(group: Communicator, count: int) -> np.ndarray[Any, Any]:
    """An all_to_all of `count` floats to each, checked; returns chunks sent by (edge, path)."""
    ranks_, rank = group.size, group.rank
    mine = np.arange(ranks_ * count, dtype=np.float32) % 1000 + rank
    output = np.empty_like(mine)
    group.all_to_all(mine, output)
    for other in range(ranks_):
        theirs = np.arange(rank * count, (rank + 1) * count, dtype=np.float32) % 1000 + other
        np.testing.assert_array_equal(output[other * count : (other + 1) * count], theirs)
    return chunks_by_path(group._context)


@pytest.mark.parametrize("strategy", ["whole", "ethereal", "wrap_around", "spray"])
def test_sends_go_where_the_plan_puts_them(strategy: str) -> None:
    """Three flows of 4 MB from each of four ranks over four paths of every edge."""
    size, count = 4, 1_000_000
    everybody = ranks.run(size, exchange, count, context=UDP, group=algorithms(strategy))
    for rank, sent in enumerate(everybody):
        assert sent.shape == (size - 1, PATHS)
        share = sent.sum(axis=0) / sent.sum()
        made = plan([4 * count] * (size - 1), PATHS, strategy, minimum_piece=65536, first_path=rank)
        expected = np.array(made.load) / (12 * count)
        # Bursts of 64 KB, control packets, and a retransmission now and then.
        np.testing.assert_allclose(share, expected, atol=0.06)
        if strategy == "whole":  # each edge rides on one path
            assert (sent.max(axis=1) > 0.9 * sent.sum(axis=1)).all()


def vary(group: Communicator, seed: int) -> None:
    chance = np.random.default_rng(seed)
    matrix = chance.integers(0, 60_000, (group.size, group.size))
    mine = chance.random(int(matrix[group.rank].sum()), dtype=np.float32) + group.rank
    incoming = matrix[:, group.rank]
    output = np.empty(int(incoming.sum()), np.float32)
    group.all_to_allv(mine, matrix[group.rank].tolist(), output, incoming.tolist())
    at = 0
    for other in range(group.size):
        assert (np.floor(output[at : at + incoming[other]]) == other).all()
        at += incoming[other]
    total = np.full(30_001, group.rank + 1.0, np.float32)
    group.all_reduce(total, algorithm="direct")
    assert (total == group.size * (group.size + 1) / 2).all()


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("strategy", ["whole", "ethereal", "wrap_around", "spray"])
def test_unequal_sizes_arrive_whatever_the_plan(strategy: str, seed: int) -> None:
    ranks.run(3, vary, seed, context=UDP, group=algorithms(strategy))


def test_unknown_plans_are_named() -> None:
    def body(group: Communicator) -> None:
        raise AssertionError("the group was made")

    with pytest.raises(InvalidArgument, match="wrap_around"):
        ranks.run(2, body, context=UDP, group={"algorithms": {"plan": "wraparound"}})
