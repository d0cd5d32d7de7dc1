"""What survivors see: an error that names the peer, in bounded time, in a process that lives."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

OPERATIONS: dict[str, Callable[[int, int], Any]] = {
    "all_reduce": lambda rank, size: dist.all_reduce(torch.ones(50_000)),
    "all_gather": lambda rank, size: dist.all_gather_into_tensor(
        torch.empty(size * 5000), torch.ones(5000)
    ),
    "reduce_scatter": lambda rank, size: dist.reduce_scatter_tensor(
        torch.empty(5000), torch.ones(size * 5000)
    ),
    "all_to_all": lambda rank, size: dist.all_to_all_single(
        torch.empty(size * 5000), torch.ones(size * 5000)
    ),
    "broadcast": lambda rank, size: dist.broadcast(torch.ones(50_000), 0),
    "barrier": lambda rank, size: dist.barrier(),
}


def until_failure(me: Any, name: str) -> tuple[str, float]:
    """Repeats the operation until it fails; the error and the seconds that the last one took."""
    while True:
        began = time.monotonic()
        try:
            OPERATIONS[name](me.rank, me.size)
        except dist.DistBackendError as error:
            return str(error), time.monotonic() - began


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_killed_rank(fresh_world: Any, name: str) -> None:
    world = fresh_world(3, compare=False)
    assert world.run(works, 3) == [3.0] * 3
    world.start(until_failure, name)
    world.kill(1)
    for survivor in (0, 2):
        message, seconds = world.result(survivor)
        assert "rank 1" in message and "WEFT_ERR_" in message, message
        assert seconds < 10, message


def works(me: Any, size: int) -> float:
    tensor = torch.ones(1)
    dist.all_reduce(tensor)
    return float(tensor)


def test_stopped_rank(fresh_world: Any) -> None:
    """A rank that hangs without dying: the operation's deadline ends the wait and names it."""
    world = fresh_world(3, compare=False, timeout=3.0)
    assert world.run(works, 3) == [3.0] * 3
    world.kill(1, signal.SIGSTOP)
    world.start(until_failure, "all_reduce")
    try:
        for survivor in (0, 2):
            message, seconds = world.result(survivor)
            assert "rank 1" in message, message
            assert seconds < 15
    finally:
        world.kill(1, signal.SIGKILL)
        world.broken = True


def late(me: Any) -> str:
    """Rank 1 does not call; the time-out of the one operation ends it."""
    if me.rank == 1:
        return ""
    options = dist.AllreduceOptions()
    options.timeout = timedelta(milliseconds=300)
    options.asyncOp = False
    try:
        dist.group.WORLD.allreduce([torch.ones(10)], options).wait()
    except dist.DistBackendError as error:
        return str(error)
    return "no error"


def test_operation_timeout(fresh_world: Any) -> None:
    world = fresh_world(2, compare=False)
    message = world.run(late)[0]
    assert "WEFT_ERR_TIMEOUT" in message and "rank 1" in message and " timeout " in message


def waits_out(me: Any) -> str:
    """A time-out of wait() alone leaves the operation going."""
    if me.rank == 1:
        time.sleep(0.5)  # rank 0's first wait must end before this rank comes
        dist.all_reduce(torch.ones(1))
        return ""
    work = dist.all_reduce(torch.ones(1), async_op=True)
    try:
        work.wait(timedelta(milliseconds=50))
    except dist.DistBackendError as error:
        work.wait()
        return str(error)
    return "no error"


def test_wait_timeout(fresh_world: Any) -> None:
    assert "it goes on" in fresh_world(2, compare=False).run(waits_out)[0]


def differs(me: Any, what: str) -> str:
    one = me.rank == 1
    try:
        if what == "size":
            dist.all_reduce(torch.ones(11 if one else 10))
        elif what == "type":
            dist.all_reduce(torch.ones(10, dtype=torch.float64 if one else torch.float32))
        elif what == "reduction":
            dist.all_reduce(torch.ones(10), dist.ReduceOp.MAX if one else dist.ReduceOp.SUM)
        elif what == "operation":
            dist.barrier() if one else dist.all_reduce(torch.ones(10))
        elif what == "root":
            dist.broadcast(torch.ones(10), 1 if one else 0)
            dist.barrier()  # small broadcasts end at their root before anybody else has come
    except dist.DistBackendError as error:
        return str(error)
    return "no error"


