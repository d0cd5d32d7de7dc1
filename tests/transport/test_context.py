"""Point to point and one-sided access without a group, between two real processes."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest
import ranks

from weft.collectives import Communicator
from weft.transport import Context
from weft.transport.errors import (
    DeadlineExceeded,
    InvalidArgument,
    Mismatch,
    Unreachable,
    WrongState,
)

DATAPATHS = ("shm", "udp")
SIZES = (0, 1, 100, 5000, 70_000, 3_000_000)


@pytest.fixture(params=DATAPATHS)
def pair(request: pytest.FixtureRequest) -> Any:
    """Two contexts, connected: (here, its peer, there, its peer)."""
    with (
        Context(secret="s", datapaths=[request.param]) as here,
        Context(secret="s", datapaths=[request.param]) as there,
    ):
        to_there = here.connect(there.address, timeout=10)
        to_here = there.accept(timeout=10)
        yield here, to_there, there, to_here
        to_there.close()
        to_here.close()


@pytest.mark.parametrize("size", SIZES)
def test_messages(pair: Any, size: int) -> None:
    _, to_there, _, to_here = pair
    sent = np.arange(size, dtype="uint8") * 7
    received = np.zeros(size, "uint8")
    sending = to_there.send(sent, tag=3)
    to_here.recv(received, tag=3).wait(10)
    sending.wait(10)
    np.testing.assert_array_equal(received, sent)


def test_equal_tags_keep_order(pair: Any) -> None:
    _, to_there, _, to_here = pair
    works = [to_there.send(np.full(n, n, "int64"), tag=1) for n in (5, 60_000, 1, 30_000, 2)]
    for n in (5, 60_000, 1, 30_000, 2):
        buffer = np.zeros(n, "int64")
        to_here.recv(buffer, tag=1).wait(10)
        assert (buffer == n).all()
    for work in works:
        work.wait(10)


def test_length_must_be_the_senders(pair: Any) -> None:
    _, to_there, _, to_here = pair
    sending = to_there.send(bytes(10))
    with pytest.raises(Mismatch, match=r"sent 10 bytes .* where 20 were expected"):
        to_here.recv(bytearray(20)).wait(10)
    del sending


def test_any_memory(pair: Any) -> None:
    """Buffer protocol, NumPy and DLPack; what is no plain memory is refused."""
    _, to_there, _, to_here = pair
    buffer = bytearray(8)
    sending = to_there.send(array.array("d", [1.5]))
    assert to_here.recv(buffer).wait(10) is buffer
    sending.wait(10)
    assert np.frombuffer(buffer, "float64")[0] == 1.5

    class Foreign:
        """Exports DLPack and nothing else."""

        def __init__(self) -> None:
            self.values = np.arange(4, dtype="int32")

        def __dlpack__(self, **options: Any) -> Any:
            return self.values.__dlpack__(**options)

        def __dlpack_device__(self) -> Any:
            return self.values.__dlpack_device__()

    sending = to_there.send(Foreign())
    got = np.zeros(4, "int32")
    to_here.recv(got).wait(10)
    sending.wait(10)
    assert got.tolist() == [0, 1, 2, 3]
    with pytest.raises(InvalidArgument, match="is a list, which is not memory"):
        to_there.send([1, 2, 3])
    with pytest.raises(InvalidArgument, match="read-only"):
        to_here.recv(b"immutable")


@pytest.mark.parametrize("size", [1, 1000, 1_000_000])
def test_one_sided(pair: Any, size: int) -> None:
    _, to_there, there, to_here = pair
    memory = np.zeros(size + 100, "uint8")
    region = there.register(memory)
    data = (np.arange(size) % 251).astype("uint8")
    to_there.write(data, region.descriptor, offset=50, notify=42).wait(10)
    np.testing.assert_array_equal(memory[50 : 50 + size], data)
    assert not memory[:50].any() and not memory[50 + size :].any()
    told = there.notification(timeout=10)
    assert told is not None
    assert (told.peer_id, told.value, told.offset, told.length) == (to_here.id, 42, 50, size)
    back = np.zeros(size, "uint8")
    to_there.read(back, region.descriptor, offset=50).wait(10)
    np.testing.assert_array_equal(back, data)
    assert there.notification(timeout=0.01) is None
    for offset in (size + 100, 101, 2**63):
        with pytest.raises(InvalidArgument, match="region"):
            to_there.write(data, region.descriptor, offset=offset).wait(10)
    region.close()
    with pytest.raises(InvalidArgument, match="no such region"):
        to_there.read(back, region_descriptor_of(data, there)).wait(10)


def region_descriptor_of(data: Any, owner: Context) -> bytes:
    """A descriptor that was valid once."""
    region = owner.register(data)
    descriptor = region.descriptor
    region.close()
    return descriptor


def test_connect_twice_finds_the_same_connection(pair: Any) -> None:
    here, to_there, there, _ = pair
    again = here.connect(there.address)
    assert again.id == to_there.id
    assert len(here.stats()["peers"]) == 1
    again.close()


def test_not_an_address() -> None:
    with Context(datapaths=["shm"]) as context:
        for blob in (b"", b"nonsense", context.address[:-3], context.address + b"x"):
            with pytest.raises(InvalidArgument, match="address"):
                context.connect(blob)
        with pytest.raises(InvalidArgument, match="own address"):
            context.connect(context.address)


@pytest.mark.parametrize("datapath", DATAPATHS)
def test_nobody_there(datapath: str) -> None:
    with Context(datapaths=[datapath]) as context:
        with Context(datapaths=[datapath]) as other:
            address = other.address
        with pytest.raises(Unreachable):
            context.connect(address, timeout=0.5)
        with pytest.raises(DeadlineExceeded, match="no peer connected"):
            context.accept(timeout=0.05)


def test_context_in_use_is_not_closed() -> None:
    context = Context(datapaths=["shm"])
    region = context.register(bytearray(10))
    with pytest.raises(WrongState, match="release those first"):
        context.close()
    region.close()
    context.close()
    with pytest.raises(WrongState, match="closed"):
        context.stats()


def told_of_paths(group: Communicator) -> dict[str, Any]:
    group.all_reduce(np.ones(100_000, "float32"))
    return group._context.stats()


def test_statistics_tell_of_paths() -> None:
    options = {"datapaths": ["udp"], "transport": {"paths": 4}}
    for stats in ranks.run(2, told_of_paths, context=options):
        assert stats["datapaths"]["udp"]  # sockets, drops by reason, ...
        [peer] = stats["peers"]
        assert peer["state"] == "open" and peer["datapath"] == "udp"
        assert peer["channel"]
