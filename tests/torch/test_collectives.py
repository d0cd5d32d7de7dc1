"""Every operation, type and reduction, against gloo's result or a plain calculation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist

INTEGERS = [torch.uint8, torch.int8, torch.int32, torch.int64]
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
COMPLEX = [torch.complex64, torch.complex128]
MOVED = [*INTEGERS, torch.int16, torch.bool, *FLOATS, *COMPLEX, torch.float8_e4m3fn, torch.uint16]
ORDINARY = [dist.ReduceOp.SUM, dist.ReduceOp.PRODUCT, dist.ReduceOp.MIN, dist.ReduceOp.MAX]
BITWISE = [dist.ReduceOp.BAND, dist.ReduceOp.BOR, dist.ReduceOp.BXOR]
SIZES = [0, 1, 7, 1000, 70_001]


def make(seed: int, rank: int, count: int, dtype: torch.dtype) -> torch.Tensor:
    """A rank's data: small whole numbers, so that results are exact in every type and order."""
    generator = torch.Generator().manual_seed(seed * 64 + rank)
    numbers = torch.randint(1, 4, (count,), generator=generator)
    return numbers.to(dtype)


def everyone(seed: int, size: int, count: int, dtype: torch.dtype) -> list[torch.Tensor]:
    return [make(seed, rank, count, dtype) for rank in range(size)]


def equal(ours: torch.Tensor, theirs: torch.Tensor, what: object) -> None:
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape, what
    # compared as bytes: the numbers are exact, and not every type has an ==
    same = ours.contiguous().view(torch.uint8).equal(theirs.contiguous().view(torch.uint8))
    assert same, f"{what}: {ours} instead of {theirs}"


def reductions(me: Any, seed: int) -> None:
    for dtype in [*INTEGERS, *FLOATS]:
        for op in [*ORDINARY, *(BITWISE if dtype in INTEGERS else [])]:
            for count in SIZES:
                ours = make(seed, me.rank, count, dtype)
                theirs = ours.clone()
                dist.all_reduce(ours, op)
                dist.all_reduce(theirs, op, group=me.gloo) if count else None
                equal(ours, theirs, ("all_reduce", dtype, op, count))
                for root in range(me.size):
                    ours = make(seed, me.rank, count, dtype)
                    theirs = ours.clone()
                    dist.reduce(ours, root, op)
                    dist.reduce(theirs, root, op, group=me.gloo) if count else None
                    if me.rank == root:
                        equal(ours, theirs, ("reduce", dtype, op, count, root))


def test_reductions(world: Any, seed: int) -> None:
    world.run(reductions, seed)


def calculated_reductions(me: Any, seed: int) -> None:
    """What gloo lacks: averages, complex numbers, factors."""
    for dtype in FLOATS:
        for count in SIZES:
            tensor = make(seed, me.rank, count, dtype)
            dist.all_reduce(tensor, dist.ReduceOp.AVG)
            total = sum(t.double() for t in everyone(seed, me.size, count, dtype))
            expected = torch.as_tensor(total) / me.size
            torch.testing.assert_close(tensor.double(), expected, rtol=2**-7, atol=0)
            if dtype in (torch.float32, torch.float64):
                torch.testing.assert_close(tensor.double(), expected, rtol=2**-22, atol=0)
    for dtype in COMPLEX:
        tensor = make(seed, me.rank, 100, dtype) * (1 + 1j)
        dist.all_reduce(tensor)
        expected = torch.stack(everyone(seed, me.size, 100, dtype)).sum(0) * (1 + 1j)
        equal(tensor, expected, ("complex sum", dtype))
    tensor = make(seed, me.rank, 100, torch.float32)
    dist.all_reduce(tensor, dist._make_nccl_premul_sum(0.5))
    expected = torch.stack(everyone(seed, me.size, 100, torch.float32)).sum(0) * 0.5
    equal(tensor, expected, "premultiplied sum")
    tensor = torch.tensor([me.rank % 2 == 0, True, False])
    dist.all_reduce(tensor, dist.ReduceOp.BAND)
    equal(tensor, torch.tensor([me.size == 1, True, False]), "bool and")


