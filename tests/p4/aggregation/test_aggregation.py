"""All-reduce through the switch: right under faults, deaf to strangers, bounded when it dies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.p4.aggregation import AggregationError, AggregationSwitch, NoRoom, Worker, blocks, wire
from weft.p4.aggregation.run import Tree, all_reduce
from weft.p4.star import Faults

BAD = Faults(loss=0.05, duplicate=0.05, jitter_us=10)


@pytest.fixture(scope="module")
def switch() -> Iterator[AggregationSwitch]:
    made = AggregationSwitch()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_jobs(switch: AggregationSwitch) -> None:
    switch.restart()


def ports(count: int) -> dict[int, int]:
    return {w: 1 + w for w in range(count)}


def integers(workers: int, size: int, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(-(2**24), 2**24, size).astype(np.int32) for _ in range(workers)]


def floats(workers: int, size: int, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    scale = np.exp(rng.normal(size=size) * 8)
    return [(rng.normal(size=size) * scale).astype(np.float32) for _ in range(workers)]


# ------------------------------------------------------------------------------------- sums


@pytest.mark.parametrize("workers", [1, 2, 5, 32])
@pytest.mark.parametrize("size", [1, 32, 33, 1000])
def test_integers_are_summed_exactly(switch: AggregationSwitch, workers: int, size: int) -> None:
    members = switch.add_job(1, ports(workers), slots=4)
    for seed in range(3):  # slots and sets go on from one operation to the next
        values = integers(workers, size, seed)
        outcome = all_reduce(switch.send, members, values, faults=BAD)
        for result, came in zip(outcome.results, outcome.contributors, strict=True):
            assert (result == sum(values)).all()
            assert (came == workers).all()


def test_sums_saturate_and_do_not_wrap(switch: AggregationSwitch) -> None:
    members = switch.add_job(1, ports(3), slots=1)
    big = np.array([2**31 - 1, -(2**31), 5], np.int32)
    (first, *_) = all_reduce(switch.send, members, [big, big, big]).results
    assert first.tolist() == [2**31 - 1, -(2**31), 15]


@pytest.mark.parametrize("workers", [1, 3, 16])
def test_floats_are_summed_within_the_bound(switch: AggregationSwitch, workers: int) -> None:
    members = switch.add_job(1, ports(workers), slots=8)
    values = floats(workers, 2000)
    outcome = all_reduce(switch.send, members, values, faults=BAD)
    exact = sum(v.astype(np.float64) for v in values)
    rows = [blocks.blocks(v, np.float32) for v in values]
    e = np.max([blocks.exponents(r) for r in rows], axis=0).astype(np.int64)
    bound = workers * np.ldexp(1.0, e - blocks.fraction_bits(workers) - 1)
    rounding = np.abs(exact) * 2.0**-24
    error = np.abs(outcome.results[0] - exact)
    assert (error <= np.repeat(bound, wire.VALUES)[:2000] + rounding).all()
    for result in outcome.results:
        assert result.tobytes() == outcome.results[0].tobytes()


def test_odd_floats(switch: AggregationSwitch) -> None:
    members = switch.add_job(1, ports(2), slots=2)
    zero, nan, large, tiny = (np.full(wire.VALUES, v, np.float32)
                              for v in (-0.0, np.nan, 3e38, 1e-45))  # fmt: skip
    one = np.ones(wire.VALUES, np.float32)
    left = np.concatenate([zero, nan, large, tiny, one])
    right = np.concatenate([zero, one, one, tiny, -one])
    result = all_reduce(switch.send, members, [left, right]).results[1].reshape(5, -1)
    assert (result[0] == 0).all() and (result[4] == 0).all()
    assert np.isnan(result[1]).all() and np.isnan(result[2]).all()
    assert (np.abs(result[3]) < 1e-37).all()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=40), st.integers(1, 32))
def test_blocks_keep_their_promise(values: list[float], workers: int) -> None:
    rows = blocks.blocks(np.array(values, np.float32), np.float32)
    for row, e in zip(rows, blocks.exponents(rows), strict=True):
        back = blocks.to_floats(blocks.to_integers(row, int(e), workers), int(e), workers)
        if e == blocks.NOT_FINITE:
            assert not (np.abs(row) < 2.0**126).all()
            continue
        step = np.ldexp(1.0, int(e) - blocks.fraction_bits(workers))
        assert (np.abs(back.astype(np.float64) - row) <= 0.5 * step + 2.0**-149).all()


def test_a_tree_of_switches() -> None:
    tree = Tree(leaves=3, per_leaf=2, slots=4)
    try:
        for seed in range(2):
            values = integers(6, 700, seed)
            outcome = all_reduce(tree.send, tree.members, values, faults=BAD)
            assert all((r == sum(values)).all() for r in outcome.results)
            assert all((c == 6).all() for c in outcome.contributors)
        values = floats(6, 300)
        outcome = all_reduce(tree.send, tree.members, values, faults=BAD)
        assert np.allclose(outcome.results[0], sum(values), rtol=1e-3, atol=1e-3 * 2.0**20)
    finally:
        tree.close()


# ------------------------------------------------------------------------ jobs and strangers


def test_jobs_have_their_own_slots(switch: AggregationSwitch) -> None:
    one = switch.add_job(1, ports(3), slots=100)
    two = switch.add_job(2, {0: 10, 5: 11}, slots=400)
    with pytest.raises(NoRoom, match="100 slots are wanted, 12 are free"):
        switch.add_job(3, ports(2), slots=100)
    with pytest.raises(ValueError, match="runs already"):
        switch.add_job(1, ports(2), slots=1)
    with pytest.raises(ValueError, match=r"0\.\.31"):
        switch.add_job(4, {32: 1}, slots=1)
    a, b = integers(3, 5000), integers(2, 900, 7)
    assert (all_reduce(switch.send, one, a).results[0] == sum(a)).all()
    assert (all_reduce(switch.send, two, b).results[1] == sum(b)).all()
    switch.remove_job(1)
    again = switch.add_job(3, ports(2), slots=100)
    assert (all_reduce(switch.send, again, b).results[0] == sum(b)).all()


def test_strangers_are_counted_and_never_added(switch: AggregationSwitch) -> None:
    (member, other) = switch.add_job(7, ports(2), slots=2)
    good = wire.Update(wire.ADD, 7, member.epoch, 0, 0, 1, 0, 1, np.full(32, 5, np.int32))

    def send(port: int = 1, **changed: int) -> list[object]:
        fields = {n: getattr(good, n) for n in good.__slots__} | changed
        return list(switch.switch.send(port, wire.encode(wire.Update(**fields), 1, 254)))

    before = switch.refused()
    assert send(job=8) == send(epoch=member.epoch + 1) == send(worker=2) == []
    assert send(worker=1) == []  # another worker's number from this port
    assert send(slot=2) == [] and send(kind=9) == []
    bent = bytearray(wire.encode(good, 1, 254))
    bent[42] = 2
    assert switch.switch.send(1, bytes(bent)) == []
    assert switch.switch.send(1, bytes(bent[:-1])) == []
    after = switch.refused()
    grown = {k: after[k] - before[k] for k in after}
    assert grown == {"version": 1, "member": 5, "quota": 1, "stale": 0}
    # None of it counts: the sum is that of the two members.
    values = [np.full(10, 1, np.int32), np.full(10, 2, np.int32)]
    outcome = all_reduce(switch.send, [member, other], values)
    assert (outcome.results[0] == 3).all()
    # A copy of a finished round only gets its result again; it is stale once its set is used anew.
    assert len(send(round=1)) == 1
    for _ in range(2):
        outcome = all_reduce(switch.send, [member, other], values)
        assert (outcome.results[0] == 3).all()
    assert send(round=1) == []
    assert switch.refused()["stale"] > 0


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=220), st.integers(0, 300), st.integers(0, 255))
def test_a_worker_survives_any_bytes(noise: bytes, place: int, value: int) -> None:
    from weft.p4.aggregation import Membership

    worker = Worker(Membership(1, 1, 0, 2, 2, 1), np.ones(100, np.int32))
    frames = worker.poll(0.0)
    bent = bytearray(frames[0])
    bent[place % len(bent)] = value
    for frame in (noise, bytes(bent), frames[0][: place % len(frames[0])], frames[0] + noise):
        worker.on_frame(frame, 1.0)
    assert not worker.done
    with pytest.raises(AggregationError, match="misses"):
        worker.result()
    with pytest.raises(TypeError, match="float64"):
        Worker(Membership(1, 1, 0, 2, 2, 1), np.ones(3))


# ------------------------------------------------------------------------------------ faults


def test_a_late_worker_is_left_out_when_the_job_allows_it(switch: AggregationSwitch) -> None:
    members = switch.add_job(1, ports(3), slots=2, may_close=True)
    values = integers(3, 64)
    outcome = all_reduce(switch.send, members[:2], values[:2], straggler_us=400)
    assert (outcome.results[0] == values[0] + values[1]).all()
    assert (outcome.results[1] == outcome.results[0]).all()
    assert (outcome.contributors[0] == 2).all()
    # The late one gets the same sums, and is not added; too late, it is told so.
    late = all_reduce(switch.send, members[2:], values[2:])
    assert (late.results[0] == outcome.results[0]).all()
    assert (late.contributors[0] == 2).all()
    for seed in range(2):
        more = integers(2, 64, seed)
        all_reduce(switch.send, members[:2], more, straggler_us=400)
    with pytest.raises(AggregationError, match="worker 2"):
        members[2].rounds = [1, 1]
        all_reduce(switch.send, members[2:], values[2:], deadline_us=1e5)


def test_a_late_worker_is_waited_for_when_the_job_does_not(switch: AggregationSwitch) -> None:
    members = switch.add_job(1, ports(3), slots=2)
    values = integers(3, 200)
    with pytest.raises(AggregationError, match="misses"):
        all_reduce(switch.send, members[:2], values[:2], straggler_us=400, deadline_us=1e5)


def test_a_switch_that_dies_ends_the_operation_in_time(switch: AggregationSwitch) -> None:
    members = switch.add_job(1, ports(4), slots=2)
    values = integers(4, 3000)
    with pytest.raises(AggregationError, match="worker 0 of job 1"):
        all_reduce(switch.send, members, values, cues=[(20, switch.restart)], deadline_us=1e5)
    # The job comes back under a new epoch, and what is left of the old one adds nothing.
    again = switch.add_job(1, ports(4), slots=2)
    assert again[0].epoch != members[0].epoch
    old = wire.Update(wire.ADD, 1, members[0].epoch, 0, 0, 1, 0, 1, np.ones(32, np.int32))
    assert switch.switch.send(1, wire.encode(old, 1, 254)) == []
    outcome = all_reduce(switch.send, again, values)
    assert (outcome.results[0] == sum(values)).all()


def test_time_does_not_grow_with_the_number_of_workers(switch: AggregationSwitch) -> None:
    """The rate is each worker's own link's; a ring would send 2 (n - 1) / n as much, in turns."""
    elapsed = []
    for job, workers in enumerate((2, 8, 24), 1):
        members = switch.add_job(job, ports(workers), slots=32)
        outcome = all_reduce(switch.send, members, integers(workers, 32 * 400), gbps=10)
        elapsed.append(outcome.elapsed_us)
    assert max(elapsed) < 1.05 * min(elapsed)
