"""Accelerator tensors: staged through the host in the right order, on a device slow on purpose."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import (
    AllgatherOptions,
    AllreduceOptions,
    BroadcastOptions,
    ReduceScatterOptions,
)

HERE = Path(__file__).parent
# Compiling against torch takes a quarter of a minute, and many times that on a busy machine.
pytestmark = pytest.mark.timeout(900)
PIPELINED = 2_500_000  # floats: more than two parts of the pipeline


@pytest.fixture(scope="module")
def slow_device(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of the compiled device. Only ranks load it: torch changes with an accelerator around."""
    if shutil.which("c++") is None:
        pytest.skip("the device of these tests is compiled when they run, and there is no c++")
    from torch.utils import cpp_extension

    module = tmp_path_factory.mktemp("slow_device") / "slow_device.so"
    includes = [*cpp_extension.include_paths(), sysconfig.get_paths()["include"]]
    libraries = [f"-L{path}" for path in cpp_extension.library_paths()]
    abi = int(torch.compiled_with_cxx11_abi())
    subprocess.run(
        ["c++", "-std=c++20", "-O0", "-shared", "-fPIC", str(HERE / "slow_device.cc"), "-o", module]
        + [f"-I{path}" for path in includes]
        + [f"-D_GLIBCXX_USE_CXX11_ABI={abi}", "-DTORCH_EXTENSION_NAME=slow_device"]
        + [*libraries, "-lc10", "-ltorch", "-ltorch_cpu", "-ltorch_python"],
        check=True,
        timeout=800,
    )
    return str(module)


def load(path: str) -> Any:
    loader = importlib.machinery.ExtensionFileLoader("slow_device", path)
    spec = importlib.util.spec_from_loader("slow_device", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def collectives(me: Any, path: str) -> None:
    device = load(path)
    backend = dist.group.WORLD._get_backend(torch.device("cpu"))
    total = float(sum(range(1, me.size + 1)))
    for count in (1, 1000, PIPELINED):
        ones = torch.full((count,), me.rank + 1.0)
        tensor = device.to_device(ones)  # still on its way when the collective is called
        options = AllreduceOptions()
        backend.allreduce([tensor], options).wait()
        assert device.to_host(tensor).eq(total).all()  # to_host waits for the current stream only

        joined = device.to_device(torch.zeros(me.size * count))
        backend._allgather_base(joined, device.to_device(ones), AllgatherOptions()).wait()
        expected = torch.arange(1.0, me.size + 1).repeat_interleave(count)
        assert device.to_host(joined).equal(expected)

        part = device.to_device(torch.zeros(count))
        whole = device.to_device(expected)
        backend._reduce_scatter_base(part, whole, ReduceScatterOptions()).wait()
        assert device.to_host(part).eq((me.rank + 1.0) * me.size).all()

        tensor = device.to_device(ones)
        options = BroadcastOptions()
        options.rootRank = me.size - 1
        backend.broadcast([tensor], options).wait()
        assert device.to_host(tensor).eq(me.size).all()

        outputs = [device.to_device(torch.zeros(count)) for _ in range(me.size)]
        backend.allgather([outputs], [device.to_device(ones)], AllgatherOptions()).wait()
        for rank, output in enumerate(outputs):
            assert device.to_host(output).eq(rank + 1.0).all()


def test_collectives(fresh_world: Any, slow_device: str) -> None:
    fresh_world(3, compare=False).run(collectives, slow_device)


def futures(me: Any, path: str) -> None:
    """Nobody waits for the works; host collectives run between them, at each rank's own pace."""
    device = load(path)
    backend = dist.group.WORLD._get_backend(torch.device("cpu"))
    tensors = [device.to_device(torch.full((1000 * i + 1,), 1.0)) for i in range(6)]
    pending = []
    for tensor in tensors:
        work = backend.allreduce([tensor], AllreduceOptions())
        pending.append(work.get_future())
        host = torch.ones(10)
        dist.all_reduce(host)
        assert host.eq(me.size).all()
    for future, tensor in zip(pending, tensors, strict=True):
        future.wait()
        assert device.to_host(tensor).eq(me.size).all()
    work = backend.allreduce([tensors[0]], AllreduceOptions())
    while not work.is_completed():  # bounded by the operation's own deadline
        pass
    assert work.is_success()
    work.wait()
    assert device.to_host(tensors[0]).eq(me.size**2).all()


def test_futures(fresh_world: Any, slow_device: str) -> None:
    fresh_world(2, compare=False).run(futures, slow_device)


def messages(me: Any, path: str) -> None:
    device = load(path)
    backend = dist.group.WORLD._get_backend(torch.device("cpu"))
    other = 1 - me.rank
    got = device.to_device(torch.zeros(50_000))
    backend._start_coalescing()
    backend.recv([got], other, 0)
    backend.send([device.to_device(torch.full((50_000,), me.rank + 1.0))], other, 0)
    backend._end_coalescing().wait()
    assert device.to_host(got).eq(other + 1.0).all()


def test_messages(fresh_world: Any, slow_device: str) -> None:
    fresh_world(2, compare=False).run(messages, slow_device)


def failures(me: Any, path: str) -> str:
    device = load(path)
    backend = dist.group.WORLD._get_backend(torch.device("cpu"))
    tensor = device.to_device(torch.ones(10 + me.rank))
    try:
        backend.allreduce([tensor], AllreduceOptions()).wait()
    except dist.DistBackendError as error:
        return str(error)
    return "no error"


def test_failures(fresh_world: Any, slow_device: str) -> None:
    for message in fresh_world(2, compare=False).run(failures, slow_device):
        assert "WEFT_ERR_MISMATCH" in message
