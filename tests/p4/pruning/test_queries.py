"""Every query over survivors is the query over everything: against DuckDB over the whole tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow.csv
import pyarrow.parquet
import pytest
from pruning_tables import QUERIES, ROWS, TABLES, UNPUSHED, expected, rows

from weft.p4.pruning import Connection, Wires, connect, plan, workloads
from weft.p4.pruning.reliability import TransferError
from weft.p4.pruning.tables import SourceError


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


def undominated(largest: dict[str, bool]) -> list[str]:
    """A skyline by its definition."""
    better = [f"o.{c} {'>' if up else '<'} t.{c}" for c, up in largest.items()]
    good = [f"o.{c} {'>=' if up else '<='} t.{c}" for c, up in largest.items()]
    return expected(
        f"SELECT t.* FROM visits t WHERE NOT EXISTS (FROM visits o WHERE {' AND '.join(good)} "
        f"AND ({' OR '.join(better)}))"
    )


def test_skylines(connection: Connection) -> None:
    for largest in (
        {"x": True, "k": True}, {"k": False, "v": True}, {"price": True, "d": False},
        {"x": False, "v": True, "big": True},
    ):  # fmt: skip
        with_, without = (connection.skyline("visits", largest, push=p) for p in (True, False))
        assert rows(with_.table) == rows(without.table) == undominated(largest)
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
    by_sql = connection.sql("explain SELECT DISTINCT x FROM visits WHERE k < 100").table
    assert by_sql["plan"].to_pylist() == text.splitlines()
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


@pytest.fixture(scope="module")
def tpch() -> Iterator[Connection]:
    with connect(workloads.tpch_at(0.01), workers=3) as connection:
        yield connection


@pytest.mark.parametrize("name", workloads.TPCH)
def test_tpch_at_a_small_scale(tpch: Connection, name: str) -> None:
    """Over survivors as DuckDB has it over the whole tables, and fewer of them than rows."""
    sql = workloads.TPCH[name]
    answer = tpch.sql(sql, push=True)
    with duckdb.connect() as database:
        for table in plan.analyse(sql, tpch.schemas).uses:
            database.register(table.table, tpch.whole(table.table))
        raw = database.sql(sql).to_arrow_table()
    assert workloads.values(answer.table) == workloads.values(raw)
    assert answer.report.pushed
    assert sum(answer.report.survivors.values()) < sum(answer.report.rows.values())


def test_the_report_counts(connection: Connection) -> None:
    report = connection.sql(QUERIES["distinct"], push=True).report
    assert report.rows == {"visits": ROWS}
    # 40 agents, and rows without one; the caches hold all of them, so each passes about once.
    missing = TABLES["visits"]["agent"].null_count
    assert 40 + missing <= report.survivors["visits"] <= 120 + missing
    assert report.bytes_to_master < report.bytes_without
    assert 0 < report.saved < 1
    assert report.delta == pytest.approx(1e-4)
