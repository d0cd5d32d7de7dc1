"""How each pushed operator runs: cells and phases in the switch, codes for rows, sizes,
expectations.

`prepare` turns what the planner found (`plan.Push`) into a `Job`: the phases that its rows go
through, each a table's rows as codes, with what the switch does to them. A job says beforehand what
it expects to keep, which is what the planner weighs and EXPLAIN shows. Raises `NoRoom` when the
switch has too few free cells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from sqlglot import exp

from weft.p4.pruning import codes, control, plan, predicates, sizing, wire
from weft.p4.pruning.control import NoRoom, Phase, PruningSwitch, Share
from weft.p4.pruning.encoders import Amounts, Best, Encoder, JoinKeys, Keys, Places
from weft.p4.pruning.tables import Table

_MIN_CELLS = 8  # per lane; less is not worth a place


@dataclass(frozen=True, slots=True)
class Pass:
    """Rows of one table in one phase. Rows that `encode` leaves out are kept when `keep_rest`."""

    number: int
    table: str
    encode: Encoder
    consume: bool = False
    keep_rest: bool = True


@dataclass(slots=True)
class Job:
    """`passes` run one after another; tables without a pass that prunes are fetched whole."""

    title: str
    passes: list[Pass]
    phases: dict[int, Phase]
    shares: list[Share]
    keep: Mapping[str, float]  # expected share of rows that survive, by table
    delta: float = 0.0  # probability that the answer is wrong; 0: never
    one_pass: bool = True
    recount: tuple[str, tuple[str, ...]] | None = None  # HAVING: fetch all rows of these keys
    weakened: predicates.Weakened | None = None  # FILTER: its tables


def prepare(push: plan.Push, tables: Mapping[str, Table], switch: PruningSwitch, delta: float,
            kept: Mapping[str, float], salt: int = 0) -> Job:  # fmt: skip
    """`kept` is the share of each table's rows that its workers' own condition leaves; `salt` goes
    into the fingerprints of keys."""
    match push:
        case plan.Distinct():
            return _distinct(push, tables[push.table], switch, delta, kept[push.table], salt)
        case plan.TopN():
            return _top_n(push, tables[push.table], switch, delta, kept[push.table])
        case plan.GroupBest():
            return _group_best(push, tables[push.table], switch, delta, kept[push.table], salt)
        case plan.Having():
            return _having(push, tables[push.table], switch, delta, salt)
        case plan.Join():
            return _join(push, tables, switch, kept, salt)
        case plan.Filter():
            return _filter(push, tables[push.table])
        case plan.Skyline():
            return _skyline(push, tables[push.table], switch)


def _cells(switch: PruningSwitch, pool: str, wanted: int) -> Share:
    """As many cells as wanted, or what is left of them."""
    size = min(max(wanted, _MIN_CELLS), switch.free(pool))
    if size < _MIN_CELLS:
        raise NoRoom(f"{pool}: {switch.free(pool)} cells per lane are free, {_MIN_CELLS} are least")
    return switch.share(pool, size)


def _slot(switch: PruningSwitch, pool: str) -> Share:
    return switch.share(pool, 1)


def _check_keys(table: Table, keys: Sequence[str]) -> None:
    """Raises `TypeError` for keys that have no codes."""
    for key in keys:
        codes.check_key(table.schema.field(key).type)


def _fingerprint_delta(table: Table, keys: Sequence[str], distinct: int, d: int, delta: float
                       ) -> float:  # fmt: skip
    """0 if keys are told apart for certain, else delta; raises `NoRoom` if 64 bits are too few."""
    if codes.one_to_one([table.schema.field(k).type for k in keys]):
        return 0.0
    bits = sizing.fingerprint_bits(max(distinct, 1), d, delta)
    if bits > 64:
        raise NoRoom(f"{distinct} keys need fingerprints of {bits} bits for delta = {delta}")
    return delta


def _distinct(push: plan.Distinct, table: Table, switch: PruningSwitch, delta: float,
              kept: float, salt: int) -> Job:  # fmt: skip
    _check_keys(table, push.keys)
    distinct = table.distinct(push.keys)
    share = _cells(switch, "distinct", -(-4 * distinct // (wire.LANES * control.COLUMNS)))
    d, rows = share.size * wire.LANES, max(table.rows * kept, 1.0)
    hit = 1.0 if d * control.COLUMNS >= 2 * distinct else max(
        sizing.distinct_bound(distinct, d, control.COLUMNS), 0.0)  # fmt: skip
    pruned = hit * max(0.0, 1 - distinct / rows)
    return Job(
        f"DISTINCT on {', '.join(push.keys)}: d={d} w={control.COLUMNS} FIFO",
        [Pass(0, push.table, Keys(push.keys, salt))],
        {0: Phase("distinct", (share.base, share.size))},
        [share],
        {push.table: 1 - pruned},
        _fingerprint_delta(table, push.keys, distinct, d, delta),
    )


def _top_n(push: plan.TopN, table: Table, switch: PruningSwitch, delta: float, kept: float) -> Job:
    scale = table.scale(push.column)
    exact = int(scale.exact and push.alone)
    rows = max(int(table.rows * kept), 1)

    encode = Places(((push.column, scale, not push.descending),))
    least = sizing.top_n_rows(push.n, delta)
    wanted = -(-max(least, math.ceil(push.n * math.e / math.log(1 / delta))) // wire.LANES)
    while wanted <= control.CELLS:
        if _fitting_columns(push.n, wanted * wire.LANES, delta) <= control.COLUMNS:
            break
        wanted += max(1, wanted // 8)
    if wanted <= switch.free("top_n_random"):
        share = switch.share("top_n_random", wanted)
        d = wanted * wire.LANES
        return Job(
            f"TOP {push.n} by {push.column}: randomised, d={d} w={control.COLUMNS}",
            [Pass(0, push.table, encode)],
            {0: Phase("top_n_random", (share.base, share.size, exact))},
            [share],
            {push.table: 1 - sizing.top_n_bound(rows, d, control.COLUMNS)},
            delta,
        )
    share = _slot(switch, "top_n_deterministic")
    return Job(
        f"TOP {push.n} by {push.column}: thresholds, w={control.COLUMNS}",
        [Pass(0, push.table, encode)],
        {0: Phase("top_n_deterministic", (share.base, push.n))},
        [share],
        {push.table: 0.75},
    )


def _fitting_columns(n: int, d: int, delta: float) -> int:
    try:
        return sizing.top_n_columns(n, d, delta)
    except ValueError:
        return 1 << 30


def _group_best(push: plan.GroupBest, table: Table, switch: PruningSwitch, delta: float,
                kept: float, salt: int) -> Job:  # fmt: skip
    _check_keys(table, push.keys)
    scale, groups = table.scale(push.value), table.distinct(push.keys)
    share = _cells(switch, "group_by", -(-4 * groups // (wire.LANES * control.COLUMNS)))
    d = share.size * wire.LANES
    rows = max(int(table.rows * kept), 1)
    pruned = sizing.group_by_expected(rows, groups, d * control.COLUMNS)

    return Job(
        f"GROUP BY {', '.join(push.keys)} {'MIN' if push.descending else 'MAX'}({push.value}): "
        f"d={d} w={control.COLUMNS}",
        [Pass(0, push.table, Best(push.keys, push.value, scale, push.descending, salt))],
        {0: Phase("group_by", (share.base, share.size, int(scale.exact)))},
        [share],
        {push.table: 1 - pruned},
        _fingerprint_delta(table, push.keys, groups, d, delta),
    )


def _having(push: plan.Having, table: Table, switch: PruningSwitch, delta: float, salt: int) -> Job:
    _check_keys(table, push.keys)
    groups = table.distinct(push.keys)
    share = _cells(switch, "sketch", -(-2 * groups // wire.LANES))
    cache = _cells(switch, "reported", 64)
    unit = max(push.bound / (1 << 24), 1e-9) if push.value is not None else 1.0
    bound = math.floor(push.bound / unit)
    candidates = table.above(push.keys, push.value, push.bound)

    what = "COUNT(*)" if push.value is None else f"SUM({push.value})"
    return Job(
        f"HAVING {what} > {push.bound:g}: Count-Min 3 x {share.size * wire.LANES}",
        [Pass(0, push.table, Amounts(push.keys, push.value, unit, salt))],
        {0: Phase("having", (share.base, share.size, cache.base, cache.size, bound))},
        [share, cache],
        {push.table: candidates},
        # Two keys of one fingerprint would be reported as one.
        _fingerprint_delta(table, push.keys, groups, cache.size * wire.LANES, delta),
        one_pass=False,
        recount=(push.table, push.keys),
    )


def _join(push: plan.Join, tables: Mapping[str, Table], switch: PruningSwitch,
          kept: Mapping[str, float], salt: int) -> Job:  # fmt: skip
    left, right = tables[push.left], tables[push.right]
    _check_joinable(left, push.left_keys, right, push.right_keys)
    rows = [left.rows * kept[push.left], right.rows * kept[push.right]]
    names, keys = [push.left, push.right], [push.left_keys, push.right_keys]
    probe = [push.prune_left, push.prune_right]
    share = _cells(
        switch,
        "filter",
        math.ceil(max(r for r, p in zip(rows, reversed(probe), strict=True) if p) / wire.LANES / 4),
    )
    passes, phases, keep = [], {}, {}
    for side in (0, 1):
        if probe[1 - side]:
            building = JoinKeys(keys[side], False, salt)
            passes.append(Pass(side, names[side], building, consume=True))
            phases[side] = Phase("join", (share.base, share.size, side, 1, 0, 1))
    for side in (0, 1):
        if probe[side]:
            probing = JoinKeys(keys[side], True, salt)
            passes.append(Pass(2 + side, names[side], probing, keep_rest=False))
            phases[2 + side] = Phase("join", (share.base, share.size, side, 0, 1, 0))
            other = tables[names[1 - side]].distinct(keys[1 - side]) * kept[names[1 - side]]
            matching = min(1.0, other / max(tables[names[side]].distinct(keys[side]), 1))
            wrong = sizing.register_bloom_false_positives(int(other), share.size * wire.LANES)
            keep[names[side]] = matching + (1 - matching) * wrong
    return Job(
        f"JOIN {push.left} with {push.right}, pruning {' and '.join(keep)}: "
        f"register Bloom filter of {share.size * wire.LANES} words",
        passes, phases, [share], keep, one_pass=False,
    )  # fmt: skip


def _check_joinable(left: Table, left_keys: Sequence[str], right: Table, right_keys: Sequence[str]
                    ) -> None:  # fmt: skip
    """Keys must be coded alike: the same types, or all integers."""
    _check_keys(left, left_keys)
    for a, b in zip(left_keys, right_keys, strict=True):
        one, other = left.schema.field(a).type, right.schema.field(b).type
        integers = pa.types.is_integer(one) and pa.types.is_integer(other)
        wide = pa.types.is_uint64(one) or pa.types.is_uint64(other)
        if one != other and not (integers and not wide):
            raise NoRoom(f"join keys of types {one} and {other} have no common code")


def _filter(push: plan.Filter, table: Table) -> Job:
    weakened = predicates.weaken(push.condition, table)
    if weakened is None:
        raise NoRoom("no comparison of the condition is one that the switch can make")

    encode = Places(tuple((c, weakened.scales[c], False) for c in weakened.columns))
    plain = push.condition.copy()
    for column in plain.find_all(exp.Column):
        column.set("table", None)
    return Job(
        f"FILTER by {weakened.text}",
        [Pass(0, push.table, encode)],
        {0: Phase("filter", ())},
        [],
        {push.table: table.selectivity(plain.sql(dialect=plan.DIALECT))},
        weakened=weakened,
    )


def _skyline(push: plan.Skyline, table: Table, switch: PruningSwitch) -> Job:
    share = _slot(switch, "skyline")
    most = (1 << 30) - 2  # so that the sum of three codes fits 32 bits
    scales = []
    for column in push.columns:
        numbers, there = codes.ordered(pa.chunked_array(
            [c for f in table.fragments for c in f.column(column).chunks],
            table.schema.field(column).type))  # fmt: skip
        used = numbers[there]
        low, high = (int(used.min()), int(used.max())) if len(used) else (0, 0)
        text = codes.is_text(table.schema.field(column).type)
        scales.append(codes.Scale.between(low, high, text, most))

    places = zip(push.columns, scales, push.largest, strict=True)
    encode = Places(tuple((name, scale, not large) for name, scale, large in places))
    strict = [int(not s.exact) for s in scales] + [0] * (3 - len(scales))
    return Job(
        f"SKYLINE of {', '.join(push.columns)}: w={control.COLUMNS} points per lane, SUM",
        [Pass(0, push.table, encode)],
        {0: Phase("skyline", (share.base, *strict))},
        [share],
        {push.table: 0.02},
    )
