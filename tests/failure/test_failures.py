"""What happens when things go wrong: a typed error that names the peer, in bounded time, in a
process that lives on and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ranks

from weft.collectives import Communicator
from weft.transport import Context
from weft.transport.errors import (
    Aborted,
    DeadlineExceeded,
    InvalidArgument,
    OutOfResources,
    PeerDied,
    Unauthorized,
    Unreachable,
    WeftError,
    WrongState,
)

DATAPATHS = ("shm", "udp")
# The promise is two seconds; the machine that runs the tests may be busy with others.
DETECTION = 6.0
LARGE = 3_000_000


def calls(group: Communicator, count: int) -> dict[str, Callable[[], Any]]:
    """Every collective as a call that can be repeated for ever."""
    x = np.ones(count, "float32")
    wide = np.ones(count * group.size, "float32")
    whole = np.empty_like(wide)
    counts = [count] * group.size
    return {
        "all_reduce": lambda: group.all_reduce(x, np.empty_like(x)),
        "reduce": lambda: group.reduce(x, np.empty_like(x)),
        "broadcast": lambda: group.broadcast(x),
        "all_gather": lambda: group.all_gather(x, whole),
        "all_gatherv": lambda: group.all_gatherv(x, whole, counts),
        "reduce_scatter": lambda: group.reduce_scatter(wide, np.empty_like(x)),
        "reduce_scatterv": lambda: group.reduce_scatterv(wide, np.empty_like(x), counts),
        "all_to_all": lambda: group.all_to_all(wide, whole),
        "all_to_allv": lambda: group.all_to_allv(wide, counts, whole, counts),
        "gather": lambda: group.gather(x, whole),
        "scatter": lambda: group.scatter(wide, np.empty_like(x)),
        "barrier": lambda: group.barrier(),
    }


COLLECTIVES = (
    *("all_reduce", "reduce", "broadcast", "all_gather", "all_gatherv", "reduce_scatter"),
    *("reduce_scatterv", "all_to_all", "all_to_allv", "gather", "scatter", "barrier"),
)


def open_things() -> dict[str, int]:
    """Descriptors and threads of this process."""
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": len(list(Path("/proc/self/task").iterdir())),
    }


def survive(group: Communicator, collective: str, count: int, victim: int) -> dict[str, Any]:
    """Repeats the collective until it fails; says how, and when after the others were told."""
    call = calls(group, count)[collective]
    call()
    ranks.tell("running")
    began = time.monotonic()
    try:
        while time.monotonic() < began + 30:
            call()
            group.barrier()  # ranks that only send would otherwise run far ahead
    except WeftError as error:
        failed_at = time.monotonic()
        with pytest.raises(type(error)):  # the group stays failed, and says the same
            call()
        found = {"kind": type(error).__name__, "peer": error.peer_rank, "text": str(error)}
        return found | {"failed_at": failed_at}
    raise AssertionError("nothing failed")


@pytest.mark.parametrize("datapath", DATAPATHS)
@pytest.mark.parametrize("collective", COLLECTIVES)
def test_killed_rank(collective: str, datapath: str) -> None:
    count = LARGE if collective in ("all_reduce", "all_to_all") else 40_000
    job = ranks.Job(3, survive, collective, count, 1, context={"datapaths": [datapath]})
    job.wait_until("running")
    job.kill(1)
    killed_at = time.monotonic()
    outcomes = job.outcomes()
    assert outcomes[1].exit_code == -signal.SIGKILL
    for rank in (0, 2):
        found = outcomes[rank].get()
        assert found["kind"] == "PeerDied", found
        assert found["peer"] == 1, found
        assert found["failed_at"] - killed_at < DETECTION, found


@pytest.mark.parametrize("datapath", DATAPATHS)
def test_stopped_rank(datapath: str) -> None:
    job = ranks.Job(3, survive, "all_reduce", LARGE, 1, context={"datapaths": [datapath]})
    job.wait_until("running")
    job.stop(1)
    stopped_at = time.monotonic()
    try:
        for rank in (0, 2):
            end = job._ends[rank]
            assert end.poll(30), "a stopped rank made the others hang"
    finally:
        job.cont(1)
    outcomes = job.outcomes()
    for rank in (0, 2):
        found = outcomes[rank].get()
        assert found["kind"] == "PeerDied" and found["peer"] == 1, found
        assert found["failed_at"] - stopped_at < DETECTION, found
    # The stopped rank wakes up among people who have given it up for dead, and is told so.
    assert outcomes[1].get()["kind"] in ("PeerDied", "Aborted")


def killed_while_idle_group_is_open(group: Communicator) -> str:
    ranks.tell("idle")
    if group.rank == 0:
        ranks.tell("waiting")
        with pytest.raises(PeerDied) as caught:
            group.recv(np.zeros(10), source=1)
        return str(caught.value)
    time.sleep(60)
    return ""


@pytest.mark.parametrize("datapath", DATAPATHS)
def test_killed_while_a_receive_waits(datapath: str) -> None:
    job = ranks.Job(2, killed_while_idle_group_is_open, context={"datapaths": [datapath]})
    job.wait_until("idle")
    job.wait_until("waiting", [0])
    job.kill(1)
    assert "rank 1" in job.outcomes()[0].get()


def late(group: Communicator) -> tuple[str, int, float]:
    if group.rank == 1:
        ranks.tell("never calls")
        time.sleep(4)
        return ("", 0, 0.0)
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        group.all_reduce(np.ones(100_000, "float32"), timeout=0.5)
    spent = time.monotonic() - began
    return (str(caught.value), caught.value.peer_rank, spent)


@pytest.mark.parametrize("datapath", DATAPATHS)
def test_deadline_names_who_is_missing(datapath: str) -> None:
    outcomes = ranks.Job(2, late, context={"datapaths": [datapath]}).outcomes()
    text, peer, spent = outcomes[0].get()
    assert "all_reduce(100000 x f32, sum)" in text and "rank 1" in text
    assert peer == 1
    assert 0.5 <= spent < DETECTION


MISMATCHES: dict[str, tuple[Callable[[Communicator], Any], Callable[[Communicator], Any], str]] = {
    "shape": (
        lambda g: g.all_reduce(np.ones(60_000, "float32")),
        lambda g: g.all_reduce(np.ones(60_001, "float32")),
        "60001 x f32",
    ),
    "small shape": (
        lambda g: g.all_reduce(np.ones(10, "float32")),
        lambda g: g.all_reduce(np.ones(11, "float32")),
        "11 x f32",
    ),
    "dtype": (
        lambda g: g.all_reduce(np.ones(60_000, "float32")),
        lambda g: g.all_reduce(np.ones(60_000, "int32")),
        "i32",
    ),
    "reduction": (
        lambda g: g.all_reduce(np.ones(10, "float32")),
        lambda g: g.all_reduce(np.ones(10, "float32"), op="max"),
        "max",
    ),
    "collective": (
        lambda g: g.all_reduce(np.ones(60_000, "float32")),
        lambda g: g.all_gather(np.ones(60_000, "float32"), np.ones(60_000 * g.size, "float32")),
        "all_gather",
    ),
    "root": (
        lambda g: g.broadcast(np.ones(10, "float32"), root=0),
        lambda g: g.broadcast(np.ones(10, "float32"), root=1),
        "root",
    ),
}


def disagree(group: Communicator, case: str) -> tuple[str, str, int]:
    most, one, _ = MISMATCHES[case]
    try:
        (one if group.rank == 1 else most)(group)
        group.barrier()
    except WeftError as error:
        return (type(error).__name__, str(error), error.peer_rank)
    raise AssertionError("the mismatch went unnoticed")


@pytest.mark.parametrize("datapath", DATAPATHS)
@pytest.mark.parametrize("case", MISMATCHES)
def test_mismatch_is_found_and_explained(case: str, datapath: str) -> None:
    options = {"datapaths": [datapath], "timeout": 10.0}
    outcomes = []
    for outcome in ranks.Job(3, disagree, case, context=options).outcomes():
        if isinstance(outcome.error, WeftError):  # the news came while it was still being made
            error = outcome.error
            outcomes.append((type(error).__name__, str(error), error.peer_rank))
        else:
            outcomes.append(outcome.get())
    assert all(kind == "Mismatch" for kind, _, _ in outcomes), outcomes
    assert any(MISMATCHES[case][2] in text for _, text, _ in outcomes), outcomes


def never_started(group: Communicator) -> None:
    raise AssertionError("the group came to life without its third member")


@pytest.mark.parametrize("datapath", DATAPATHS)
def test_peer_that_never_comes(datapath: str) -> None:
    with Context(secret="a", datapaths=[datapath]) as here:
        there = Context(secret="a", datapaths=[datapath])
        address = there.address
        there.close()
        began = time.monotonic()
        with pytest.raises(Unreachable, match="rank 1") as caught:
            Communicator.create(here, 1 << 50, 0, [here.address, address], connect_timeout=1.0)
        assert time.monotonic() - began < DETECTION
        assert caught.value.peer_rank == 1


@pytest.mark.parametrize("datapath", DATAPATHS)
def test_wrong_secret(datapath: str) -> None:
    job = ranks.Job(
        2,
        never_started,
        context=lambda rank: {"secret": f"secret of rank {rank}", "datapaths": [datapath]},
        group={"connect_timeout": 1.5},
    )
    kinds = {type(outcome.error) for outcome in job.outcomes()}
    # The caller hears that it was turned away, the other only that nobody with the secret came.
    assert kinds <= {Unauthorized, Unreachable} and Unauthorized in kinds, kinds


def abort_them(group: Communicator) -> str:
    if group.rank == 1:
        group.barrier()  # by then all others have the group
        group.abort("lunch")
        with pytest.raises(Aborted):
            group.barrier()
        return ""
    with pytest.raises(Aborted) as caught:
        group.barrier()
        for _ in range(1_000_000):
            group.all_reduce(np.ones(100_000, "float32"))
    return str(caught.value)


def test_abort_reaches_all_members() -> None:
    texts = ranks.run(3, abort_them)
    assert all("lunch" in texts[rank] and "rank 1" in texts[rank] for rank in (0, 2)), texts


def use_after_failure(group: Communicator) -> int:
    """One group dies; another over the same connections lives."""
    other = group.split(0)
    assert other is not None
    if group.rank == 0:
        group.abort("only this one")
    with pytest.raises(Aborted):
        for _ in range(1_000_000):
            group.all_reduce(np.ones(1000, "float32"))
    with other:
        return int(other.all_reduce(np.array([1.0]))[0])


def test_one_group_dies_others_live() -> None:
    assert ranks.run(3, use_after_failure) == [3, 3, 3]


def test_port_in_use() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(OutOfResources, match=str(port)):
            Context(datapaths=["udp"], interfaces=["127.0.0.1"], transport={"port": port})


def test_unknown_options_name_what_there_is() -> None:
    there_are = r'no datapath "pigeon"; there are: shm, udp, verbs, xdp'
    with pytest.raises(InvalidArgument, match=there_are):
        Context(datapaths=["pigeon"])
    with pytest.raises(InvalidArgument, match="warp"):
        Context(datapaths=["udp"], transport={"warp": 9})
    with pytest.raises(InvalidArgument, match="psychic"):
        Context(datapaths=["udp"], transport={"scheduler": "psychic"})


def limited(group: Communicator) -> dict[str, Any]:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (now + (8 << 20), hard))
    try:
        with pytest.raises(OutOfResources) as caught:
            Context(datapaths=["shm"])
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    group.barrier()
    return {"text": str(caught.value)}


def test_out_of_shared_memory() -> None:
    for outcome in ranks.run(2, limited):
        assert "memory" in outcome["text"]


def come_and_go(group: Communicator) -> tuple[dict[str, int], dict[str, int]]:
    group.barrier()
    before = open_things()
    for _ in range(5):
        part = group.split(0)
        assert part is not None
        with part:
            part.all_reduce(np.ones(100_000, "float32"))
    group.barrier()
    return before, open_things()


def test_groups_leave_nothing_behind() -> None:
    for before, after in ranks.run(2, come_and_go):
        assert after == before


@pytest.mark.parametrize("datapath", DATAPATHS)
def test_contexts_leave_nothing_behind(datapath: str) -> None:
    with Context(datapaths=[datapath]):
        pass  # whatever is made once per process
    before = open_things()
    shared = set(Path("/dev/shm").iterdir())
    for _ in range(3):
        with Context(datapaths=[datapath]) as context:
            assert context.address
    assert open_things() == before
    assert set(Path("/dev/shm").iterdir()) == shared


def interrupted(group: Communicator) -> str:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # test runners may ignore it
    if group.rank == 1:
        time.sleep(3)
        return ""
    work = group.recv(np.zeros(4), source=1, wait=False)
    try:
        ranks.tell("waiting")
        while not work.done():  # Python sees signals between calls
            pass
    except KeyboardInterrupt:
        work.cancel()
        return "interrupted"
    return "not interrupted"


def test_ctrl_c_reaches_the_program() -> None:
    job = ranks.Job(2, interrupted)
    job.wait_until("waiting", [0])
    os.kill(job._pid(0), signal.SIGINT)
    assert job.outcomes()[0].get() == "interrupted"


def after_fork(group: Communicator) -> tuple[int, str]:
    """A forked child must not touch the parent's group, and must not disturb it."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            group.barrier()
            text = "the child took part"
        except WrongState as error:
            text = str(error)
        os.write(write, text.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    text = os.read(read, 1000).decode()
    return int(group.all_reduce(np.array([1.0]))[0]), text


def test_fork() -> None:
    for total, text in ranks.run(2, after_fork):
        assert total == 2
        assert "parent" in text
