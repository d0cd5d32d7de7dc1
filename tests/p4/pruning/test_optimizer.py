"""What the optimizer decides, by costs that are given and times that are virtual."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from weft.p4.pruning import Connection, Wires, connect, plan, workloads
from weft.p4.pruning.costs import Costs, Linear, Range
from weft.p4.pruning.encoders import Amounts, Best, JoinKeys, Keys, Places
from weft.p4.pruning.engine import DuckDB
from weft.p4.pruning.optimizer import full_reducer

VISITS = 10_000
KINDS = (plan.Distinct, plan.TopN, plan.GroupBest, plan.Having, plan.Join, plan.Skyline)
ENCODERS = (Keys, Best, Amounts, JoinKeys, Places)


def costs(worker: float, least: float, most: float, query: float = 0.0) -> Costs:
    """Microseconds per row; a pass costs a worker 50 more, a query the master `query`."""
    cost = Linear(Range(query, query), Range(least, most))
    a_pass = Linear(Range(50.0, 50.0), Range(worker, worker))
    return Costs(dict.fromkeys(ENCODERS, a_pass), dict.fromkeys(KINDS, cost))


#: Hosts that cost nothing; usual ones; slow workers; masters of whom little is known; slow ones.
COSTS = {
    "free": Costs(), "usual": costs(0.03, 0.01, 0.05), "slow workers": costs(0.5, 0.01, 0.05),
    "doubtful masters": costs(0.03, 0.0, 0.5), "slow masters": costs(0.03, 0.3, 0.4),
}  # fmt: skip


@pytest.fixture(scope="module")
def sources() -> list[tuple[dict[str, pa.Table], dict[str, str]]]:
    visits = workloads.big_data(VISITS)
    bound = workloads.having_bound(visits)
    queries = {name: text.format(bound=bound) for name, text in workloads.QUERIES.items()}
    return [(visits, queries), (workloads.tpch_at(0.003), dict(workloads.TPCH))]


@pytest.mark.parametrize(
    ("name", "gbps"),
    [("free", 1.0), ("free", 100.0), ("usual", 10.0), ("slow workers", 1.0),
     ("doubtful masters", 10.0), ("slow masters", 1.0), ("slow masters", 100.0)],
)  # fmt: skip
def test_what_is_pushed_is_never_slower(
    sources: list[tuple[dict[str, pa.Table], dict[str, str]]], name: str, gbps: float
) -> None:
    """The network's time and the workers' are virtual, the master's what it is said to cost: of the
    rows that really were left, at the costs that speak least for the switch."""
    given, wires, workers = COSTS[name], Wires(worker_gbps=gbps, master_gbps=gbps), 5
    pushed = 0
    for tables, queries in sources:
        with connect(tables, workers=workers, wires=wires, costs=given) as connection:
            for title, sql in queries.items():
                report = connection.sql(sql).report
                if not report.pushed:
                    assert report.reason and report.survivors == report.rows
                    continue
                pushed += 1
                (found,) = plan.analyse(sql, connection.schemas).pushes[:1]
                master = given.of_master(found).per_row
                with_ = report.elapsed_us + sum(report.survivors.values()) * master.most
                without = report.elapsed_without_us + sum(report.rows.values()) * master.least
                assert with_ <= without, (title, report)
    assert pushed > 0 or (name, gbps) == ("free", 100.0)


def test_costs_decide(sources: list[tuple[dict[str, pa.Table], dict[str, str]]]) -> None:
    """The same query is pushed or not as hosts and links are said to be."""
    tables, queries = sources[0]

    def choice(gbps: float, given: Costs) -> bool:
        wires = Wires(worker_gbps=gbps, master_gbps=gbps)
        with connect(tables, wires=wires, costs=given) as connection:
            return "switch: nothing" not in connection.explain(queries["DISTINCT"])

    assert choice(1.0, COSTS["usual"])
    assert not choice(1000.0, COSTS["usual"])
    assert choice(1000.0, costs(0.001, 0.3, 0.4))
    assert not choice(10.0, costs(1.0, 0.0, 0.0))
    assert not choice(10.0, costs(0.03, 0.0, 50.0))
    assert choice(1.0, costs(0.03, 0.01, 0.05, query=1000.0))
    assert not choice(1.0, costs(0.03, 0.01, 0.05, query=1e6))  # too little of the whole


def test_each_engine_has_its_own_choice(
    sources: list[tuple[dict[str, pa.Table], dict[str, str]]],
) -> None:
    """Over the same workers and switch."""
    tables, queries = sources[0]
    wires = Wires(worker_gbps=1.0, master_gbps=1.0)
    slow = costs(0.03, 0.01, 0.05, query=1e6).master
    with connect(tables, wires=wires, costs=COSTS["usual"]) as first:
        second = first.for_engine(DuckDB(), slow)
        answers = [made.sql(queries["DISTINCT"]) for made in (first, second, first)]
        assert [bool(a.report.pushed) for a in answers] == [True, False, True]
        assert "would not pay" in answers[1].report.reason
        wanted = workloads.values(answers[1].table)
        assert all(workloads.values(a.table) == wanted for a in answers)


#: Tables joined by columns of one name: a path, a star, and a cycle.
SHAPES = {
    "path": ["ab", "bc", "cd"], "star": ["abc", "ad", "be", "cf"], "cycle": ["ab", "bc", "ca"],
}  # fmt: skip


def semi_joins(shape: list[str]) -> list[plan.SemiJoin]:
    found = []
    for one, other in itertools.permutations(shape, 2):
        keys = tuple(sorted(set(one) & set(other)))
        if keys:
            found.append(plan.SemiJoin(one, keys, other, keys))
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", SHAPES)
def test_a_full_reducer_leaves_what_takes_part_in_the_join(shape: str, seed: int) -> None:
    """Steps taken by SQL; on trees nothing else is left, on cycles nothing is lost."""
    rng, columns = np.random.default_rng(seed), SHAPES[shape]
    joined = " NATURAL JOIN ".join(columns)
    for root in columns:
        with duckdb.connect() as database:
            for table in columns:
                made = pa.table({c: rng.integers(0, 12, 9) for c in table})  # noqa: F841
                database.execute(f"CREATE TABLE {table} AS SELECT DISTINCT * FROM made")
            wanted = {
                t: database.sql(f"SELECT DISTINCT {', '.join(t)} FROM {joined}").fetchall()
                for t in columns
            }
            for step in full_reducer(semi_joins(columns), root):
                same = " AND ".join(f"t.{k} = o.{k}" for k in step.keys)
                database.execute(
                    f"CREATE OR REPLACE TABLE {step.table} AS SELECT * FROM {step.table} t "
                    f"WHERE EXISTS (FROM {step.by} o WHERE {same})"
                )
            for table in columns:
                left = set(database.sql(f"FROM {table}").fetchall())
                assert left >= set(wanted[table])
                assert shape == "cycle" or left == set(wanted[table]), (table, root)


def test_an_outer_join_is_reduced_on_one_side_only() -> None:
    one_way = [plan.SemiJoin("b", ("k",), "a", ("k",))]
    assert full_reducer(one_way, "a") == full_reducer(one_way, "b") == tuple(one_way)


def tree(connection: Connection, sql: str) -> str:
    return next(x for x in connection.explain(sql).splitlines() if x.startswith("switch"))


@pytest.fixture(scope="module")
def chained() -> Iterator[Connection]:
    """A few large orders of few people: only a chain of joins finds the parts asked for."""
    rng = np.random.default_rng(2)
    people = pa.table({"person": np.arange(2000), "city": np.arange(2000) % 400})
    orders = pa.table({"o": np.arange(6000), "person": rng.integers(0, 2000, 6000)})
    parts = pa.table({"o": rng.integers(0, 6000, 40_000), "price": rng.random(40_000)})
    with connect({"people": people, "orders": orders, "parts": parts}) as made:
        yield made


CHAIN = (
    "SELECT sum(price) AS s FROM parts, orders, people "
    "WHERE parts.o = orders.o AND orders.person = people.person AND city = 7"
)


def test_a_chain_of_joins_prunes_what_no_single_join_can(chained: Connection) -> None:
    said = tree(chained, CHAIN)
    assert said.index("orders by people") < said.index("parts by orders")
    answer, plain = chained.sql(CHAIN), chained.sql(CHAIN, push=False)
    assert math.isclose(answer.table["s"][0].as_py(), plain.table["s"][0].as_py())
    with duckdb.connect() as database:
        for name in ("people", "orders", "parts"):
            database.register(name, chained.whole(name))
        ((joined,),) = database.sql(CHAIN.replace("sum(price)", "count(*)")).fetchall()
    # All that take part, and the few that a Bloom filter lets pass.
    assert joined <= answer.report.survivors["parts"] <= 1.05 * joined + 0.01 * 40_000


def test_a_chain_survives_a_switch_that_restarts(chained: Connection) -> None:
    """Filters are lost in mid-way: more rows reach the master, and the answer is the same."""
    plain = chained.sql(CHAIN, push=False).table["s"][0].as_py()
    for at in (1.0, 40.0, 90.0):
        answer = chained.sql(CHAIN, push=True, restart_at_us=at)
        assert math.isclose(answer.table["s"][0].as_py(), plain)
