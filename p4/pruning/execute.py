"""How each pushed operator runs: cells and phases in the switch, codes for rows, sizes,
expectations.

`prepare` turns what the planner found (`plan.Push`) into a `Job`: the phases that its rows go
through, each a table's rows as codes, with what the switch does to them. A job says beforehand what
it expects to keep, which is what the planner weighs and EXPLAIN shows. Raises `NoRoom` when the
switch has too few free cells.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from sqlglot import exp

from weft.p4.pruning import codes, control, plan, predicates, sizing, wire
from weft.p4.pruning.control import NoRoom, Phase, PruningSwitch, Share
from weft.p4.pruning.encoders import Amounts, Best, Encoder, JoinKeys, Keys, Places
from weft.p4.pruning.tables import Table

#: Rows that a worker makes packets of at a time, so that some are on their way while others are
#: made; packets at a part's end are not full.
PART_ROWS = 1 << 14
_MIN_CELLS = 8  # per lane; less is not worth a place
_SKYLINE_LEFT = 0.02  # share of the rows; a guess on the safe side of what points do


@dataclass(frozen=True, slots=True)
class Pass:
    """Rows of one table in one phase. Rows that `encode` leaves out are kept when `keep_rest`.

    `restricted`: only rows that survived the table's last pass, which the master tells the workers.
    What is expected: of `rows` a share `sent` goes through, of which a share `kept` reaches the
    master, and packets carry `fill` of them.
    """

    number: int
    table: str
    encode: Encoder
    rows: float
    kept: float
    fill: float
    consume: bool = False
    keep_rest: bool = True
    restricted: bool = False
    sent: float = 1.0


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
            return _having(push, tables[push.table], switch, delta, kept[push.table], salt)
        case plan.Join():
            return _join(push, tables, switch, kept, salt)
        case plan.Filter():
            return _filter(push, tables[push.table])
        case plan.Skyline():
            return _skyline(push, tables[push.table], switch, kept[push.table])


def _cells(switch: PruningSwitch, pool: str, wanted: int) -> Share:
    """As many cells as wanted, or what is left of them."""
    size = min(max(wanted, _MIN_CELLS), switch.free(pool))
    if size < _MIN_CELLS:
        raise NoRoom(f"{pool}: {switch.free(pool)} cells per lane are free, {_MIN_CELLS} are least")
    return switch.share(pool, size)


def _fill(keys: float) -> float:
    """Rows per packet, where keys choose the lanes; a part has no more keys than rows."""
    return sizing.rows_per_packet(min(keys, PART_ROWS), wire.LANES)


def _slot(switch: PruningSwitch, pool: str) -> Share:
    return switch.share(pool, 1)


def _check_keys(table: Table, keys: Sequence[str]) -> None:
    """Raises `NoCodes` for keys that have none."""
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
    left = 1 - hit * max(0.0, 1 - distinct / rows)
    encode, fill = Keys(push.keys, salt), _fill(distinct)
    return Job(
        f"DISTINCT on {', '.join(push.keys)}: d={d} w={control.COLUMNS} FIFO",
        [Pass(0, push.table, encode, rows, left, fill)],
        {0: Phase("distinct", (share.base, share.size))},
        [share],
        {push.table: left},
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
        left = 1 - sizing.top_n_bound(rows, d, control.COLUMNS)
        return Job(
            f"TOP {push.n} by {push.column}: randomised, d={d} w={control.COLUMNS}",
            [Pass(0, push.table, encode, rows, left, wire.LANES)],
            {0: Phase("top_n_random", (share.base, share.size, exact))},
            [share],
            {push.table: left},
            delta,
        )
    share = _slot(switch, "top_n_deterministic")
    return Job(
        f"TOP {push.n} by {push.column}: thresholds, w={control.COLUMNS}",
        [Pass(0, push.table, encode, rows, 0.75, wire.LANES)],
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
    left = 1 - sizing.group_by_expected(rows, groups, d * control.COLUMNS)
    encode = Best(push.keys, push.value, scale, push.descending, salt)
    fill = _fill(groups)
    return Job(
        f"GROUP BY {', '.join(push.keys)} {'MIN' if push.descending else 'MAX'}({push.value}): "
        f"d={d} w={control.COLUMNS}",
        [Pass(0, push.table, encode, rows, left, fill)],
        {0: Phase("group_by", (share.base, share.size, int(scale.exact)))},
        [share],
        {push.table: left},
        _fingerprint_delta(table, push.keys, groups, d, delta),
    )


def _having(push: plan.Having, table: Table, switch: PruningSwitch, delta: float,
            kept: float, salt: int) -> Job:  # fmt: skip
    _check_keys(table, push.keys)
    groups = table.distinct(push.keys)
    share = _cells(switch, "sketch", -(-4 * groups // wire.LANES))
    cache = _cells(switch, "reported", 64)
    unit = max(push.bound / (1 << 24), 1e-9) if push.value is not None else 1.0
    bound = math.floor(push.bound / unit)
    sampled, sums = table.sums(push.keys, push.value)
    cells = share.size * wire.LANES
    candidates = sizing.count_min_above(sampled, sums, groups, cells, push.bound)
    rows, fill = table.rows * kept, _fill(groups)
    reported = min(1.0, candidates * groups / max(rows, 1.0))  # about once per key

    what = "COUNT(*)" if push.value is None else f"SUM({push.value})"
    return Job(
        f"HAVING {what} > {push.bound:g}: Count-Min 3 x {cells}",
        [Pass(0, push.table, Amounts(push.keys, push.value, unit, salt), rows, reported, fill)],
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
    """Per semi-join two passes: rows of `by` build a filter, which those of `table` ask.

    A later step goes over what the earlier ones left.
    """
    total = {name: table.rows * kept[name] for name, table in tables.items() if name in kept}
    left = dict(total)
    passes: list[Pass] = []
    phases, wanted, texts = {}, [], []
    probed: set[str] = set()
    shares: dict[tuple[str, str], float] = {}
    for step in push.steps:
        table, by = tables[step.table], tables[step.by]
        theirs, ours = by.distinct(step.by_keys), table.distinct(step.keys)
        # What `table` itself has dropped of `by` says nothing new about `table`.
        apart = left[step.by] / shares.get((step.by, step.table), 1.0)
        there = sizing.distinct_left(theirs, by.rows, apart)
        wanted.append(max(_MIN_CELLS, math.ceil(left[step.by] / wire.LANES / 4)))
        wrong = sizing.register_bloom_false_positives(int(there), wanted[-1] * wire.LANES)
        matching = min(1.0, there / max(theirs, ours, 1))
        share = matching + (1 - matching) * wrong
        number, building, probing = len(passes), _fill(there), _fill(ours)
        passes += [
            Pass(number, step.by, JoinKeys(step.by_keys, salt), left[step.by], 0.0, building,
                 consume=True, restricted=step.by in probed, sent=by.unlike(step.by_keys)),
            Pass(number + 1, step.table, JoinKeys(step.keys, salt), left[step.table], share,
                 probing, keep_rest=False, restricted=step.table in probed,
                 sent=table.unlike(step.keys)),
        ]  # fmt: skip
        left[step.table] *= share
        shares[step.table, step.by] = max(share, 1e-9)
        probed.add(step.table)
        texts.append(f"{step.table} by {step.by}")
    cells = _cells(switch, "filter", sum(wanted))
    bases = [cells.size * sum(wanted[:i]) // sum(wanted) for i in range(len(wanted) + 1)]
    for i, (first, end) in enumerate(itertools.pairwise(bases)):
        if end - first < _MIN_CELLS:
            raise NoRoom(f"filter: {cells.size} cells per lane are too few for {len(wanted)} joins")
        place = (cells.base + first, end - first)
        phases[2 * i] = Phase("join", (*place, 0, 1, 0, 1))
        phases[2 * i + 1] = Phase("join", (*place, 1, 0, 1, 0))
    return Job(
        f"JOIN, pruning {', '.join(texts)}: {cells.size * wire.LANES} words of Bloom filters",
        passes, phases, [cells], {name: left[name] / max(total[name], 1e-9) for name in probed},
        one_pass=False,
    )  # fmt: skip


def check_joinable(step: plan.SemiJoin, tables: Mapping[str, Table]) -> None:
    """Keys must have codes, and alike: of the same types, or all integers. Raises `NoCodes` or
    `NoRoom`."""
    table, by = tables[step.table], tables[step.by]
    _check_keys(table, step.keys)
    for a, b in zip(step.keys, step.by_keys, strict=True):
        one, other = table.schema.field(a).type, by.schema.field(b).type
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
    left = table.selectivity(plain.sql(dialect=plan.DIALECT))
    return Job(
        f"FILTER by {weakened.text}",
        [Pass(0, push.table, encode, table.rows, left, wire.LANES)],
        {0: Phase("filter", ())},
        [],
        {push.table: left},
        weakened=weakened,
    )


def _skyline(push: plan.Skyline, table: Table, switch: PruningSwitch, kept: float) -> Job:
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
        [Pass(0, push.table, encode, table.rows * kept, _SKYLINE_LEFT, wire.LANES)],
        {0: Phase("skyline", (share.base, *strict))},
        [share],
        {push.table: _SKYLINE_LEFT},
    )
