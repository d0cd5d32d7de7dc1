"""All-reduce through the switch: right under faults, deaf to strangers, bounded when it dies."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.p4.aggregation import (
    AggregationError,
    AggregationSwitch,
    Membership,
    NoRoom,
    Worker,
    wire,
)
from weft.p4.aggregation.run import Tree, all_reduce
from weft.p4.star import Faults

innet = wire.innet
WIDTH = wire.VALUES
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
@pytest.mark.parametrize("size", [1, 256, 257, 3000])
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


# The oracle: block floating point as docs/innet.md defines it, by numpy.


def exponents(rows: np.ndarray) -> np.ndarray:
    """Per row the least e with |x| < 2^e for all x, at least -127; 127: not finite; -128: zero."""
    largest = np.abs(rows).max(axis=1)
    _, e = np.frexp(np.where(np.isfinite(largest), largest, 1.0))
    e = np.where(largest == 0, -128, np.maximum(e, -127))
    return np.where(~np.isfinite(largest) | (e > 126), 127, e).astype(np.int64)


def fraction_bits(workers: int) -> int:
    return 30 - math.ceil(math.log2(workers))


def in_rows(values: np.ndarray, width: int) -> np.ndarray:
    padded = np.zeros(-(-values.size // width) * width, np.float32)
    padded[: values.size] = values
    return padded.reshape(-1, width)


@pytest.mark.parametrize("workers", [1, 3, 16])
def test_floats_are_summed_within_the_bound(switch: AggregationSwitch, workers: int) -> None:
    members = switch.add_job(1, ports(workers), slots=8)
    values = floats(workers, 2000)
    outcome = all_reduce(switch.send, members, values, faults=BAD)
    exact = sum(v.astype(np.float64) for v in values)
    e = np.max([exponents(in_rows(v, WIDTH)) for v in values], axis=0)
    bound = workers * np.ldexp(1.0, e - fraction_bits(workers) - 1)
    rounding = np.abs(exact) * 2.0**-24
    error = np.abs(outcome.results[0] - exact)
    assert (error <= np.repeat(bound, WIDTH)[:2000] + rounding).all()
    for result in outcome.results:
        assert result.tobytes() == outcome.results[0].tobytes()


def test_odd_floats(switch: AggregationSwitch) -> None:
    members = switch.add_job(1, ports(2), slots=2)
    zero, nan, large, tiny = (np.full(WIDTH, v, np.float32) for v in (-0.0, np.nan, 3e38, 1e-45))
    one = np.ones(WIDTH, np.float32)
    left = np.concatenate([zero, nan, large, tiny, one])
    right = np.concatenate([zero, one, one, tiny, -one])
    result = all_reduce(switch.send, members, [left, right]).results[1].reshape(5, -1)
    assert (result[0] == 0).all() and (result[4] == 0).all()
    assert np.isnan(result[1]).all() and np.isnan(result[2]).all()
    assert (np.abs(result[3]) < 1e-37).all()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=40), st.integers(1, 32))
def test_blocks_are_what_the_oracle_says(values: list[float], workers: int) -> None:
    row = np.array(values, np.float32)
    e = int(exponents(row[None])[0])
    float32 = innet.Type.float32
    assert innet.exponent_of(row.tobytes(), float32) == e
    sent = np.frombuffer(innet.to_wire(row.tobytes(), float32, e, workers), ">i4")
    if e in (127, -128):
        assert (sent == 0).all()
    else:
        scaled = np.ldexp(row.astype(np.float64), fraction_bits(workers) - e)
        assert (sent == np.rint(scaled)).all()
    back = np.frombuffer(innet.from_wire(sent.tobytes(), float32, e, workers), np.float32)
    if e == 127:
        assert np.isnan(back).all()
    else:
        unscaled = np.ldexp(sent.astype(np.float64), e - fraction_bits(workers))
        assert (back == (0 if e == -128 else unscaled.astype(np.float32))).all()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=40), st.integers(1, 32))
def test_bfloat16_is_the_upper_half_of_a_float(halves: list[int], workers: int) -> None:
    half = np.array(halves, np.uint16)
    whole = (half.astype(np.uint32) << 16).view(np.float32)
    float32, bfloat16 = innet.Type.float32, innet.Type.bfloat16
    e = innet.exponent_of(whole.tobytes(), float32)
    assert innet.exponent_of(half.tobytes(), bfloat16) == e
    sent = innet.to_wire(half.tobytes(), bfloat16, e, workers)
    assert sent == innet.to_wire(whole.tobytes(), float32, e, workers)
    back = np.frombuffer(innet.from_wire(sent, bfloat16, e, workers), np.uint16)
    exact = torch.from_numpy(
        np.frombuffer(innet.from_wire(sent, float32, e, workers), np.float32).copy()
    )
    wanted = exact.to(torch.bfloat16)
    got = torch.from_numpy(back.view(np.int16).copy()).view(torch.bfloat16)
    assert torch.equal(got.nan_to_num(7.0), wanted.nan_to_num(7.0))


@pytest.mark.parametrize("values", [16, 32, 64, 128])
def test_other_sizes_of_packets(values: int) -> None:
    with closing(AggregationSwitch(values=values)) as small:
        members = small.add_job(1, ports(3), slots=4)
        given = integers(3, 1000)
        outcome = all_reduce(small.send, members, given, faults=BAD)
        assert all((r == sum(given)).all() for r in outcome.results)


def test_workers_that_call_different_things_are_told(switch: AggregationSwitch) -> None:
    members = switch.add_job(1, ports(3), slots=4)
    values = [np.ones(n, np.int32) for n in (700, 700, 701)]
    with pytest.raises(AggregationError, match="different things"):
        all_reduce(switch.send, members, values)


def test_a_tree_of_switches() -> None:
    tree = Tree(leaves=3, per_leaf=2, slots=4)
    try:
        for seed in range(2):
            values = integers(6, 7000, seed)
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


def test_jobs_come_and_go_in_any_order(switch: AggregationSwitch) -> None:
    """Each sum goes to its own job's workers, whoever had a group of copies before."""
    values = integers(2, 300)
    members = {job: switch.add_job(job, {0: 2 * job, 1: 2 * job + 1}, 8) for job in (1, 2, 3)}
    for gone, new in ((1, 4), (3, 5), (2, 6), (4, 7)):
        switch.remove_job(gone)
        del members[gone]
        members[new] = switch.add_job(new, {0: 2 * new, 1: 2 * new + 1}, 8)
        for of_job in members.values():
            outcome = all_reduce(switch.send, of_job, values)
            assert all((result == sum(values)).all() for result in outcome.results)


