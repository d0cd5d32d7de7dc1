"""The contract of every program: the query over the survivors is the query over everything."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from pruning_switch import (
    MASTER,
    STREAM,
    WORKER,
    codes,
    install,
    key_codes,
    lanes_of,
    open_switch,
    survivors,
)

from weft.p4.pruning import sizing, wire
from weft.p4.switch import Switch

EDGES = [1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]


def uint(*parts: Iterable[int]) -> np.ndarray:
    """All parts in one array; by way of Python's integers, because NumPy would make floats."""
    return np.array([int(value) for part in parts for value in part], np.uint64)


# --------------------------------------------------------------------------------- distinct


@pytest.mark.parametrize("program", ["distinct_fifo", "distinct_lru"])
@pytest.mark.parametrize("size", [1, 7, 125, 512])
def test_distinct_keeps_every_key(program: str, size: int) -> None:
    rng = np.random.default_rng(size)
    keys = uint(rng.integers(1, 300, 3000), EDGES * 3)
    rng.shuffle(keys)
    with open_switch(program, COLUMNS=2) as switch:
        install(switch, "distinct", [5, size])
        kept = survivors(switch, key_codes(keys), lanes_of(keys))
    assert set(keys[kept].tolist()) == set(keys.tolist())
    if size == 512:  # 308 keys in 8 x 512 x 2 cells: nearly all stay cached
        assert len(kept) < 500


def test_fifo_and_lru_replace_what_their_names_say() -> None:
    """Keys 1 2 1 3 1 in two columns of one row: LRU still knows 1 at the end, FIFO does not."""
    keys = uint([1, 2, 1, 3, 1])
    lane = np.zeros(5, np.int64)
    for program, expected in (("distinct_fifo", [0, 1, 3, 4]), ("distinct_lru", [0, 1, 3])):
        with open_switch(program, COLUMNS=2) as switch:
            install(switch, "distinct", [0, 1])
            assert survivors(switch, key_codes(keys), lane).tolist() == expected


def test_rows_without_value_pass_and_change_nothing() -> None:
    keys = uint([0, 0, 5, 0, 5, 0])
    with open_switch("distinct_lru", COLUMNS=2) as switch:
        install(switch, "distinct", [0, 1])
        kept = survivors(switch, key_codes(keys), np.zeros(6, np.int64))
    assert kept.tolist() == [0, 1, 2, 3, 5]


