"""Every collective through the public door, against NumPy as the independent oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import ranks

from weft.collectives import Communicator
from weft.transport.errors import InvalidArgument, Unsupported

# Empty, tiny, around the limits of boards (32 KiB), eager messages (16 KiB) and slices, and odd.
COUNTS = (0, 1, 2, 13, 1000, 4096, 8192, 8193, 100_003, 1_000_000)
DATAPATHS = ("shm", "udp")


def contribution(rank: int, count: int, dtype: str = "float32") -> np.ndarray[Any, Any]:
    """Small integers, so that sums are exact in every type and any order."""
    return ((np.arange(count) * (rank + 3) + rank) % 5 + 1).astype(dtype)


def everybody(size: int, count: int, dtype: str = "float32") -> list[np.ndarray[Any, Any]]:
    return [contribution(rank, count, dtype) for rank in range(size)]


def check_all(group: Communicator, count: int) -> None:
    """All collectives once, each against its definition."""
    rank, size = group.rank, group.size
    inputs = everybody(size, count)
    total = np.sum(inputs, axis=0, dtype="float32")
    mine = inputs[rank]

    output = np.full(count, -1, "float32")
    group.all_reduce(mine, output)
    np.testing.assert_array_equal(output, total, "all_reduce")
    np.testing.assert_array_equal(mine, contribution(rank, count), "all_reduce wrote its input")
    in_place = mine.copy()
    group.all_reduce(in_place)
    np.testing.assert_array_equal(in_place, total, "all_reduce in place")

    for root in (0, size - 1):
        output = np.full(count, -1, "float32")
        group.reduce(mine, output, root=root)
        if rank == root:
            np.testing.assert_array_equal(output, total, "reduce")
        output = mine.copy()
        group.broadcast(output, root=root)
        np.testing.assert_array_equal(output, inputs[root], "broadcast")
        gathered = np.full(count * size, -1, "float32") if rank == root else None
        group.gather(mine, gathered, root=root)
        if gathered is not None:
            np.testing.assert_array_equal(gathered, np.concatenate(inputs), "gather")
        scattered = np.full(count, -1, "float32")
        group.scatter(np.concatenate(inputs) if rank == root else None, scattered, root=root)
        np.testing.assert_array_equal(scattered, mine, "scatter")

    gathered = np.full(count * size, -1, "float32")
    group.all_gather(mine, gathered)
    np.testing.assert_array_equal(gathered, np.concatenate(inputs), "all_gather")
    gathered = np.full(count * size, -1, "float32")
    own = gathered[rank * count : (rank + 1) * count]
    own[:] = mine
    group.all_gather(own, gathered)
    np.testing.assert_array_equal(gathered, np.concatenate(inputs), "all_gather in place")

    wide = everybody(size, count * size)
    output = np.full(count, -1, "float32")
    group.reduce_scatter(wide[rank], output)
    block = slice(rank * count, (rank + 1) * count)
    np.testing.assert_array_equal(output, np.sum(wide, axis=0)[block], "reduce_scatter")

    output = np.full(count * size, -1, "float32")
    group.all_to_all(wide[rank], output)
    expected = np.concatenate([wide[source][block] for source in range(size)])
    np.testing.assert_array_equal(output, expected, "all_to_all")
    group.barrier()


def check_v(group: Communicator, count: int) -> None:
    """The collectives whose ranks have blocks of different lengths."""
    rank, size = group.rank, group.size
    counts = [count * (r % 3) + r for r in range(size)]
    inputs = [contribution(r, counts[r]) for r in range(size)]
    gathered = np.full(sum(counts), -1, "float32")
    group.all_gatherv(inputs[rank], gathered, counts)
    np.testing.assert_array_equal(gathered, np.concatenate(inputs), "all_gatherv")

    wide = everybody(size, sum(counts))
    output = np.full(counts[rank], -1, "float32")
    group.reduce_scatterv(wide[rank], output, counts)
    begin = sum(counts[:rank])
    expected = np.sum(wide, axis=0)[begin : begin + counts[rank]]
    np.testing.assert_array_equal(output, expected, "reduce_scatterv")

    def pair(source: int, target: int) -> int:
        return count * ((source + 2 * target) % 3) + source

    blocks = [[contribution(s * size + t, pair(s, t)) for t in range(size)] for s in range(size)]
    received = [pair(source, rank) for source in range(size)]
    output = np.full(sum(received), -1, "float32")
    sent = [pair(rank, target) for target in range(size)]
    group.all_to_allv(np.concatenate(blocks[rank]), sent, output, received)
    expected = np.concatenate([blocks[source][rank] for source in range(size)])
    np.testing.assert_array_equal(output, expected, "all_to_allv")


def all_counts(group: Communicator, check: Callable[[Communicator, int], None]) -> None:
    for count in COUNTS:
        check(group, count)


@pytest.mark.parametrize("datapath", DATAPATHS)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_collectives(size: int, datapath: str) -> None:
    ranks.run(size, all_counts, check_all, context={"datapaths": [datapath]})


@pytest.mark.parametrize("datapath", DATAPATHS)
@pytest.mark.parametrize("size", [2, 3, 4])
def test_v_collectives(size: int, datapath: str) -> None:
    ranks.run(size, all_counts, check_v, context={"datapaths": [datapath]})


DTYPES = [
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "bool",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]
ORACLES: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: np.sum(x, axis=0),
    "prod": lambda x: np.prod(x, axis=0),
    "min": lambda x: np.min(x, axis=0),
    "max": lambda x: np.max(x, axis=0),
    "band": lambda x: np.bitwise_and.reduce(x, axis=0),
    "bor": lambda x: np.bitwise_or.reduce(x, axis=0),
    "bxor": lambda x: np.bitwise_xor.reduce(x, axis=0),
}


def each_reduction(group: Communicator, dtype: str) -> None:
    kind = np.dtype(dtype).kind
    for op, oracle in ORACLES.items():
        if (op.startswith("b") and kind in "fc") or (op in ("min", "max") and kind == "c"):
            with pytest.raises(Unsupported):
                group.all_reduce(contribution(0, 4, dtype), op=op)
            continue
        for count in (3, 50_000):
            inputs = everybody(group.size, count, dtype)
            expected = oracle(np.stack(inputs)).astype(dtype)
            got = group.all_reduce(inputs[group.rank].copy(), op=op)
            np.testing.assert_array_equal(got, expected, f"{op} of {count} {dtype}")
    if kind in "fc":
        inputs = everybody(group.size, 1000, dtype)
        got = group.all_reduce(inputs[group.rank].copy(), op="avg")
        np.testing.assert_allclose(got, np.mean(inputs, axis=0), rtol=2e-3)
        got = group.all_reduce(inputs[group.rank].copy(), op="premul_sum", scale=0.5)
        np.testing.assert_allclose(got, np.sum(inputs, axis=0) / 2, rtol=2e-3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_reductions(dtype: str) -> None:
    ranks.run(3, each_reduction, dtype, context={"datapaths": ["shm"]})


def random_floats(group: Communicator, seed: int) -> list[bytes]:
    rng = np.random.default_rng(seed + group.rank)
    results = []
    for count in (5, 1000, 30_000, 300_000):
        values = rng.standard_normal(count).astype("float32") * 10.0 ** rng.integers(-6, 6, count)
        values = values.astype("float32")
        first = group.all_reduce(values, np.empty_like(values)).tobytes()
        again = group.all_reduce(values, np.empty_like(values)).tobytes()
        assert first == again, "the same input gave another result"
        results.append(first)
    return results


@pytest.mark.parametrize("size", [2, 3, 4])
def test_results_are_bit_identical_on_all_ranks(size: int, seed: int) -> None:
    results = ranks.run(size, random_floats, seed)
    assert all(result == results[0] for result in results)


def overlapping(group: Communicator) -> None:
    """Many operations at once, waited for in another order than they were started."""
    inputs = [contribution(group.rank, count) for count in (10, 100_000, 3, 5000, 250_000)]
    works = [group.all_reduce(values, np.empty_like(values), wait=False) for values in inputs]
    for values, work in reversed(list(zip(inputs, works, strict=True))):
        expected = np.sum(everybody(group.size, values.size), axis=0)
        np.testing.assert_array_equal(work.wait(), expected)


def test_operations_overlap() -> None:
    ranks.run(3, overlapping)


def messages(group: Communicator, seed: int) -> None:
    """Everybody sends to everybody, several sizes and tags, received in another order."""
    rng = np.random.default_rng(seed)  # the same on all ranks
    plan = [
        (source, target, int(tag), int(count))
        for source in range(group.size)
        for target in range(group.size)
        if source != target
        for tag, count in zip(rng.integers(0, 3, 6), rng.integers(0, 60_000, 6), strict=True)
    ]
    works = []
    received = []
    for number, (source, target, tag, count) in enumerate(plan):
        data = contribution(number, count)
        if source == group.rank:
            works.append(group.send(data, target, tag, wait=False))
        elif target == group.rank:
            buffer = np.full(count, -1, "float32")
            works.append(group.recv(buffer, source, tag, wait=False))
            received.append((buffer, data))
    for work in works:
        work.wait()
    for buffer, data in received:
        np.testing.assert_array_equal(buffer, data)


@pytest.mark.parametrize("datapath", DATAPATHS)
def test_point_to_point(datapath: str, seed: int) -> None:
    ranks.run(3, messages, seed, context={"datapaths": [datapath]})


def from_anybody(group: Communicator) -> list[int]:
    if group.rank != 0:
        group.send(np.full(4, group.rank, "int32"), to=0, tag=7)
        return []
    sources = []
    for _ in range(group.size - 1):
        buffer = np.zeros(4, "int32")
        work = group.recv(buffer, tag=7, wait=False)
        work.wait()
        assert (buffer == work.source).all()
        sources.append(work.source)
    return sources


def test_receive_from_anybody() -> None:
    assert sorted(ranks.run(4, from_anybody)[0]) == [1, 2, 3]


def subgroups(group: Communicator) -> tuple[int, float]:
    part = group.split(color=group.rank % 2, key=-group.rank)
    assert part is not None
    with part:
        value = part.all_reduce(np.array([float(group.rank)]))
        nobody = group.split(color=-1)
        assert nobody is None
        return part.rank, float(value[0])


def test_split() -> None:
    # Keys are negated ranks, so the order within a part is reversed.
    assert ranks.run(5, subgroups) == [(2, 6.0), (1, 4.0), (1, 6.0), (0, 4.0), (0, 6.0)]


def wrong_calls(group: Communicator) -> None:
    x = np.zeros(6, "float32")
    with pytest.raises(InvalidArgument, match=r"root 9 is not in 0\.\.1"):
        group.broadcast(x, root=9)
    with pytest.raises(InvalidArgument, match="no reduction"):
        group.all_reduce(x, op="median")
    with pytest.raises(InvalidArgument, match="not contiguous"):
        group.all_reduce(np.zeros((4, 4), "float32")[:, 1])
    with pytest.raises(InvalidArgument, match="elements"):
        group.all_gather(x, np.zeros(5, "float32"))
    with pytest.raises(InvalidArgument, match="must be equal"):
        group.all_reduce(x, np.zeros(6, "float64"))
    with pytest.raises(InvalidArgument, match=r'no algorithm "teleport" .* there are: .*ring'):
        group.all_reduce(np.zeros(10**6, "float32"), algorithm="teleport")
    with pytest.raises(InvalidArgument, match="read-only"):
        group.all_reduce(np.frombuffer(b"12345678", "float32"))
    with pytest.raises(InvalidArgument, match="other ranks"):
        group.send(x, to=group.rank)
    with pytest.raises(InvalidArgument, match="counts add up"):
        group.all_gatherv(x, np.zeros(9, "float32"), [6, 6])
    group.barrier()  # the group has survived all of it


def test_wrong_calls_are_refused_before_anything_runs() -> None:
    ranks.run(2, wrong_calls)


def explained(group: Communicator) -> dict[str, Any]:
    return group.explain("all_reduce", 16 << 20)


def test_explain_names_algorithm_reason_and_candidates() -> None:
    for told in ranks.run(2, explained):
        assert told["chosen"] in {candidate["algorithm"] for candidate in told["candidates"]}
        assert told["reason"]
