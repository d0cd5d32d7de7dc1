"""Accelerator tensors: staged through the host in the right order, on a device slow on purpose."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
import subprocess
import sysconfig
from datetime import timedelta
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

from weft.collectives.torch import offer_stream_wait

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


WAITS = pytest.mark.parametrize("stream_waits", [False, True], ids=["host waits", "stream waits"])


def load(path: str, stream_waits: bool = False) -> Any:
    loader = importlib.machinery.ExtensionFileLoader("slow_device", path)
    spec = importlib.util.spec_from_loader("slow_device", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    if stream_waits:
        offer_stream_wait("slow_device", module.wait_value)
    return module


def collectives(me: Any, path: str, stream_waits: bool) -> None:
    device = load(path, stream_waits)
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


@WAITS
def test_collectives(fresh_world: Any, slow_device: str, stream_waits: bool) -> None:
    fresh_world(3, compare=False).run(collectives, slow_device, stream_waits)


def futures(me: Any, path: str, stream_waits: bool) -> None:
    """Nobody waits for the works; host collectives run between them, at each rank's own pace."""
    device = load(path, stream_waits)
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


@WAITS
def test_futures(fresh_world: Any, slow_device: str, stream_waits: bool) -> None:
    fresh_world(2, compare=False).run(futures, slow_device, stream_waits)


def messages(me: Any, path: str, stream_waits: bool) -> None:
    device = load(path, stream_waits)
    backend = dist.group.WORLD._get_backend(torch.device("cpu"))
    other = 1 - me.rank
    got = device.to_device(torch.zeros(50_000))
    backend._start_coalescing()
    backend.recv([got], other, 0)
    backend.send([device.to_device(torch.full((50_000,), me.rank + 1.0))], other, 0)
    backend._end_coalescing().wait()
    assert device.to_host(got).eq(other + 1.0).all()


@WAITS
def test_messages(fresh_world: Any, slow_device: str, stream_waits: bool) -> None:
    fresh_world(2, compare=False).run(messages, slow_device, stream_waits)


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


def host_goes_on(me: Any, path: str) -> None:
    """Rank 1 joins only after wait() has returned on rank 0, and rank 0's stream has its result."""
    device = load(path, stream_waits=True)
    backend = dist.group.WORLD._get_backend(torch.device("cpu"))
    store = dist.PrefixStore("host_goes_on", dist.distributed_c10d._get_default_store())
    tensor = device.to_device(torch.full((PIPELINED,), me.rank + 1.0))
    if me.rank == 1:
        store.wait(["waited"])
    work = backend.allreduce([tensor], AllreduceOptions())
    future = work.get_future()
    work.wait()
    future.wait()
    if me.rank == 0:
        assert not work.is_completed()
        store.set("waited", "")
    assert device.to_host(tensor).eq(3).all()
    assert work.is_completed() and work.is_success()


def test_wait_does_not_block_the_host(fresh_world: Any, slow_device: str) -> None:
    fresh_world(2, compare=False).run(host_goes_on, slow_device)


def late_failures(me: Any, path: str) -> list[str]:
    device = load(path, stream_waits=True)
    backend = dist.group.WORLD._get_backend(torch.device("cpu"))
    errors = []
    for wait in ({}, {"timeout": timedelta(seconds=60)}):
        tensor = device.to_device(torch.ones(10 + me.rank))
        work = backend.allreduce([tensor], AllreduceOptions())
        try:
            work.wait(**wait)
            while not work.is_completed():  # bounded by the operation's own deadline
                pass
            assert not work.is_success()
            backend.allreduce([device.to_device(torch.ones(1))], AllreduceOptions())
        except dist.DistBackendError as error:
            errors.append(str(error))
    return errors


def test_a_late_failure_is_told_by_the_next_operation(fresh_world: Any, slow_device: str) -> None:
    """And by a wait with a time-out, which waits for the host."""
    for errors in fresh_world(2, compare=False).run(late_failures, slow_device):
        assert len(errors) == 2
        assert all("WEFT_ERR_MISMATCH" in error for error in errors)
