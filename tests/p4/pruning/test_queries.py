"""Every query over survivors is the query over everything: against DuckDB over the whole tables."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from weft.p4.pruning import Connection, Wires, connect, plan
from weft.p4.pruning.reliability import TransferError
from weft.p4.pruning.tables import SourceError

ROWS = 6000


def tables() -> dict[str, pa.Table]:
    rng = np.random.default_rng(5)

    def holes(values: list[object], share: float = 0.03) -> list[object]:
        return [None if rng.random() < share else v for v in values]

    day = datetime.date(1995, 1, 1)
    visits = pa.table(
        {
            "k": pa.array(holes(rng.integers(-50, 250, ROWS).tolist()), pa.int64()),
            "agent": pa.array(holes([f"agent {i}" for i in rng.integers(0, 40, ROWS)])),
            "v": pa.array(holes((rng.normal(size=ROWS) * 1000).tolist()), pa.float64()),
            "x": pa.array(holes(rng.integers(-5, 100, ROWS).tolist()), pa.int32()),
            "big": pa.array(rng.integers(-(2**62), 2**62, ROWS), pa.int64()),
            "d": pa.array([day + datetime.timedelta(int(i)) for i in rng.integers(0, 900, ROWS)]),
            "price": pa.array(
                [decimal.Decimal(int(i)).scaleb(-2) for i in rng.integers(-999, 99999, ROWS)],
                pa.decimal128(15, 2),
            ),
        }
    )
    visits = visits.set_column(
        2, "v", pa.array([-0.0, 0.0, float("nan"), float("inf"), *visits["v"].to_pylist()[4:]])
    )
    users = pa.table(
        {
            "k": pa.array(holes(rng.integers(200, 900, ROWS // 4).tolist()), pa.int32()),
            "name": pa.array([f"agent {i}" for i in rng.integers(30, 90, ROWS // 4)]),
            "y": rng.integers(0, 9, ROWS // 4),
        }
    )
    empty = visits.slice(0, 0)
    return {"visits": visits, "users": users, "nothing": empty}


TABLES = tables()
QUERIES = {
    "distinct": "SELECT DISTINCT agent FROM visits",
    "distinct integer": "SELECT DISTINCT k FROM visits WHERE x > 20",
    "distinct wide": "SELECT DISTINCT agent, k % 7 AS r, d FROM visits",
    "distinct float": "SELECT DISTINCT v FROM visits",
    "groups": "SELECT agent FROM visits GROUP BY agent",
    "top": "SELECT v FROM visits WHERE v < 1e9 ORDER BY v DESC LIMIT 10",
    "top two keys": "SELECT x, big FROM visits ORDER BY x, big DESC LIMIT 30",
    "top text": "SELECT agent FROM visits ORDER BY agent DESC LIMIT 40 OFFSET 3",
    "top coarse": "SELECT big FROM visits ORDER BY big LIMIT 25",
    "top date": "SELECT d FROM visits ORDER BY d LIMIT 9",
    "top more than there is": "SELECT y FROM users ORDER BY y LIMIT 100000",
    "max": "SELECT agent, max(price) FROM visits GROUP BY agent",
    "min": "SELECT k, d, min(big) AS m FROM visits GROUP BY k, d HAVING m < 0 ORDER BY m",
    "max of text": "SELECT x, max(agent) FROM visits GROUP BY x",
    "having sum": "SELECT k, sum(price) s FROM visits GROUP BY k HAVING sum(price) > 11000",
    "having at least": "SELECT k, sum(x), max(v) FROM visits GROUP BY k HAVING sum(x) >= 1100",
    "having count": "SELECT agent, d, count(*) FROM visits GROUP BY 1, 2 HAVING 3 < count(*)",
    "join": "SELECT count(*), sum(y) FROM visits JOIN users ON visits.k = users.k",
    "join by text": "SELECT v.x, u.y FROM visits v, users u WHERE v.agent = u.name AND v.x < 3",
    "join by two": "SELECT count(*) FROM visits v JOIN users u ON v.k = u.k AND v.agent = u.name",
    "left join": "SELECT v.k, u.y FROM visits v LEFT JOIN users u ON v.k = u.k WHERE v.x > 90",
    "right join": "SELECT u.k, sum(x) FROM visits v RIGHT JOIN users u ON v.k = u.k GROUP BY u.k",
    "anti join": "SELECT v.k FROM visits v LEFT JOIN users u ON v.k = u.k WHERE u.y IS NULL",
    "filter": "SELECT count(*), sum(k) FROM visits WHERE x BETWEEN 3 AND 9 AND agent LIKE '%1%'",
    "filter or": "SELECT big FROM visits WHERE NOT (x > 5 OR d >= DATE '1995-02-01')",
    "filter in": "SELECT k FROM visits WHERE x IN (1, 50, 99) AND (price <> 0.5 OR v < -3.5)",
    "filter text": "SELECT k FROM visits WHERE agent = 'agent 7' OR x <= -5",
    "not pushed": "SELECT max(x) FROM visits WHERE k IN (SELECT k FROM users)",
    "union": "SELECT k FROM visits UNION SELECT k FROM users",
    "empty": "SELECT DISTINCT k FROM nothing",
    "empty join": "SELECT v.k FROM visits v JOIN nothing n ON v.k = n.k",
    "nobody": "SELECT DISTINCT k FROM visits WHERE x > 1000",
}
UNPUSHED = {"not pushed", "union"}


def rows(table: pa.Table) -> list[str]:
    return sorted(map(str, table.to_pylist()))


def expected(sql: str) -> list[str]:
    with duckdb.connect() as database:
        for name, table in TABLES.items():
            database.register(name, table)
        return rows(database.sql(sql).to_arrow_table())


@pytest.fixture(scope="module")
def connection() -> Connection:
    return connect(TABLES, workers=3)


@pytest.mark.parametrize("name", QUERIES)
def test_the_answer_is_the_same(connection: Connection, name: str) -> None:
    answer = connection.sql(QUERIES[name], push=True)
    assert rows(answer.table) == expected(QUERIES[name])
    assert bool(answer.report.pushed) == (name not in UNPUSHED)
    assert bool(answer.report.reason) == (name in UNPUSHED)


@pytest.mark.parametrize("seed", range(3))
def test_the_answer_is_the_same_over_a_bad_network(seed: int) -> None:
    """Loss, copies and reordering on every link, and a switch that loses power in mid-query."""
    bad = Wires(loss=0.05, duplicate=0.05, jitter_us=30, seed=seed)
    with connect(TABLES, workers=3, wires=bad, seed=seed + 1) as connection:
        for i, (name, sql) in enumerate(QUERIES.items()):
            if i % 3 != seed or name in UNPUSHED:
                continue
            restart = None if (i // 3) % 2 else 60.0 + 17 * seed
            answer = connection.sql(sql, push=True, restart_at_us=restart)
            assert rows(answer.table) == expected(sql), name


def test_skylines(connection: Connection) -> None:
    for largest in ({"x": True, "k": True}, {"x": False, "v": True, "big": True}):
        with_, without = (connection.skyline("visits", largest, push=p) for p in (True, False))
        assert rows(with_.table) == rows(without.table)
        assert with_.report.pushed
    with pytest.raises(plan.QueryError, match="two or three"):
        connection.skyline("visits", {"x": True})
    with pytest.raises(plan.QueryError, match="no table visits with"):
        connection.skyline("visits", {"x": True, "nope": True})


def test_queries_side_by_side_do_not_meet(connection: Connection) -> None:
    names = ["distinct", "distinct integer", "max", "max of text", "top", "join", "having sum"]
    answers = connection.sql_together([QUERIES[n] for n in names], push=True)
    for name, answer in zip(names, answers, strict=True):
        assert rows(answer.table) == expected(QUERIES[name])
        assert answer.report.pushed
    # Their cells are free again.
    assert connection.sql(QUERIES["join"], push=True).report.pushed


def test_a_full_switch_means_unpruned(connection: Connection) -> None:
    many = ["SELECT DISTINCT v, big FROM visits"] * 3
    answers = connection.sql_together(many, push=True)
    assert len({tuple(rows(a.table)) for a in answers}) == 1
    flows = connection.sql_together([QUERIES["empty"]] * 100, push=True)
    assert [a for a in flows if "are free" in a.report.reason]
    assert {a.table.num_rows for a in flows} == {0}


def test_explain_says_what_and_why(connection: Connection) -> None:
    text = connection.explain("SELECT DISTINCT x FROM visits WHERE k < 100")
    assert "where (k < 100) (workers)" in text
    assert "DISTINCT on x" in text
    assert "would not pay" in connection.explain("SELECT DISTINCT big, v FROM visits")
    assert "a subquery" in connection.explain(QUERIES["not pushed"])
    few = "SELECT v.* FROM users u LEFT JOIN visits v ON v.k = u.k WHERE u.k > 890"
    assert "always right" in connection.explain(few)


def test_errors_name_the_place(connection: Connection, tmp_path: Path) -> None:
    with pytest.raises(plan.QueryError, match="cannot plan"):
        connection.sql("SELECT FROM WHERE")
    with pytest.raises(plan.QueryError, match="no table nowhere"):
        connection.sql("SELECT a FROM nowhere")
    with pytest.raises(plan.QueryError, match="missing"):
        connection.sql("SELECT missing FROM users")
    with pytest.raises(SourceError, match="table t: no file"):
        connect({"t": tmp_path / "t.parquet"})
    with pytest.raises(SourceError, match="table t: give"):
        connect({"t": 7})
    with pytest.raises(ValueError, match="delta"):
        connect({}, delta=1.5)
    with (
        connect(TABLES, workers=2, wires=Wires(loss=1.0, deadline_us=1e5)) as dead,
        pytest.raises(TransferError, match="have not ended"),
    ):
        dead.sql(QUERIES["distinct"], push=True)


def test_sources(tmp_path: Path) -> None:
    users = TABLES["users"]
    pyarrow.parquet.write_table(users, tmp_path / "u.parquet")
    pyarrow.csv.write_csv(users, tmp_path / "u.csv")
    with duckdb.connect() as database:
        relation = database.from_arrow(users)
        sources = {"a": tmp_path / "u.parquet", "b": str(tmp_path / "u.csv"), "c": relation}
        with connect(sources, workers=2) as connection:
            found = [connection.sql(f"SELECT DISTINCT name FROM {t}", push=True) for t in "abc"]
    assert len({tuple(rows(f.table)) for f in found}) == 1


def test_the_report_counts(connection: Connection) -> None:
    report = connection.sql(QUERIES["distinct"], push=True).report
    assert report.rows == {"visits": ROWS}
    # 40 agents, and rows without one; the caches hold all of them, so each passes about once.
    missing = TABLES["visits"]["agent"].null_count
    assert 40 + missing <= report.survivors["visits"] <= 120 + missing
    assert report.bytes_to_master < report.bytes_without
    assert 0 < report.saved < 1
    assert report.delta == pytest.approx(1e-4)
