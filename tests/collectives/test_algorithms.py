"""Every built-in algorithm and a schedule of our own, executed by real processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import ranks

from weft.collectives import Communicator
from weft.collectives.schedule import Rank, Schedule, algorithms, schedule
from weft.transport.errors import BadSchedule, InvalidArgument

COUNTS = (1, 7, 5000, 100_001)  # fewer elements than chunks, odd, beyond eager messages


def numbers(rank: int, count: int) -> np.ndarray[Any, Any]:
    return ((np.arange(count, dtype=np.int64) + 1) * (rank + 3)) % 1009


def run_one(group: Communicator, collective: str, algorithm: str, count: int) -> None:
    """One collective by one algorithm, against its definition in NumPy."""
    rank, size = group.rank, group.size
    each = [numbers(source, count) for source in range(size)]
    wide = [numbers(source, count * size) for source in range(size)]
    block = slice(rank * count, (rank + 1) * count)
    uneven = [(count + other) // (other + 1) for other in range(size)]
    root = size - 1
    options = {"algorithm": algorithm}
    got: np.ndarray[Any, Any] | None = np.full(count, -1, np.int64)
    want: np.ndarray[Any, Any] | None
    match collective:
        case "all_reduce":
            group.all_reduce(each[rank], got, **options)
            want = np.sum(each, axis=0)
        case "reduce":
            group.reduce(each[rank], got, root=root, **options)
            want = np.sum(each, axis=0) if rank == root else got
        case "broadcast":
            group.broadcast(each[rank].copy(), got, root=root, **options)
            want = each[root]
        case "all_gather":
            got = np.full(count * size, -1, np.int64)
            group.all_gather(each[rank], got, **options)
            want = np.concatenate(each)
        case "all_gatherv":
            parts = [numbers(source, uneven[source]) for source in range(size)]
            got = np.full(sum(uneven), -1, np.int64)
            group.all_gatherv(parts[rank], got, uneven, **options)
            want = np.concatenate(parts)
        case "reduce_scatter":
            group.reduce_scatter(wide[rank], got, **options)
            want = np.sum(wide, axis=0)[block]
        case "reduce_scatterv":
            parts = [numbers(source, sum(uneven)) for source in range(size)]
            got = np.full(uneven[rank], -1, np.int64)
            group.reduce_scatterv(parts[rank], got, uneven, **options)
            first = sum(uneven[:rank])
            want = np.sum(parts, axis=0)[first : first + uneven[rank]]
        case "all_to_all":
            got = np.full(count * size, -1, np.int64)
            group.all_to_all(wide[rank], got, **options)
            want = np.concatenate([source[block] for source in wide])
        case "all_to_allv":
            # From a to b go count // (a + b + 1) elements: other for every pair, sometimes none.
            def pieces(source: int) -> list[np.ndarray[Any, Any]]:
                return [numbers(source + b, count // (source + b + 1)) for b in range(size)]

            mine, arriving = pieces(rank), [pieces(source)[rank] for source in range(size)]
            got = np.full(sum(map(len, arriving)), -1, np.int64)
            sent, received = [len(x) for x in mine], [len(x) for x in arriving]
            group.all_to_allv(np.concatenate(mine), sent, got, received, **options)
            want = np.concatenate(arriving)
        case "gather":
            got = np.full(count * size, -1, np.int64) if rank == root else None
            group.gather(each[rank], got, root=root, **options)
            want = np.concatenate(each) if rank == root else None
        case "scatter":
            group.scatter(wide[root] if rank == root else None, got, root=root, **options)
            want = wide[root][block]
        case _:
            group.barrier(**options)
            return
    if got is not None:
        np.testing.assert_array_equal(got, want, f"{collective} by {algorithm}, {count} elements")


COLLECTIVES = (
    "all_reduce", "reduce", "broadcast", "all_gather", "all_gatherv", "reduce_scatter",
    "reduce_scatterv", "all_to_all", "all_to_allv", "gather", "scatter", "barrier",
)  # fmt: skip


def run_all(group: Communicator) -> int:
    runs = 0
    for collective in COLLECTIVES:
        for algorithm in algorithms(collective):
            for count in COUNTS:
                run_one(group, collective, algorithm, count)
                runs += 1
    return runs


@pytest.mark.parametrize(("size", "datapath"), [(2, "shm"), (3, "udp"), (5, "shm")])
def test_every_algorithm_on_real_processes(size: int, datapath: str) -> None:
    for runs in ranks.run(size, run_all, context={"datapaths": [datapath]}):
        assert runs > 100


def star(size: int) -> Schedule:
    """Everything over rank 0: slow, but unlike every built-in."""

    @schedule("all_reduce", size=size, chunks=3, name="star")
    def program(me: Rank) -> None:
        if me.rank != 0:
            sent = me.send(0, me.input[:])
            me.recv(0, me.output[:], after=sent)
            return
        me.copy(me.output[:], me.input[:])
        for other in range(1, me.size):
            me.recv_reduce(other, me.output[:])
        for other in range(1, me.size):
            me.send(other, me.output[:])

    return program


def run_star(group: Communicator) -> None:
    group.register_schedule(star(group.size))
    for count in COUNTS:
        mine = numbers(group.rank, count)
        total = np.sum([numbers(rank, count) for rank in range(group.size)], axis=0)
        out = np.zeros_like(mine)
        group.all_reduce(mine, out, algorithm="star")
        np.testing.assert_array_equal(out, total)
        group.all_reduce(mine, algorithm="star")
        np.testing.assert_array_equal(mine, total)


def refuse_bad(group: Communicator) -> None:
    @schedule("all_reduce", size=group.size, name="lazy")
    def lazy(me: Rank) -> None:
        me.copy(me.output[:], me.input[:])

    with pytest.raises(BadSchedule, match="misses the contribution"):
        group.register_schedule(lazy)
    with pytest.raises(InvalidArgument, match=r"size|ranks"):
        group.register_schedule(star(group.size + 1))
    with pytest.raises(InvalidArgument, match="lazy"):
        group.all_reduce(numbers(group.rank, 8), algorithm="lazy")
    group.all_reduce(numbers(group.rank, 8))  # the group lives on


@pytest.mark.parametrize("body", [run_star, refuse_bad])
def test_schedules_of_our_own(body: Callable[[Communicator], None]) -> None:
    ranks.run(3, body)