def packet(body: bytes | None = None, **fields: object) -> bytes:
    header = innet.Header()
    header.kind, header.values = innet.Kind.ADD, WIDTH
    for name, value in fields.items():
        setattr(header, name, value)
    return bytes(innet.encode(header)) + (
        np.full(WIDTH, 5, ">i4").tobytes() if body is None else body
    )


def test_strangers_are_counted_and_never_added(switch: AggregationSwitch) -> None:
    (member, other) = switch.add_job(7, ports(2), slots=2)

    def send(port: int = 1, **changed: object) -> list[object]:
        fields = {"job": 7, "epoch": member.epoch, "worker": 0, "round": 1} | changed
        return list(switch.switch.send(port, wire.frame(packet(**fields), 1)))

    before = switch.refused()
    assert send(job=8) == send(epoch=member.epoch ^ 1) == send(worker=2) == []
    assert send(worker=1) == []  # another worker's number from this port
    assert send(slot=2) == [] and send(kind=innet.Kind.RESULT) == []
    assert send(values=32) == []
    good = wire.frame(packet(job=7, epoch=member.epoch, round=1), 1)
    bent = bytearray(good)
    bent[42] = 1  # the version
    assert switch.switch.send(1, bytes(bent)) == []
    assert switch.switch.send(1, good[:-1]) == []
    damaged = bytearray(with_checksum(good))
    damaged[-1] ^= 1
    assert switch.switch.send(1, bytes(damaged)) == []
    after = switch.refused()
    grown = {k: after[k] - before[k] for k in after}
    assert grown == {"version": 2, "member": 5, "quota": 1, "stale": 0, "damaged": 2}
    # None of it counts: the sum is that of the two members.
    values = [np.full(10, 1, np.int32), np.full(10, 2, np.int32)]
    outcome = all_reduce(switch.send, [member, other], values)
    assert (outcome.results[0] == 3).all()
    # A copy of a finished round only gets its result again; it is stale once its set is used anew.
    assert len(send(round=3)) == 1
    assert send(round=1) == []
    assert switch.refused()["stale"] - before["stale"] == 1


def with_checksum(frame: bytes) -> bytes:
    """The frame with UDP's checksum (RFC 768) in its place."""
    ip, udp = frame[14:34], frame[34:]
    pseudo = ip[12:20] + bytes([0, 17]) + udp[4:6] + udp[:6] + b"\0\0" + udp[8:]
    total = sum(np.frombuffer(pseudo, ">u2").tolist())
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return frame[:40] + ((total ^ 0xFFFF) or 0xFFFF).to_bytes(2, "big") + frame[42:]


def test_a_checksum_of_zero_is_sent_as_ones(switch: AggregationSwitch) -> None:
    """RFC 768: one packet of 65536 has 0xffff, and is as whole as any other."""
    (member,) = switch.add_job(7, {0: 1}, slots=2)
    body = bytearray(np.zeros(WIDTH, ">i4").tobytes())
    plain = wire.frame(packet(bytes(body), job=7, epoch=member.epoch, round=1), 1)
    body[2:4] = with_checksum(plain)[40:42]
    frame = with_checksum(wire.frame(packet(bytes(body), job=7, epoch=member.epoch, round=1), 1))
    assert frame[40:42] == b"\xff\xff"
    assert len(switch.switch.send(1, frame)) == 1