def test_calculated_reductions(world: Any, seed: int) -> None:
    world.run(calculated_reductions, seed)


def moves(me: Any, seed: int) -> None:
    """What goes in must come out elsewhere, for every type and in every layout of the tensors."""
    for dtype in MOVED:
        for count in SIZES:
            mine = make(seed, me.rank, count, dtype)
            all_data = everyone(seed, me.size, count, dtype)
            for root in range(me.size):
                tensor = mine.clone()
                dist.broadcast(tensor, root)
                equal(tensor, all_data[root], ("broadcast", dtype, count, root))
                outputs = [torch.empty_like(mine) for _ in range(me.size)]
                dist.gather(mine, outputs if me.rank == root else None, root)
                if me.rank == root:
                    for ours, expected in zip(outputs, all_data, strict=True):
                        equal(ours, expected, ("gather", dtype, count, root))
                tensor = torch.empty_like(mine)
                dist.scatter(tensor, all_data if me.rank == root else None, root)
                equal(tensor, mine, ("scatter", dtype, count, root))
            outputs = [torch.empty_like(mine) for _ in range(me.size)]
            dist.all_gather(outputs, mine)
            for ours, expected in zip(outputs, all_data, strict=True):
                equal(ours, expected, ("all_gather", dtype, count))
            joined = torch.empty(me.size * count, dtype=dtype)
            dist.all_gather_into_tensor(joined, mine)
            equal(joined, torch.cat(all_data), ("all_gather_into_tensor", dtype, count))


def test_moves(world: Any, seed: int) -> None:
    world.run(moves, seed)


def reduce_scatters(me: Any, seed: int) -> None:
    for dtype in [*INTEGERS, *FLOATS]:
        for count in SIZES:
            inputs = everyone(seed, me.size, count * me.size, dtype)
            expected = torch.stack([t.view(me.size, count)[me.rank] for t in inputs]).sum(
                0, dtype=dtype
            )
            output = torch.empty(count, dtype=dtype)
            dist.reduce_scatter_tensor(output, inputs[me.rank])
            equal(output, expected, ("reduce_scatter_tensor", dtype, count))
            output = torch.empty(count, dtype=dtype)
            parts = [t.clone() for t in inputs[me.rank].view(me.size, count)]
            dist.reduce_scatter(output, parts)
            equal(output, expected, ("reduce_scatter", dtype, count))


def test_reduce_scatters(world: Any, seed: int) -> None:
    world.run(reduce_scatters, seed)


def all_to_alls(me: Any, seed: int) -> None:
    for dtype in MOVED:
        mine = make(seed, me.rank, 5 * me.size, dtype)
        output = torch.empty_like(mine)
        dist.all_to_all_single(output, mine)
        expected = [
            t[5 * me.rank : 5 * me.rank + 5] for t in everyone(seed, me.size, 5 * me.size, dtype)
        ]
        equal(output, torch.cat(expected), ("all_to_all_single", dtype))
        dist.all_to_all_single(mine, mine)
        equal(mine, torch.cat(expected), ("all_to_all_single in place", dtype))
    # Uneven: rank s sends (s + 2 d) % 5 rows to rank d.
    rows = [[(s + 2 * d) % 5 for d in range(me.size)] for s in range(me.size)]
    sent, received = rows[me.rank], [row[me.rank] for row in rows]
    source = make(seed, me.rank, 3 * sum(sent), torch.float32).view(-1, 3)
    sources = [
        make(seed, s, 3 * sum(rows[s]), torch.float32).view(-1, 3).split(rows[s])
        for s in range(me.size)
    ]
    expected = torch.cat([sources[s][me.rank] for s in range(me.size)])
    output = torch.empty(sum(received), 3)
    dist.all_to_all_single(output, source, received, sent)
    equal(output, expected, "uneven all_to_all_single")
    outputs = [torch.empty(n, 3) for n in received]
    dist.all_to_all(outputs, list(source.split(sent)))
    equal(torch.cat(outputs), expected, "uneven all_to_all")


