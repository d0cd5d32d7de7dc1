"""The life of groups: making, splitting, shrinking, options, forks, debug mode, registration."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import tempfile
from datetime import timedelta
from typing import Any

import pytest
import torch
import torch.distributed as dist


def total(group: Any = None) -> float:
    tensor = torch.tensor([float(dist.get_rank())])
    dist.all_reduce(tensor, group=group)
    return float(tensor)


def many_groups(me: Any) -> None:
    pairs = [[a, b] for a in range(me.size) for b in range(a + 1, me.size)]
    groups = [(pair, dist.new_group(pair)) for pair in pairs]
    for pair, group in groups:
        if me.rank in pair:
            assert total(group) == sum(pair)
            assert dist.get_backend(group) == "weft"
    for pair, group in groups:
        if me.rank in pair:
            dist.destroy_process_group(group)
    assert total() == sum(range(me.size))


def test_many_groups(world4: Any) -> None:
    world4.run(many_groups)


def split_and_shrink(me: Any) -> None:
    backend = dist.group.WORLD._get_backend(torch.device("cpu"))
    assert backend.supports_splitting and backend.supports_coalescing
    halves = [[0, 1], [2, 3]][me.rank // 2]
    half = dist.group.WORLD.split_group(
        halves, timeout=timedelta(seconds=20), group_name=f"half {me.rank // 2}"
    )
    assert (half.rank(), half.size()) == (me.rank % 2, 2)
    tensor = torch.tensor([me.rank])
    half.allreduce([tensor]).wait()
    assert tensor.item() == sum(halves)
    if me.rank != 3:
        smaller = backend.shrink([3], 0, None)
        assert (smaller.rank(), smaller.size()) == (me.rank, 3)
        tensor = torch.tensor([me.rank])
        smaller.allreduce([tensor], dist.AllreduceOptions()).wait()
        assert tensor.item() == 3
    dist.barrier()


def test_split_and_shrink(world4: Any) -> None:
    world4.run(split_and_shrink)


def surface(me: Any) -> None:
    backend = dist.group.WORLD._get_backend(torch.device("cpu"))
    assert backend.name() == "weft"
    assert (backend.rank(), backend.size()) == (me.rank, me.size)
    assert backend.get_error() == type(backend.get_error()).SUCCESS
    options = copy.deepcopy(backend.options)
    assert options.backend == "weft"
    backend._set_default_timeout(timedelta(seconds=17))
    assert backend.options._timeout == timedelta(seconds=17)
    backend._set_default_timeout(options._timeout)


def test_surface(world2: Any) -> None:
    world2.run(surface)


def shut_down(me: Any) -> None:
    group = dist.new_group([0, 1])
    backend = group._get_backend(torch.device("cpu"))
    backend.shutdown()
    with pytest.raises(dist.DistBackendError, match="shut down"):
        backend.barrier(dist.BarrierOptions())


def test_shut_down(world2: Any) -> None:
    world2.run(shut_down)


def forked(me: Any) -> None:
    """A child neither disturbs its parent's group nor may use it, and can make its own."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with pytest.raises(RuntimeError, match="before this process was forked"):
                dist.all_reduce(torch.ones(1))
            dist.destroy_process_group()
            with tempfile.TemporaryDirectory() as folder:
                store = dist.FileStore(f"{folder}/store", 1)
                dist.init_process_group("weft", store=store, rank=0, world_size=1)
                assert total() == 0
                work = dist.all_reduce(torch.ones(3), async_op=True)
                assert work.get_future().wait()[0].tolist() == [1, 1, 1]
                dist.destroy_process_group()
            code = 0
        finally:
            os._exit(code)
    assert total() == sum(range(me.size))
    _, status = os.waitpid(pid, 0)
    assert status == 0
    assert total() == sum(range(me.size))


def test_forked(world2: Any) -> None:
    world2.run(forked)


def run_alone(program: str, **environment: str) -> str:
    """Output of a program in an interpreter of its own."""
    run = subprocess.run(
        [sys.executable, "-P", "-c", program],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, **environment},
    )
    assert run.returncode == 0, run.stderr[-4000:]
    return run.stdout


ONE_RANK = """
import tempfile
dist.init_process_group("weft", store=dist.FileStore(tempfile.mktemp(), 1), rank=0, world_size=1)
tensor = torch.ones(2)
dist.all_reduce(tensor)
dist.destroy_process_group()
print(dist.Backend.WEFT, tensor.tolist())
"""