def test_whole_packets_have_their_checksum(switch: AggregationSwitch) -> None:
    (member, _) = switch.add_job(7, ports(2), slots=2)
    frames = [
        with_checksum(wire.frame(packet(job=7, epoch=member.epoch, round=1, worker=w), 1 + w))
        for w in range(2)
    ]
    assert switch.switch.send(1, frames[0]) == []
    (wait,) = switch.switch.send(1, frames[0])  # again: the other is still to come
    for output in (wait, *switch.switch.send(2, frames[1])):
        assert output.data == with_checksum(output.data)
    header, body = innet.decode(wire.datagram(wait.data))
    assert (header.kind, header.arrived, body) == (innet.Kind.WAIT, 0b01, b"")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=220), st.integers(0, 300), st.integers(0, 255))
def test_a_worker_survives_any_bytes(noise: bytes, place: int, value: int) -> None:
    member = Membership(1, 1, 0, 2, 2, 32, 1)
    worker = Worker(member, np.ones(100, np.int32))
    frames = worker.poll(0.0)
    bent = bytearray(frames[0])
    bent[place % len(bent)] = value
    for frame in (noise, bytes(bent), frames[0][: place % len(frames[0])], frames[0] + noise):
        worker.on_frame(frame, 1.0)
    assert not worker.done
    with pytest.raises(AggregationError, match="misses"):
        worker.result()
    with pytest.raises(TypeError, match="float64"):
        Worker(member, np.ones(3))


# ------------------------------------------------------------------------------------ faults


def test_a_late_worker_is_left_out_when_the_job_allows_it(switch: AggregationSwitch) -> None:
    """By a round: worker 2 begins 500 us after the others, who wait for 400 us."""
    members = switch.add_job(1, ports(3), slots=2, may_close=True)
    values = integers(3, 64)
    outcome = all_reduce(switch.send, members, values, straggler_us=400, ready_us=[0.0, 0.0, 500.0])
    assert all((r == sum(values)).all() for r in outcome.results)  # only its opening came too late
    values = integers(3, 2000, seed=2)

    def without_some(port: int, frame: bytes, now_us: int) -> list[object]:
        """What worker 2 sends after its opening is lost, for longer than the others wait."""
        lost = port == 3 and 2 <= now_us < 450
        return [] if lost else list(switch.send(port, frame, now_us))

    outcome = all_reduce(without_some, members, values, straggler_us=400)  # type: ignore[arg-type]
    assert all((r == outcome.results[0]).all() for r in outcome.results)
    came = outcome.contributors[0]
    assert set(came.tolist()) == {2, 3}
    for chunk, count in enumerate(came):
        part = slice(chunk * WIDTH, (chunk + 1) * WIDTH)
        wanted = sum(v[part] for v in values[:count])
        assert (outcome.results[0][part] == wanted).all()


def test_a_late_worker_is_waited_for_when_the_job_does_not(switch: AggregationSwitch) -> None:
    members = switch.add_job(1, ports(3), slots=2)
    values = integers(3, 200)
    with pytest.raises(AggregationError, match="misses"):
        all_reduce(switch.send, members[:2], values[:2], straggler_us=400, deadline_us=1e5)


def test_a_switch_that_dies_ends_the_operation_in_time(switch: AggregationSwitch) -> None:
    members = switch.add_job(1, ports(4), slots=2)
    values = integers(4, 30000)
    with pytest.raises(AggregationError, match="worker 0 of job 1"):
        all_reduce(switch.send, members, values, cues=[(20, switch.restart)], deadline_us=1e5)
    # The job comes back under a new epoch, and what is left of the old one adds nothing.
    again = switch.add_job(1, ports(4), slots=2)
    assert again[0].epoch != members[0].epoch
    old = wire.frame(packet(job=1, epoch=members[0].epoch, round=1), 1)
    assert switch.switch.send(1, old) == []
    outcome = all_reduce(switch.send, again, values)
    assert (outcome.results[0] == sum(values)).all()


def test_time_does_not_grow_with_the_number_of_workers(switch: AggregationSwitch) -> None:
    """The rate is each worker's own link's; a ring would send 2 (n - 1) / n as much, in turns."""
    elapsed = []
    for job, workers in enumerate((2, 8, 24), 1):
        members = switch.add_job(job, ports(workers), slots=32)
        outcome = all_reduce(switch.send, members, integers(workers, WIDTH * 400), gbps=10)
        elapsed.append(outcome.elapsed_us)
    assert max(elapsed) < 1.05 * min(elapsed)
