"""Spark as the master, with executors as processes of their own; one session for all tests."""

from __future__ import annotations

import decimal
import os
import shutil
from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pytest
from pruning_tables import QUERIES, TABLES

from weft.p4.pruning import Connection, connect, plan

pytest.importorskip("pyspark", reason="the extra `spark` is not installed")
if shutil.which("java") is None:
    pytest.skip("no Java: .ci/system-deps spark installs it", allow_module_level=True)

from pyspark.sql import SparkSession

from weft.p4.pruning.spark import PrunedSpark, SparkMaster, local_cluster

pytestmark = pytest.mark.xdist_group("spark")  # one session
RUN = ["distinct", "top two keys", "min", "having sum", "join", "left join", "filter",
       "not pushed", "empty join"]  # fmt: skip


@pytest.fixture(scope="module")
def session() -> Iterator[SparkSession]:
    made = local_cluster(executors=2)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def connection(session: SparkSession) -> Iterator[Connection]:
    master = SparkMaster(session)
    with connect(TABLES, workers=3, engine=master) as made:
        yield made
    master.close()


def plain(table: pa.Table) -> list[str]:
    """Rows by value: Spark has its own names for columns, and its own types for sums and counts."""

    def value(given: object) -> object:
        whole = isinstance(given, decimal.Decimal) and given == given.to_integral_value()
        return int(given) if whole else given  # type: ignore[call-overload]

    return sorted(str([value(v) for v in row.values()]) for row in table.to_pylist())


def wanted(sql: str) -> list[str]:
    with duckdb.connect() as database:
        for name, table in TABLES.items():
            database.register(name, table)
        return plain(database.sql(sql).to_arrow_table())


def test_there_are_executors(session: SparkSession) -> None:
    """Python runs outside the driver: two processes, neither of them this one."""

    def who(_: object) -> Iterator[int]:
        yield os.getpid()

    found = set(session.sparkContext.parallelize(range(8), 4).mapPartitions(who).collect())
    assert found and os.getpid() not in found


@pytest.mark.parametrize("name", RUN)
def test_the_answer_is_the_same(connection: Connection, name: str) -> None:
    answer = connection.sql(QUERIES[name], push=True)
    assert plain(answer.table) == wanted(QUERIES[name])
    assert answer.report.master_s > 0


def test_a_frame_is_lazy_and_reads_only_what_survived(session: SparkSession) -> None:
    with (
        connect(TABLES, workers=3) as connection,
        PrunedSpark(session, connection) as pruned,
    ):
        query = "SELECT agent, count(*) AS n FROM visits GROUP BY agent HAVING n > 130"
        frame = pruned.sql(query, push=True)
        [report] = pruned.reports
        assert "HAVING" in report.pushed
        assert report.survivors["visits"] < report.rows["visits"]
        # Spark's own plan goes on from there.
        found = frame.where("n % 2 = 0").toArrow()
        everything = "SELECT agent, count(*) AS n FROM visits GROUP BY agent"
        assert plain(found) == wanted(f"SELECT * FROM ({everything}) WHERE n > 130 AND n % 2 = 0")
        assert len(found) > 0
        with pytest.raises(plan.QueryError, match="no table nowhere"):
            pruned.sql("SELECT a FROM nowhere")
        with pytest.raises(plan.QueryError, match="cannot plan"):
            pruned.sql("SELECT FROM WHERE")


def test_odd_types_are_widened_or_refused(session: SparkSession) -> None:
    table = pa.table(
        {
            "u": pa.array([1, 2**64 - 1, None], pa.uint64()),
            "d": pa.array(["a", "b", "a"]).dictionary_encode(),
            "t": pa.array([1, 2, 3], pa.time64("us")),
        }
    )
    master = SparkMaster(session)
    with connect({"odd": table}, workers=2, engine=master) as connection:
        answer = connection.sql("SELECT DISTINCT u, d FROM odd", push=True)
        assert {(int(r["u"] or 0), r["d"]) for r in answer.table.to_pylist()} == {
            (1, "a"), (2**64 - 1, "b"), (0, "a"),
        }  # fmt: skip
        with pytest.raises(plan.QueryError, match="no type for column t"):
            connection.sql("SELECT DISTINCT t FROM odd")
    master.close()
