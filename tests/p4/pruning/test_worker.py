"""What a worker sends of its rows, and which rows a survivor stands for."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from weft.p4.pruning import connect, fetch, wire, workloads
from weft.p4.pruning.codes import Scale
from weft.p4.pruning.encoders import Encoder, JoinKeys, Keys, Places
from weft.p4.pruning.execute import PART_ROWS, Pass
from weft.p4.pruning.worker import Packed, Worker


def the_pass(encode: Encoder, *, consume: bool = False, keep_rest: bool = False) -> Pass:
    return Pass(0, "t", encode, 1, 1.0, 8.0, consume=consume, keep_rest=keep_rest)


def ids_of(bodies: wire.Bodies) -> list[int]:
    """Numbers of the rows in packets."""
    found = []
    for present, body in bodies:
        ids = np.frombuffer(body, ">u4").reshape(-1, 4)[:, 0]
        assert len(ids) == present.bit_count()
        found += ids.tolist()
    return found


def sent(worker: Worker, one: Pass) -> list[int]:
    return sorted(i for packed in worker.pack(1, one) for i in ids_of(packed.bodies))


def packed(worker: Worker, one: Pass) -> list[Packed]:
    return list(worker.pack(1, one))


PLACES = Places((("k", Scale.between(1 << 63, (1 << 63) + (1 << 20)), False),))


def made(seed: int, rows: int = 5000, keys: int = 700) -> tuple[Worker, np.ndarray, np.ndarray]:
    """A worker whose run sees about half of the rows; its keys, -1 for NULL, and those rows."""
    rng = np.random.default_rng(seed)
    key = np.minimum(rng.zipf(1.3, rows), keys) * rng.integers(0, 2, rows) - rng.integers(0, 2)
    there = rng.random(rows) > 0.05
    table = pa.table({"k": pa.array(key, mask=~there), "x": rng.integers(0, 10, rows)})
    worker = Worker({"t": table})
    worker.choose(1, "t", "x < 5")
    chosen = np.flatnonzero(table["x"].to_numpy() < 5)
    return worker, np.where(there, key, -(10**6)), chosen


@pytest.mark.parametrize("seed", range(5))
def test_one_row_goes_for_all_of_its_key(seed: int) -> None:
    worker, key, chosen = made(seed)
    ids = sent(worker, the_pass(JoinKeys(("k",), 0)))
    whole = chosen[key[chosen] > -(10**6)]
    assert len(ids) == len(set(ids)) < len(whole) / 2
    assert set(ids) <= set(whole) and set(key[ids]) == set(key[whole])
    # Any of the keys survive, by whichever rows were sent for them.
    rng = np.random.default_rng(seed)
    kept = set(rng.choice(np.unique(key[whole]), 30, replace=False))
    survivors = np.array([i for i in ids if key[i] in kept])
    assert worker.rows(1, "t", survivors).tolist() == [i for i in whole if key[i] in kept]
    assert worker.rows(1, "t", survivors[:0]).tolist() == []


def test_a_restricted_run_goes_on_with_what_survived() -> None:
    worker, key, chosen = made(9)
    by_key = the_pass(JoinKeys(("k",), 0))
    ids = sent(worker, by_key)
    survivors = np.array([i for i in ids if key[i] % 3 == 0])
    left = worker.rows(1, "t", survivors)
    worker.restrict(1, "t", survivors)
    # The next pass, by another column, builds only: what survived the first stays what it was.
    building = sent(worker, the_pass(JoinKeys(("x",), 0), consume=True))
    assert set(building) <= set(left) and len(building) <= 5
    assert worker.rows(1, "t", survivors).tolist() == left.tolist()
    # One that asks leaves some of these.
    again = sent(worker, by_key)
    assert set(again) <= set(left)
    assert worker.rows(1, "t", np.array(again[:1])).tolist() == [
        i for i in left if key[i] == key[again[0]]
    ]
    # All of the run's rows are still known, for a table that is taken whole.
    assert worker.rows(1, "t", None).tolist() == chosen.tolist()


def test_packets_of_a_pass_are_made_once() -> None:
    worker, _, chosen = made(3)
    join = JoinKeys(("k",), 0)
    (first,) = packed(worker, the_pass(join, consume=True))
    (second,) = packed(worker, the_pass(join))
    assert (first.made, second.made) == (len(chosen), 0)
    assert second.bodies is first.bodies
    assert sum(p.made for p in packed(worker, the_pass(Keys(("k",), 0)))) == len(chosen)


@pytest.mark.parametrize("encode", [JoinKeys(("k",), 0), PLACES], ids=["keys", "places"])
def test_a_large_pass_comes_in_parts_that_make_up_the_whole(encode: Encoder) -> None:
    """Each row is in a packet, or another of its key goes for it. Where rising values would defeat
    the switch, every part has some of everywhere."""
    rows, spread = 3 * PART_ROWS + 1, encode.order_matters
    worker = Worker({"t": pa.table({"k": np.arange(rows) // 2})})
    worker.choose(1, "t", None)
    parts = list(worker.pack(1, the_pass(encode)))
    assert len(parts) == 4 and sum(part.made for part in parts) == rows
    tenths = [len({10 * i // rows for i in ids_of(part.bodies)}) for part in parts]
    assert all(n == 10 if spread else n < 5 for n in tenths)
    ids = sorted(i for part in parts for i in ids_of(part.bodies))
    assert ids == list(range(0, rows, 1 if spread else 2))
    survivors = np.array(ids[5:7])
    left = survivors if spread else [*survivors, *(survivors + 1)]
    assert worker.rows(1, "t", survivors).tolist() == sorted(left)


def test_rows_without_a_code_are_kept_or_dropped_as_the_operator_has_it() -> None:
    worker, key, chosen = made(4)
    missing = [i for i in chosen if key[i] == -(10**6)]
    none = np.zeros(0, np.int64)
    packed(worker, the_pass(Keys(("k",), 0), keep_rest=True))
    assert worker.rows(1, "t", none).tolist() == missing
    packed(worker, the_pass(JoinKeys(("k",), 0)))
    assert worker.rows(1, "t", none).tolist() == []


def test_the_master_restricts_over_the_shelf() -> None:
    worker, key, _ = made(5)
    ids = sent(worker, the_pass(JoinKeys(("k",), 0)))
    request = fetch.Request("secret", 1, "t", (), "restrict")
    given = pa.table({"id": pa.array(ids[:3], pa.int64())})
    assert len(fetch.answer(worker, "secret", request.encode(), given)) == 0
    left = sent(worker, the_pass(JoinKeys(("k",), 0)))
    assert set(key[left]) == set(key[ids[:3]])


def test_lanes_of_a_packet_hold_rows_of_their_keys() -> None:
    """Equal keys share a lane, whatever else is beside them."""
    worker, key, _ = made(6)
    lane_of: dict[int, int] = {}
    (whole,) = packed(worker, the_pass(Keys(("k",), 0)))
    for present, body in whole.bodies:
        lanes = [n for n in range(wire.LANES) if present >> n & 1]
        for lane, row in zip(lanes, np.frombuffer(body, ">u4").reshape(-1, 4)[:, 0], strict=True):
            assert lane_of.setdefault(int(key[row]), lane) == lane
    assert len(set(lane_of.values())) == wire.LANES


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 9, 10, 1000, 6180, 6181])
def test_spread_rows_are_all_there_and_neighbours_are_far_apart(count: int) -> None:
    ids, lanes = np.arange(count, dtype=np.uint32), np.arange(count) % wire.LANES
    bodies = wire.lay_out(ids, np.zeros((count, 3), np.uint32), lanes, spread=True)
    found = [int(i) for _, body in bodies for i in np.frombuffer(body, ">u4").reshape(-1, 4)[:, 0]]
    assert sorted(found) == list(range(count))
    if count >= 1000:  # of the first tenth, some are in every quarter
        assert len({4 * i // count for i in found[: count // 10]}) == 4


@pytest.mark.parametrize("order", [1, -1])
def test_sorted_tables_are_pruned_like_others(order: int) -> None:
    """The theorem's rows come in random order; a table that lies sorted must not come so."""
    table = pa.table({"v": np.arange(30_000) * order, "g": np.arange(30_000) % 50})
    with connect({"t": table}, workers=3) as connection, duckdb.connect() as database:
        database.register("t", table)
        for sql in ("SELECT v FROM t ORDER BY v DESC LIMIT 20",
                    "SELECT g, max(v) AS m FROM t GROUP BY g"):  # fmt: skip
            answer = connection.sql(sql, push=True)
            wanted = database.sql(sql).to_arrow_table()
            assert workloads.values(answer.table) == workloads.values(wanted)
            assert answer.report.survivors["t"] < 6000, sql