def test_fingerprints_collide_no_more_often_than_promised() -> None:
    """Theorem 4 with delta = 10 %: 60 streams, of which 14 wrong ones have probability < 1e-3.

    Fewer bits than it asks for do lose keys, so the measure can fail.
    """
    distinct, d, delta = 300, 64, 0.1
    bits = sizing.fingerprint_bits(distinct, d, delta)
    assert 16 < bits < 32
    wrong = {bits: 0, 10: 0}
    for width in wrong:
        for seed in range(60):
            rng = np.random.default_rng(seed)
            keys = rng.permutation(distinct)
            prints = rng.integers(1, 1 << width, distinct, dtype=np.uint64)[keys]
            with open_switch("distinct_lru", COLUMNS=8) as switch:
                install(switch, "distinct", [0, d // wire.LANES])
                kept = survivors(switch, key_codes(prints), lanes_of(prints))
            wrong[width] += len(kept) < distinct
    assert wrong[bits] < 14
    assert wrong[10] > 30


# ------------------------------------------------------------------------------------ top n


def largest(values: np.ndarray, n: int) -> list[int]:
    return sorted(values.tolist(), reverse=True)[:n]


@pytest.mark.parametrize(
    "case", ["uniform", "pareto", "rising", "falling", "equal", "edges", "few"]
)
def test_top_n_deterministic_is_always_right(case: str) -> None:
    rng = np.random.default_rng(7)
    n, values = 10, {
        "uniform": rng.integers(1, 1 << 32, 4000),
        "pareto": np.minimum(1 + rng.pareto(1.2, 4000) * 1000, 2**32 - 1),
        "rising": np.arange(1, 4001),
        "falling": np.arange(4000, 0, -1),
        "equal": np.full(500, 77),
        "edges": np.array([1, 2**32 - 1, 2**31, 2**31 - 1] * 50),
        "few": np.array([3, 1, 2]),
    }[case].astype(np.uint64)  # fmt: skip
    with open_switch("top_n_deterministic", COLUMNS=8) as switch:
        install(switch, "top_n_deterministic", [3, n])
        kept = survivors(switch, codes(values))
    assert largest(values[kept], n) == largest(values, n)
    if case == "pareto":
        assert len(kept) < len(values) / 2


def test_top_n_random_is_wrong_no_more_often_than_promised() -> None:
    """delta = 2 % by the theorem, 100 seeds: 9 failures or more have probability < 1e-3."""
    n, delta, d = 20, 0.02, 24
    assert sizing.top_n_columns(n, d, delta) <= 10
    rng = np.random.default_rng(3)
    wrong = 0
    for seed in range(100):
        values = rng.integers(1, 1 << 32, 600, dtype=np.uint64)
        with open_switch("top_n_random", seed=seed + 1, COLUMNS=10) as switch:
            install(switch, "top_n_random", [0, d // wire.LANES, 1])
            kept = survivors(switch, codes(values))
        wrong += largest(values[kept], n) != largest(values, n)
    assert wrong < 9


def test_an_under_provisioned_top_n_does_lose_rows() -> None:
    """The measure can fail: one cell per lane cannot hold the 50 largest."""
    rng = np.random.default_rng(4)
    values = rng.integers(1, 1 << 32, 2000, dtype=np.uint64)
    with open_switch("top_n_random", COLUMNS=1) as switch:
        install(switch, "top_n_random", [0, 1, 1])
        kept = survivors(switch, codes(values))
    assert largest(values[kept], 50) != largest(values, 50)


def test_coarse_codes_keep_ties() -> None:
    """Equal coarse codes may hide unequal values, so none of them prunes another."""
    values = np.full(64, 9, np.uint64)
    with open_switch("top_n_random", COLUMNS=1) as switch:
        install(switch, "top_n_random", [0, 1, 0])
        assert len(survivors(switch, codes(values))) == 64
    with open_switch("top_n_random", COLUMNS=1) as switch:
        install(switch, "top_n_random", [0, 1, 1])
        assert len(survivors(switch, codes(values))) == wire.LANES


# --------------------------------------------------------------------------------- group by


@pytest.mark.parametrize(("columns", "size"), [(2, 1), (2, 9), (8, 512)])
@pytest.mark.parametrize("exact", [0, 1])
def test_group_by_keeps_every_maximum(columns: int, size: int, exact: int) -> None:
    rng = np.random.default_rng(columns + size)
    keys = uint(rng.integers(1, 100, 3000), EDGES * 4)
    values = rng.integers(0, 1 << 32, len(keys), dtype=np.uint64)
    values[:50] = 2**32 - 1
    values[50:90] = 0
    with open_switch("group_by", COLUMNS=columns) as switch:
        install(switch, "group_by", [0, size, exact])
        kept = survivors(switch, key_codes(keys, values), lanes_of(keys))

    def best(rows: np.ndarray) -> dict[int, int]:
        found: dict[int, int] = {}
        for key, value in zip(keys[rows].tolist(), values[rows].tolist(), strict=True):
            found[key] = max(value, found.get(key, 0))
        return found

    assert best(kept) == best(np.arange(len(keys)))
    if size == 512:
        assert len(kept) < 1200


# ------------------------------------------------------------------------------------- join


@pytest.mark.parametrize("program", ["join_bloom", "join_register_bloom"])
def test_join_keeps_every_match(program: str) -> None:
    rng = np.random.default_rng(11)
    left = uint(rng.integers(1, 1 << 60, 1500), EDGES, [0, 0])
    right = uint(left[:200], rng.integers(1, 1 << 60, 1500), EDGES, [0])
    size = 1021  # of 8 lanes; bits for one program, words of 64 bits for the other
    with open_switch(program, FILTER_CELLS=2048) as switch:
        for phase, (side, build, probe, consume) in enumerate(
            [(0, 1, 0, 1), (1, 1, 0, 1), (0, 0, 1, 0), (1, 0, 1, 0)]
        ):
            install(switch, "join", [1000, size, side, build, probe, consume], phase)
        assert len(survivors(switch, key_codes(left), lanes_of(left), 0)) == 0
        assert len(survivors(switch, key_codes(right), lanes_of(right), 1)) == 0
        kept = [survivors(switch, key_codes(x), lanes_of(x), 2 + i)
                for i, x in enumerate((left, right))]  # fmt: skip
    for mine, other, rows in ((left, right, kept[0]), (right, left, kept[1])):
        needed = np.flatnonzero(np.isin(mine, other))
        assert set(needed.tolist()) <= set(rows.tolist())
        assert len(rows) < 0.6 * len(mine)


def test_asymmetric_join_streams_the_small_side_once() -> None:
    small, large = uint(range(1, 50)), uint(range(1, 4000))
    with open_switch("join_register_bloom", FILTER_CELLS=256) as switch:
        install(switch, "join", [0, 256, 0, 1, 0, 0], 0)
        install(switch, "join", [0, 256, 1, 0, 1, 0], 1)
        assert len(survivors(switch, key_codes(small), lanes_of(small), 0)) == len(small)
        kept = survivors(switch, key_codes(large), lanes_of(large), 1)
    assert set(range(49)) <= set(kept.tolist())
    assert len(kept) < 200


# ----------------------------------------------------------------------------------- having


@pytest.mark.parametrize("size", [1, 5, 64, 1024])
def test_having_reports_every_key_above_the_bound(size: int) -> None:
    rng = np.random.default_rng(size)
    keys = uint(rng.zipf(1.3, 6000) % 1000 + 1)
    amounts = rng.integers(0, 1000, len(keys), dtype=np.uint64)
    amounts[::97] = 2**32 - 1  # saturates: over the bound for ever
    totals = np.zeros(1002, np.uint64)
    np.add.at(totals, keys.astype(np.int64), amounts)
    bound = 40_000
    with open_switch("having", COLUMNS=2, SKETCH_CELLS=1024) as switch:
        install(switch, "having", [0, size, 0, 64, bound])
        kept = survivors(switch, key_codes(keys, amounts), lanes_of(keys))
    above = set(np.flatnonzero(totals > bound).tolist())
    assert above <= set(keys[kept].tolist())
    if size == 1024:
        assert set(keys[kept].tolist()) == above
        assert len(kept) < 4 * len(above)


# ---------------------------------------------------------------------------------- skyline


def skyline(points: np.ndarray) -> set[tuple[int, ...]]:
    best: set[tuple[int, ...]] = set()
    for point in {tuple(p) for p in points.tolist()}:
        if not any(
            all(o >= p for o, p in zip(other, point, strict=True)) and other != point
            for other in map(tuple, points.tolist())
        ):
            best.add(point)
    return best


@pytest.mark.parametrize("program", ["skyline_sum", "skyline_aph"])
@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("columns", [1, 5])
def test_skyline_keeps_every_best_point(program: str, dimensions: int, columns: int) -> None:
    rng = np.random.default_rng(dimensions)
    points = rng.integers(1, 200, (800, dimensions))
    points[::9] = points[0]
    with open_switch(program, COLUMNS=columns) as switch:
        if program == "skyline_aph":
            install_logarithms(switch)
        install(switch, "skyline", [2, 0, 0, 0])
        rows = codes(*points.T)
        kept = survivors(switch, rows)
    assert skyline(points[kept]) == skyline(points)
    assert len(kept) < 0.6 * len(points)
    # Equal points are all kept or all dominated: no copy of a best point vanishes.
    for point in skyline(points):
        copies = np.flatnonzero((points == point).all(axis=1))
        assert set(copies.tolist()) <= set(kept.tolist())


def install_logarithms(switch: object) -> None:
    from weft.p4.pruning.logarithm import install_logarithm

    for lane, axis in itertools.product(range(wire.LANES), "abc"):
        install_logarithm(switch, f"ingress.lane{lane}.skyline.log_{axis}")  # type: ignore[arg-type]


def test_coarse_dimensions_need_strict_domination() -> None:
    points = np.array([[5, 5], [5, 4], [4, 4]] * 8)
    points = points[np.argsort(np.arange(24) % 8, kind="stable")]
    rows, lane = codes(*points.T), np.zeros(24, np.int64)
    for strict, kept in ((0, {(5, 5)}), (1, {(5, 5), (5, 4)})):
        with open_switch("skyline_sum", COLUMNS=1) as switch:
            install(switch, "skyline", [0, strict, strict, 0])
            index = survivors(switch, rows, lane)
            assert {tuple(p) for p in points[index].tolist()} - {(4, 4), (5, 4)} == {(5, 5)}
            later = index[index >= 3]
            assert {tuple(p) for p in points[later].tolist()} == kept


# ------------------------------------------------------------------------------ reliability


def one(switch: object, data: bytes) -> tuple[int, wire.Packet]:
    (output,) = switch.send(1, data)  # type: ignore[attr-defined]
    return output.port, wire.decode(output.data)[1]


def test_a_packet_seen_before_passes_whole_and_is_not_counted() -> None:
    keys = uint([7, 8])
    ((present, body),) = wire.lay_out(
        np.arange(2, dtype=np.uint32), key_codes(keys), np.array([0, 1])
    )
    with open_switch("distinct_lru", COLUMNS=2) as switch:
        install(switch, "distinct", [0, 64])

        def packet(sequence: int, **changed: int) -> bytes:
            stream = wire.Stream(WORKER, MASTER, **{"query": 1, "epoch": 1, "phase": 0, "flow": 0}
                                 | changed)  # fmt: skip
            return wire.encode(stream, wire.DATA, sequence, present, body)

        assert one(switch, packet(5))[1].ids == (0, 1)  # out of order is no matter
        assert one(switch, packet(1))[1].kind == wire.ACK
        for again in (5, 1):
            port, seen = one(switch, packet(again))
            assert (port, seen.kind, seen.ids) == (9, wire.SURVIVORS, (0, 1))
        # A later packet of the same cell: older ones pass whole as well.
        assert one(switch, packet(1 + wire.WINDOW))[1].kind == wire.ACK
        assert one(switch, packet(1))[1].ids == (0, 1)
        # A query that the switch does not know passes as it is: it may have lost its memory.
        port, seen = one(switch, packet(9, query=2))
        assert (port, seen.kind, seen.ids) == (9, wire.DATA, (0, 1))
        assert refused(switch) == (0, 0, 0)
        short = packet(11)[:-5]
        assert switch.send(1, short) == []


def refused(switch: Switch) -> tuple[int, ...]:
    """Packets of a wrong version, a wrong epoch, a wrong sender."""
    return tuple(switch.counter("ingress.refused").read(i)[0] for i in range(3))


STRANGER = wire.Address(7)
FORGED: dict[str, tuple[int, int, dict[str, object], tuple[int, int, int]]] = {
    # port, kind, what is changed of the stream, what is counted
    "stale epoch": (1, wire.DATA, {"epoch": 9}, (0, 1, 0)),
    "no such phase": (1, wire.DATA, {"phase": 5}, (0, 0, 1)),
    "another's flow": (1, wire.DATA, {"flow": 3}, (0, 0, 1)),
    "flow beyond the window": (1, wire.DATA, {"flow": wire.FLOWS}, (0, 0, 1)),
    "worker at another port": (2, wire.DATA, {}, (0, 0, 1)),
    "another address": (1, wire.DATA, {"source": STRANGER}, (0, 0, 1)),
    "the master's address": (1, wire.DATA, {"source": MASTER}, (0, 0, 1)),
    "stranger, unknown query": (2, wire.DATA, {"query": 9, "source": STRANGER}, (0, 0, 1)),
    "acknowledgement": (9, wire.ACK, {"source": MASTER, "target": WORKER}, (0, 0, 1)),
    "receipt by a worker": (1, wire.RECEIPT, {"source": MASTER, "target": WORKER}, (0, 0, 1)),
    "end by another": (2, wire.EOS, {}, (0, 0, 1)),
}


@pytest.mark.parametrize("what", FORGED)
def test_forged_packets_are_counted_and_dropped_and_change_nothing(what: str) -> None:
    """Key 7 in a forged packet, then from its worker: it passes, because it was never entered."""
    port, kind, changed, counted = FORGED[what]
    rows = wire.lay_out(np.arange(1, dtype=np.uint32), key_codes(uint([7])), np.array([0]))
    with open_switch("distinct_lru", COLUMNS=2) as switch:
        install(switch, "distinct", [0, 64])
        forged = wire.encode(replace(STREAM, **changed), kind, 1, *rows[0])  # type: ignore[arg-type]
        assert switch.send(port, forged) == []
        assert refused(switch) == counted
        seen = one(switch, wire.encode(STREAM, wire.DATA, 1, *rows[0]))[1]
        assert (seen.kind, seen.ids) == (wire.SURVIVORS, (0,))


@pytest.mark.parametrize("kind", [wire.DATA, wire.EOS, wire.ACK])
@pytest.mark.parametrize("version", [0, 2, 255])
def test_other_versions_are_counted_and_dropped(kind: int, version: int) -> None:
    with open_switch("distinct_lru", COLUMNS=2) as switch:
        install(switch, "distinct", [0, 64])
        bent = bytearray(wire.encode(STREAM, kind, 1))
        bent[42] = version
        assert switch.send(1, bytes(bent)) == []
        assert refused(switch) == (1, 0, 0)


def test_what_stands_in_the_way_of_strangers_survives_noise() -> None:
    """Whole packets with bytes changed: whatever the switch lets through to an operator bears the
    query's own numbers, so a key is only ever pruned that its own worker sent before."""
    rng = np.random.default_rng(12)
    rows = wire.lay_out(np.arange(8, dtype=np.uint32), key_codes(uint(range(1, 9))), np.arange(8))
    good = wire.encode(STREAM, wire.DATA, 1, *rows[0])
    with open_switch("distinct_lru", COLUMNS=2) as switch:
        install(switch, "distinct", [0, 64])
        for _ in range(3000):
            bent = bytearray(good)
            bent[int(rng.integers(44, 49))] ^= int(rng.integers(1, 256))  # query, epoch, phase
            for place in rng.integers(0, len(good), rng.integers(0, 3)):
                bent[place] ^= int(rng.integers(0, 256))
            cut = len(good) if rng.random() < 0.7 else int(rng.integers(0, len(good)))
            if bytes(bent[:52]) == good[:52]:
                continue  # bent back
            for output in switch.send(1, bytes(bent[:cut])):
                assert output.port == 9
        port, seen = one(switch, good)
        assert (port, seen.kind, seen.ids) == (9, wire.SURVIVORS, tuple(range(8)))


def test_other_traffic_is_routed() -> None:
    with open_switch("distinct_lru", COLUMNS=2) as switch:
        eos = wire.encode(STREAM, wire.EOS, 3)
        assert switch.send(1, eos) == [(9, eos)]
        assert switch.send(1, b"\0" * 60) == []