def test_all_to_alls(world: Any, seed: int) -> None:
    world.run(all_to_alls, seed)


def layouts(me: Any, seed: int) -> None:
    """Tensors that are not one run of memory, and in-place forms."""
    matrix = make(seed, me.rank, 12 * 8, torch.float32).view(12, 8)
    total = torch.stack([t.view(12, 8) for t in everyone(seed, me.size, 96, torch.float32)]).sum(0)
    for view in (
        lambda m: m.t(),
        lambda m: m[:, ::2],
        lambda m: m[3:7, 1:5],
        lambda m: m.select(1, 3),
    ):
        ours = matrix.clone()
        dist.all_reduce(view(ours))
        expected = matrix.clone()
        view(expected).copy_(view(total))
        equal(ours, expected, "strided all_reduce")
    mine = torch.empty(me.size, 6)
    mine[me.rank] = me.rank
    dist.all_gather_into_tensor(mine, mine[me.rank])  # in place: the input is the own slot
    equal(mine, torch.arange(me.size).float()[:, None].expand(-1, 6), "all_gather in place")
    leaf = torch.ones(3, requires_grad=True)
    dist.all_reduce(leaf.data)
    equal(leaf.detach(), torch.full((3,), float(me.size)), "leaf")
    with torch.inference_mode():
        tensor = torch.ones(4, 4).t()[1:]
    dist.all_reduce(tensor, async_op=True).wait()
    equal(tensor, torch.full((3, 4), float(me.size)), "inference tensor")
    # Lists whose tensors lie in a row already need no copies; lists of uneven tensors are fine.
    whole = torch.zeros(sum(range(1, me.size + 1)))
    dist.all_gather(
        list(whole.split(list(range(1, me.size + 1)))), torch.full((me.rank + 1,), 1.0 + me.rank)
    )
    expected = torch.cat([torch.full((r + 1,), 1.0 + r) for r in range(me.size)])
    equal(whole, expected, "uneven all_gather")
    output = torch.empty(me.rank + 1)
    dist.reduce_scatter(output, [torch.full((r + 1,), 1.0 + r) for r in range(me.size)])
    equal(output, torch.full((me.rank + 1,), (1.0 + me.rank) * me.size), "uneven reduce_scatter")


def test_layouts(world: Any, seed: int) -> None:
    world.run(layouts, seed)


def coalesced(me: Any, seed: int) -> None:
    tensors = [make(seed + i, me.rank, 10 * i, torch.float32) for i in range(4)]
    expected = [
        torch.stack(everyone(seed + i, me.size, 10 * i, torch.float32)).sum(0) for i in range(4)
    ]
    ours = [t.clone() for t in tensors]
    dist.all_reduce_coalesced(ours)
    for got, want in zip(ours, expected, strict=True):
        equal(got, want, "all_reduce_coalesced")
    ours = [t.clone() for t in tensors]
    with dist._coalescing_manager(async_ops=True) as manager:
        for tensor in ours:
            dist.all_reduce(tensor)
    manager.wait()
    for got, want in zip(ours, expected, strict=True):
        equal(got, want, "coalescing manager")
    with dist._coalescing_manager(device=torch.device("cpu"), async_ops=True) as manager:
        outputs = [torch.empty(me.size, 10 * i) for i in range(4)]
        for output, tensor in zip(outputs, tensors, strict=True):
            dist.all_gather_into_tensor(output.view(-1), tensor)
    manager.wait()
    for i, output in enumerate(outputs):
        want = torch.stack(everyone(seed + i, me.size, 10 * i, torch.float32))
        equal(output, want, "coalesced all_gather")


def test_coalesced(world: Any, seed: int) -> None:
    world.run(coalesced, seed)


def sparse(me: Any, seed: int) -> None:
    def of(rank: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed + rank)
        indices = torch.randint(0, 6, (2, 2 * rank), generator=generator)  # rank 0 has none
        return torch.sparse_coo_tensor(indices, torch.ones(2 * rank, 3), (6, 6, 3))

    ours = of(me.rank)
    dist.all_reduce(ours)
    expected = torch.stack([of(rank).to_dense() for rank in range(me.size)]).sum(0)
    equal(ours.to_dense(), expected, "sparse all_reduce")


