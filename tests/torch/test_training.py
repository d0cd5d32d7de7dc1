"""What people run on a backend: DDP, FSDP2, DTensor, meshes, functionals, torch.compile."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.BatchNorm1d(64), nn.Linear(64, 10))


def train(model: nn.Module, seed: int, rank: int, size: int, steps: int = 5) -> list[float]:
    """Losses of a few steps on this rank's share of the same batches."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(steps):
        inputs = torch.randn(8 * size, 32, generator=generator)[rank::size]
        labels = torch.randint(0, 10, (8 * size,), generator=generator)[rank::size]
        loss = nn.functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    return losses


def ddp(me: Any, seed: int) -> None:
    for settings in ({}, {"bucket_cap_mb": 0.001}, {"find_unused_parameters": True}):
        ours = DistributedDataParallel(network(seed), **settings)
        theirs = DistributedDataParallel(network(seed), process_group=me.gloo, **settings)
        assert torch.allclose(
            torch.tensor(train(ours, seed, me.rank, me.size)),
            torch.tensor(train(theirs, seed, me.rank, me.size)),
            rtol=1e-5,
        )
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_ddp(world: Any, seed: int) -> None:
    world.run(ddp, seed)


def ddp_hooks(me: Any, seed: int) -> None:
    """Communication hooks hang callbacks on the works' futures, and start collectives in them."""
    from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook

    compressed = DistributedDataParallel(network(seed), bucket_cap_mb=0.001)
    compressed.register_comm_hook(None, default_hooks.fp16_compress_hook)
    assert all(loss < 10 for loss in train(compressed, seed, me.rank, me.size))
    low_rank = DistributedDataParallel(network(seed))
    state = powerSGD_hook.PowerSGDState(
        None, matrix_approximation_rank=2, start_powerSGD_iter=2, min_compression_rate=0.1
    )
    low_rank.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
    assert all(loss < 10 for loss in train(low_rank, seed, me.rank, me.size))


def test_ddp_hooks(world2: Any, seed: int) -> None:
    world2.run(ddp_hooks, seed)


def fsdp(me: Any, seed: int) -> None:
    mesh = init_device_mesh("cpu", (me.size,))
    assert mesh.get_group()._get_backend(torch.device("cpu")).name() == "weft"
    sharded = network(seed)
    for layer in sharded:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=mesh)
    fully_shard(sharded, mesh=mesh)
    whole = DistributedDataParallel(network(seed), process_group=me.gloo)
    torch.testing.assert_close(
        torch.tensor(train(sharded, seed, me.rank, me.size)),
        torch.tensor(train(whole, seed, me.rank, me.size)),
    )


def test_fsdp(world: Any, seed: int) -> None:
    world.run(fsdp, seed)


def mesh_2d(me: Any, seed: int) -> None:
    """Data-parallel rows, tensor-parallel columns."""
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "tensor"))
    tensor = torch.tensor([float(me.rank)])
    dist.all_reduce(tensor, group=mesh["data"].get_group())
    assert tensor.item() == {0: 2, 1: 4, 2: 2, 3: 4}[me.rank]
    tensor = torch.tensor([float(me.rank)])
    dist.all_reduce(tensor, group=mesh["tensor"].get_group())
    assert tensor.item() == {0: 1, 1: 1, 2: 5, 3: 5}[me.rank]

    model = network(seed)[:2]
    expected = copy.deepcopy(model)
    from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

    parallelize_module(model, mesh["tensor"], {"0": ColwiseParallel(output_layouts=Replicate())})
    fully_shard(model, mesh=mesh["data"])
    inputs = torch.randn(6, 32, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(model(inputs), expected(inputs))


def test_mesh_2d(world4: Any, seed: int) -> None:
    world4.run(mesh_2d, seed)


def dtensor(me: Any, seed: int) -> None:
    mesh = DeviceMesh("cpu", list(range(me.size)))
    whole = torch.randn(10, 7, generator=torch.Generator().manual_seed(seed))
    rows = distribute_tensor(whole, mesh, [Shard(0)])
    torch.testing.assert_close(rows.full_tensor(), whole)
    columns = rows.redistribute(mesh, [Shard(1)])  # all_to_all
    torch.testing.assert_close(columns.full_tensor(), whole)
    parts = DTensor.from_local(whole * (me.rank + 1), mesh, [Partial()])
    total = whole * sum(range(1, me.size + 1))
    torch.testing.assert_close(parts.redistribute(mesh, [Replicate()]).to_local(), total)
    torch.testing.assert_close(parts.redistribute(mesh, [Shard(0)]).full_tensor(), total)
    product = columns @ distribute_tensor(whole.t().contiguous(), mesh, [Shard(0)])
    torch.testing.assert_close(product.full_tensor(), whole @ whole.t())


def test_dtensor(world: Any, seed: int) -> None:
    world.run(dtensor, seed)


def functionals(me: Any, seed: int) -> None:
    mine = torch.arange(4.0 * me.size) + me.rank
    for name, call in {
        "all_reduce": lambda group: functional.all_reduce(mine, "sum", group),
        "all_gather": lambda group: functional.all_gather_tensor(mine, 0, group),
        "reduce_scatter": lambda group: functional.reduce_scatter_tensor(mine, "sum", 0, group),
        "all_to_all": lambda group: functional.all_to_all_single(mine, None, None, group),
        "broadcast": lambda group: functional.broadcast(mine, 0, group),
        "coalesced": lambda group: torch.cat(
            functional.all_reduce_coalesced([mine, mine * 2], "sum", group)
        ),
    }.items():
        ours, theirs = call(dist.group.WORLD), call(me.gloo)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, msg=name)


def test_functionals(world: Any, seed: int) -> None:
    world.run(functionals, seed)


def compiled(me: Any, seed: int) -> None:
    """The graph is compiled whole (aot_eager: no C++ compiler runs in this test)."""

    def step(tensor: torch.Tensor) -> torch.Tensor:
        total = functional.all_reduce(tensor * 2, "sum", dist.group.WORLD)
        return functional.all_gather_tensor(total + 1, 0, dist.group.WORLD)

    def in_place(tensor: torch.Tensor) -> torch.Tensor:
        dist.all_reduce(tensor)
        return tensor + 1

    torch._dynamo.reset()
    mine = torch.full((3,), float(me.rank))
    whole = torch.compile(step, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(whole(mine), step(mine))
    whole = torch.compile(in_place, fullgraph=True, backend="aot_eager")
    expected = float(sum(range(me.size)) + 1)
    torch.testing.assert_close(whole(mine.clone()), torch.full((3,), expected))


def test_compiled(world2: Any, seed: int) -> None:
    world2.run(compiled, seed)