@pytest.mark.parametrize(
    "imports",
    [
        "import torch, torch.distributed as dist",
        "import weft, torch, torch.distributed as dist",
        "import torch, torch.distributed as dist, weft",
        "import weft.collectives.torch, torch, torch.distributed as dist",
    ],
)
def test_registration(imports: str) -> None:
    assert run_alone(imports + ONE_RANK) == "weft [1.0, 1.0]\n"


def test_registration_without_autoload() -> None:
    program = "import weft.collectives.torch, torch, torch.distributed as dist" + ONE_RANK
    assert run_alone(program, TORCH_DEVICE_BACKEND_AUTOLOAD="0") == "weft [1.0, 1.0]\n"


def test_import_of_weft_leaves_torch_alone() -> None:
    assert run_alone("import sys, weft; print('torch' in sys.modules)") == "False\n"


def test_missing_extension_is_explained() -> None:
    output = run_alone(
        "import torch\n"
        "torch.__version__ = torch.torch_version.TorchVersion('2.99.1')\n"
        "try:\n    import weft.collectives.torch\nexcept ImportError as error: print(error)"
    )
    assert "torch 2.99.1" in output and "--no-build-isolation" in output


AGAIN = """
import tempfile
store = dist.FileStore(tempfile.mktemp(), 1)
for _ in range(3):
    dist.init_process_group("weft", store=store, rank=0, world_size=1)
    dist.barrier()
    dist.destroy_process_group()
print("done")
"""


def test_one_store_serves_again() -> None:
    assert run_alone("import torch, torch.distributed as dist" + AGAIN) == "done\n"


def test_wrong_options_are_refused() -> None:
    program = """
import torch, tempfile, torch.distributed as dist
try:
    store = dist.FileStore(tempfile.mktemp(), 1)
    dist.init_process_group("weft", store=store, rank=0, world_size=1, pg_options=3)
except TypeError as error:
    print(error)
"""
    assert "weft.collectives.torch.Options" in run_alone(program)


def debug_detail(me: Any) -> str:
    tensor = torch.ones(3)
    dist.all_reduce(tensor)
    assert tensor.tolist() == [me.size] * 3
    outputs = [torch.empty(2) for _ in range(me.size)]
    dist.all_gather(outputs, torch.full((2,), float(me.rank)))
    assert [int(t[0]) for t in outputs] == list(range(me.size))
    try:
        dist.all_reduce(torch.ones(3 + me.rank))
    except RuntimeError as error:
        return str(error)
    return "no error"


def test_debug_detail(fresh_world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's own wrapper stands between user and backend, and compares the calls of all ranks."""
    monkeypatch.setenv("TORCH_DISTRIBUTED_DEBUG", "DETAIL")
    dist.set_debug_level_from_env()
    try:
        world = fresh_world(2, compare=False)
    finally:
        monkeypatch.delenv("TORCH_DISTRIBUTED_DEBUG")
        dist.set_debug_level_from_env()
    assert all("Detected mismatch" in message for message in world.run(debug_detail))


def options() -> Any:
    from weft.collectives.torch import Options

    return Options(secret="of this test", datapaths="shm", algorithms="all_reduce=ring")


def test_options(fresh_world: Any) -> None:
    assert fresh_world(3, compare=False, options=options).run(sums) == [3.0] * 3


def sums(me: Any) -> float:
    return total()


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU: staging of accelerator tensors needs one"
)
def test_gpu_tensors(fresh_world: Any) -> None:
    fresh_world(2, compare=False).run(gpu_tensors)


def gpu_tensors(me: Any) -> None:
    for count in (1, 1000, 5_000_000):
        tensor = torch.full((count,), float(me.rank + 1), device="cuda")
        work = dist.all_reduce(tensor, async_op=True)
        work.wait()
        assert torch.equal(tensor, torch.full_like(tensor, sum(range(1, me.size + 1))))
        joined = torch.empty(me.size * count, device="cuda")
        dist.all_gather_into_tensor(joined, torch.full((count,), float(me.rank), device="cuda"))
        assert torch.equal(joined.view(me.size, -1)[:, 0].cpu(), torch.arange(float(me.size)))
        part = torch.empty(count, device="cuda")
        dist.reduce_scatter_tensor(part, torch.ones(me.size * count, device="cuda"))
        assert torch.equal(part, torch.full_like(part, me.size))