@pytest.mark.parametrize("what", ["size", "type", "reduction", "operation", "root"])
def test_mismatch(fresh_world: Any, what: str) -> None:
    messages = fresh_world(3, compare=False, timeout=5.0).run(differs, what)
    assert all("WEFT_ERR_" in message for message in messages), messages
    assert any("WEFT_ERR_MISMATCH" in m and "rank" in m for m in messages), messages


def aborted(me: Any) -> str:
    work = dist.all_reduce(torch.ones(10), async_op=True) if me.rank else None
    if me.rank == 0:
        backend = dist.group.WORLD._get_backend(torch.device("cpu"))
        backend.abort()
        backend.abort()  # once more does no harm
        with pytest.raises(dist.DistBackendError):
            dist.barrier()
        dist.distributed_c10d._abort_process_group()
        return ""
    try:
        work.wait()
    except dist.DistBackendError as error:
        return str(error)
    return "no error"


def test_abort(fresh_world: Any) -> None:
    for message in fresh_world(3, compare=False).run(aborted)[1:]:
        assert "WEFT_ERR_ABORTED" in message and "rank 0" in message, message


def future_fails(me: Any) -> str:
    if me.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    future = dist.all_reduce(torch.ones(10), async_op=True).get_future()
    try:
        future.wait()
    except RuntimeError as error:
        backend = dist.group.WORLD._get_backend(torch.device("cpu"))
        assert backend.get_error() != type(backend.get_error()).SUCCESS
        return str(error)
    return "no error"


def test_failure_reaches_futures(fresh_world: Any) -> None:
    world = fresh_world(2, compare=False)
    world.start(future_fails)
    assert "rank 1" in world.result(0)


def interrupted(me: Any) -> str:
    """Waits for a rank that never calls until Ctrl-C."""
    if me.rank == 1:
        return ""
    try:
        Path(os.environ["WEFT_TEST_WAITING"]).touch()
        dist.all_reduce(torch.ones(10))
    except KeyboardInterrupt:
        return "interrupted"
    return "no interrupt"


def test_ctrl_c(fresh_world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = tmp_path / "waiting"
    monkeypatch.setenv("WEFT_TEST_WAITING", str(waiting))
    world = fresh_world(2, compare=False, timeout=60.0)
    world.start(interrupted)
    deadline = time.monotonic() + 30
    while not waiting.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    began = time.monotonic()
    world.kill(0, signal.SIGINT)
    assert world.result(0) == "interrupted"
    assert time.monotonic() - began < 10
    world.broken = True


def test_wrong_secret(tmp_path: Path) -> None:
    messages = _init_in_children(tmp_path, [{"secret": "right"}, {"secret": "wrong"}], 2)
    assert any("WEFT_ERR_AUTH" in m or "WEFT_ERR_UNREACHABLE" in m for m in messages), messages
    assert all("no error" not in message for message in messages), messages


def test_peer_that_never_comes(tmp_path: Path) -> None:
    messages = _init_in_children(tmp_path, [{}, {}], 3)
    for message in messages:
        assert "rank(s) 2" in message and "WEFT_ERR_UNREACHABLE" in message, message


def test_bad_option_is_named_on_all_ranks(tmp_path: Path) -> None:
    messages = _init_in_children(tmp_path, [{"datapaths": "carrier_pigeon"}, {}], 2)
    assert all("carrier_pigeon" in message for message in messages), messages
    assert "rank 0 could not start" in messages[1]


def _init_in_children(folder: Path, options: list[dict[str, str]], size: int) -> list[str]:
    """Forks a process per options, each of which tries to join a group of `size`; their errors."""
    pipes = []
    for rank, settings in enumerate(options):
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            message = "no error"
            try:
                from weft.collectives.torch import Options

                dist.init_process_group(
                    "weft",
                    store=dist.FileStore(str(folder / "store"), size),
                    rank=rank,
                    world_size=size,
                    timeout=timedelta(seconds=3),
                    pg_options=Options(**settings),
                )
            except Exception as error:
                message = str(error)
            os.write(theirs, message.encode()[:4000])
            os._exit(0)
        os.close(theirs)
        pipes.append((pid, ours))
    messages = []
    for pid, pipe in pipes:
        with os.fdopen(pipe) as stream:
            messages.append(stream.read())
        os.waitpid(pid, 0)
    return messages


def shared_memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").iterdir() if "weft" in path.name}


def test_nothing_is_left_behind(fresh_world: Any) -> None:
    before = shared_memory()
    world = fresh_world(3, compare=False)
    world.run(works, 3)
    world.kill(1)
    world.start(until_failure, "all_reduce")
    for survivor in (0, 2):
        world.result(survivor)
    world.close()
    assert shared_memory() <= before
