"""Sends and receives: tags, any source, batches, every rank to every other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist


def message(source: int, to: int, tag: int, count: int) -> torch.Tensor:
    return torch.arange(count, dtype=torch.float32) + 1000 * source + 100 * to + 10 * tag


def everyone_to_everyone(me: Any) -> None:
    for count in (0, 1, 1000, 300_000):
        others = [rank for rank in range(me.size) if rank != me.rank]
        got = {rank: torch.empty(count) for rank in others}
        works = [dist.irecv(got[rank], rank, tag=3) for rank in others]
        works += [dist.isend(message(me.rank, rank, 3, count), rank, tag=3) for rank in others]
        for work in works:
            work.wait()
        for rank in others:
            assert got[rank].equal(message(rank, me.rank, 3, count)), (count, rank)


def test_everyone_to_everyone(world: Any) -> None:
    world.run(everyone_to_everyone)


def tags_and_order(me: Any) -> None:
    """Tags are matched in any order, equal tags in the order of sending."""
    if me.rank == 0:
        for tag in (5, 6, 5):
            dist.send(torch.tensor([tag, me.rank], dtype=torch.int32), 1, tag=tag)
            dist.send(torch.tensor([tag * 10, me.rank], dtype=torch.int32), 1, tag=tag)
    elif me.rank == 1:
        got = torch.empty(2, dtype=torch.int32)
        for tag, expected in [(6, 6), (5, 5), (5, 50), (6, 60), (5, 5), (5, 50)]:
            assert dist.recv(got, 0, tag=tag) == 0
            assert got[0] == expected
    dist.barrier()


def test_tags_and_order(world2: Any) -> None:
    world2.run(tags_and_order)


def any_source(me: Any) -> None:
    for root in range(me.size):
        if me.rank == root:
            seen = {}
            for _ in range(me.size - 1):
                got = torch.empty(4)
                source = dist.recv(got, tag=root)
                seen[source] = got
            assert sorted(seen) == [rank for rank in range(me.size) if rank != root]
            for source, got in seen.items():
                assert got.equal(message(source, root, root, 4))
        else:
            dist.send(message(me.rank, root, root, 4), root, tag=root)
        dist.barrier()


def test_any_source(world4: Any) -> None:
    world4.run(any_source)


def batched(me: Any) -> None:
    left, right = (me.rank - 1) % me.size, (me.rank + 1) % me.size
    got = torch.empty(50_000)
    works = dist.batch_isend_irecv(
        [
            dist.P2POp(dist.irecv, got, left),
            dist.P2POp(dist.isend, message(me.rank, right, 0, 50_000), right),
        ]
    )
    for work in works:
        work.wait()
    assert got.equal(message(left, me.rank, 0, 50_000))


def test_batched(world4: Any) -> None:
    world4.run(batched)


def strided(me: Any) -> None:
    if me.rank == 0:
        dist.send(torch.arange(12.0).view(3, 4).t(), 1)
    elif me.rank == 1:
        room = torch.zeros(4, 6)
        dist.recv(room[:, ::2], 0)
        assert room[:, ::2].equal(torch.arange(12.0).view(3, 4).t())
        assert room[:, 1::2].count_nonzero() == 0


def test_strided(world2: Any) -> None:
    world2.run(strided)


def objects(me: Any) -> None:
    if me.rank == 0:
        dist.send_object_list([{"a": 1}, "b"], 1)
    else:
        got: list[Any] = [None, None]
        dist.recv_object_list(got, 0)
        assert got == [{"a": 1}, "b"]


def test_objects(world2: Any) -> None:
    world2.run(objects)


def refusals(me: Any) -> None:
    with pytest.raises(ValueError, match="tag -1"):
        dist.isend(torch.ones(1), (me.rank + 1) % me.size, tag=-1)
    backend = dist.group.WORLD._get_backend(torch.device("cpu"))
    with pytest.raises(ValueError, match=r"rank|7"):
        backend.send([torch.ones(1)], 7, 0)


def test_refusals(world2: Any) -> None:
    world2.run(refusals)