def test_sparse(world: Any, seed: int) -> None:
    world.run(sparse, seed)


def same_bits(me: Any, seed: int) -> bytes:
    generator = torch.Generator().manual_seed(seed * 64 + me.rank)
    tensor = torch.randn(100_003, generator=generator)
    dist.all_reduce(tensor)
    return tensor.numpy().tobytes()


def test_same_bits_on_every_rank_and_run(world4: Any, seed: int) -> None:
    first, second = world4.run(same_bits, seed), world4.run(same_bits, seed)
    assert len({*first, *second}) == 1


def futures(me: Any, seed: int) -> None:
    """Works that nobody waits for, callbacks that start collectives, and the rest of Work."""
    work = dist.all_reduce(torch.ones(5), async_op=True)
    assert work.get_future().wait()[0].tolist() == [me.size] * 5
    assert work.is_completed() and work.is_success() and work.exception() is None
    assert work.result()[0].tolist() == [me.size] * 5

    def again(future: Any) -> torch.Tensor:
        inner = dist.all_reduce(future.value()[0].clone(), async_op=True).get_future()
        return inner.wait()[0]  # blocks inside a callback, as PowerSGD's hook does

    chained = [
        dist.all_reduce(torch.ones(3), async_op=True).get_future().then(again) for _ in range(1)
    ]
    for future in chained:
        assert future.wait().tolist() == [me.size**2] * 3
    tensor = torch.ones(100_000)
    dist.all_reduce(tensor, async_op=True)  # dropped, but it completes
    dist.barrier()
    many = [dist.all_reduce(torch.full((i,), 1.0), async_op=True) for i in range(50)]
    for work in reversed(many):
        work.wait()
    before = dist.group.WORLD._get_backend(torch.device("cpu"))._get_sequence_number_for_group()
    dist.barrier()
    after = dist.group.WORLD._get_backend(torch.device("cpu"))._get_sequence_number_for_group()
    assert after == before + 1


def test_futures(world: Any, seed: int) -> None:
    world.run(futures, seed)


def objects(me: Any, seed: int) -> None:
    things: list[Any] = [None] * me.size
    dist.all_gather_object(things, {"rank": me.rank, "text": "x" * me.rank})
    assert things == [{"rank": r, "text": "x" * r} for r in range(me.size)]
    some = [me.rank, "from", me.rank] if me.rank == 0 else [None, None, None]
    dist.broadcast_object_list(some, 0)
    assert some == [0, "from", 0]
    got: list[Any] = [None]
    dist.scatter_object_list(got, [f"for {r}" for r in range(me.size)] if me.rank == 0 else None)
    assert got == [f"for {me.rank}"]
    collected = [None] * me.size if me.rank == 0 else None
    dist.gather_object(me.rank**2, collected)
    assert me.rank or collected == [r**2 for r in range(me.size)]


def test_objects(world: Any, seed: int) -> None:
    world.run(objects, seed)


def refusals(me: Any) -> None:
    """Bad input is refused by name before anything runs, and the group lives on."""
    with pytest.raises(ValueError, match=r"all_gather_into_tensor: the output has 3 elements"):
        dist.all_gather_into_tensor(torch.empty(3), torch.empty(2))
    with pytest.raises(ValueError, match="reduce_scatter_tensor"):
        dist.reduce_scatter_tensor(torch.empty(3), torch.empty(3 * me.size + 1))
    with pytest.raises((ValueError, TypeError, RuntimeError), match=r"type|dtype"):
        dist.all_gather([torch.empty(2, dtype=torch.int32)] * me.size, torch.empty(2))
    with pytest.raises(NotImplementedError, match=r"all_reduce.*f8_e4m3"):
        dist.all_reduce(torch.zeros(2, dtype=torch.float8_e4m3fn))
    tensor = torch.ones(2)
    dist.all_reduce(tensor)
    assert tensor.tolist() == [me.size] * 2


def test_refusals(world: Any) -> None:
    world.run(refusals)
