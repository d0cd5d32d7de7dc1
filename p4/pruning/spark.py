"""Spark as the master, or Spark SQL through the switch.

    with connect(tables, engine=SparkMaster(session)) as connection:
        connection.sql("SELECT DISTINCT agent FROM visits")          # an Arrow table

    pruned = PrunedSpark(session, connection)
    pruned.sql("SELECT DISTINCT agent FROM visits").show()           # a lazy DataFrame

The plan of a query is rewritten: in place of its tables it reads a data source whose partitions
executors fetch from the master, over Arrow Flight. What comes after (joins, sums, sorting) is
Spark's own, distributed as always. A DataFrame can be read until its `PrunedSpark` is closed.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import secrets
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.flight as flight
import sqlglot
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from sqlglot import exp

from weft.p4.pruning import plan
from weft.p4.pruning.connection import Connection, Report

FORMAT = "weft_pruned"
_DEADLINE_S = 300.0
_BATCH_ROWS = 1 << 16
_OPTIONS = [("grpc.enable_http_proxy", 0)]
_names = itertools.count(1)


def local_cluster(executors: int = 2, memory_mb: int = 512) -> SparkSession:
    """A session with executors of one core each, as processes of this machine."""
    # The scripts and jars that start executors are those of the installed package.
    found = importlib.util.find_spec("pyspark")
    assert found is not None and found.origin is not None
    os.environ.setdefault("SPARK_HOME", str(Path(found.origin).parent))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    made: SparkSession = (
        SparkSession.builder.master(f"local-cluster[{executors},1,{memory_mb}]")
        .appName("weft-pruning")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.memory", f"{memory_mb}m")
        .config("spark.executor.memory", f"{memory_mb}m")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", str(executors))
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    return made


class Shelf(flight.FlightServerBase):  # type: ignore[misc]
    """What survived, by tickets that cannot be guessed; a ticket names one part of a table."""

    def __init__(self, host: str) -> None:
        super().__init__(f"grpc://{host}:0")
        self._parts: dict[str, list[pa.RecordBatch]] = {}
        self._lock = threading.Lock()

    def put(self, table: pa.Table, parts: int) -> tuple[str, int]:
        """Name and number of the parts of a table; an empty one has one part."""
        name, rows = secrets.token_hex(16), max(1, -(-len(table) // parts))
        count = max(1, -(-len(table) // rows))
        with self._lock:
            for i in range(count):
                piece = table.slice(i * rows, rows).combine_chunks()
                self._parts[f"{name}.{i}"] = piece.to_batches(_BATCH_ROWS) or [
                    pa.RecordBatch.from_pylist([], piece.schema)
                ]
        return name, count

    def do_get(
        self, context: flight.ServerCallContext, ticket: flight.Ticket
    ) -> flight.RecordBatchStream:
        with self._lock:
            batches = self._parts.get(ticket.ticket.decode(errors="replace"))
        if batches is None:
            raise flight.FlightServerError("no such part: its PrunedSpark is closed, or never was")
        return flight.RecordBatchStream(pa.Table.from_batches(batches))


class PrunedSource(DataSource):
    """Spark's data source over a `Shelf`. Options: location, ticket, parts."""

    @classmethod
    def name(cls) -> str:
        return FORMAT

    def reader(self, schema: Any) -> PrunedReader:
        options = self.options
        return PrunedReader(options["location"], options["ticket"], int(options["parts"]))


class PrunedReader(DataSourceReader):
    """Runs in executors: fetches one part."""

    def __init__(self, location: str, ticket: str, parts: int) -> None:
        self.location, self.ticket, self.parts = location, ticket, parts

    def partitions(self) -> Sequence[InputPartition]:
        return [InputPartition(i) for i in range(self.parts)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        with flight.FlightClient(self.location, generic_options=_OPTIONS) as client:
            ticket = flight.Ticket(f"{self.ticket}.{partition.value}".encode())
            options = flight.FlightCallOptions(timeout=_DEADLINE_S)
            yield from client.do_get(ticket, options).read_all().to_batches()


class _Views:
    """Tables as temporary views of a session."""

    def __init__(self, session: SparkSession) -> None:
        host = session.conf.get("spark.driver.host") or "127.0.0.1"
        self.session, self._shelf = session, Shelf(host)
        self._location = f"grpc://{host}:{self._shelf.port}"
        session.dataSource.register(PrunedSource)

    def rewritten(self, sql: str, tables: Mapping[str, pa.Table]) -> tuple[str, list[str]]:
        """The query in Spark's dialect over views of the tables, and the views' names."""
        views = {name.lower(): self._view(table) for name, table in tables.items()}
        tree = sqlglot.parse_one(sql, dialect=plan.DIALECT)
        for table in tree.find_all(exp.Table):
            view = views.get(table.name.lower())
            if view is not None and not table.db:
                if not table.alias:
                    table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
                table.set("this", exp.to_identifier(view))
        return tree.sql(dialect="spark"), list(views.values())

    def _view(self, table: pa.Table) -> str:
        from pyspark.sql.pandas.types import from_arrow_schema

        table = table.cast(pa.schema([f.with_type(_spark_type(f)) for f in table.schema]))
        ticket, parts = self._shelf.put(table, self.session.sparkContext.defaultParallelism)
        view = f"weft_pruned_{next(_names)}"
        reader = self.session.read.format(FORMAT).schema(from_arrow_schema(table.schema))
        reader = reader.option("location", self._location).option("ticket", ticket)
        reader.option("parts", str(parts)).load().createOrReplaceTempView(view)
        return view

    def drop(self, views: Sequence[str]) -> None:
        for view in views:
            self.session.catalog.dropTempView(view)

    def close(self) -> None:
        self._shelf.shutdown()


def _spark_type(field: pa.Field) -> pa.DataType:
    """The type that Spark has for a column; raises `plan.QueryError` if it has none."""
    type_ = field.type
    if pa.types.is_dictionary(type_):
        return _spark_type(field.with_type(type_.value_type))
    wider = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(),
             pa.uint64(): pa.decimal128(20, 0), pa.float16(): pa.float32(),
             pa.large_string(): pa.string(), pa.large_binary(): pa.binary(),
             pa.string_view(): pa.string(), pa.binary_view(): pa.binary(),
             pa.date64(): pa.date32()}  # fmt: skip
    if pa.types.is_time(type_) or pa.types.is_interval(type_) or pa.types.is_union(type_):
        raise plan.QueryError(f"Spark has no type for column {field.name} of type {type_}")
    if pa.types.is_timestamp(type_):
        return pa.timestamp("us", type_.tz)
    return wider.get(type_, type_)


class SparkMaster:
    """The engine of a connection: the query's text, in DuckDB's dialect, run by Spark."""

    def __init__(self, session: SparkSession) -> None:
        self._views = _Views(session)

    def __call__(self, sql: str, given: Mapping[str, pa.Table]) -> pa.Table:
        text, views = self._views.rewritten(sql, given)
        try:
            return self._views.session.sql(text).toArrow()
        finally:
            self._views.drop(views)

    def close(self) -> None:
        self._views.close()


class PrunedSpark:
    """Spark SQL over a connection's tables. `reports` are those of its queries, in order."""

    def __init__(self, session: SparkSession, connection: Connection) -> None:
        self._views, self._connection = _Views(session), connection
        self._made: list[str] = []
        self.reports: list[Report] = []

    def sql(self, query: str, *, push: bool | None = None) -> DataFrame:
        """The query's tables go through the switch now; Spark computes when the frame is used.

        Raises `plan.QueryError` for what cannot be read, in Spark's dialect.
        """
        try:
            plain = sqlglot.transpile(query, read="spark", write=plan.DIALECT)[0]
        except sqlglot.errors.SqlglotError as problem:
            raise plan.QueryError(f"cannot plan {query!r}: {problem}") from problem
        [pruned] = self._connection.prune([plain], push)
        text, views = self._views.rewritten(pruned.sql, pruned.tables)
        self._made += views
        self.reports.append(pruned.report)
        return self._views.session.sql(text)

    def close(self) -> None:
        self._views.drop(self._made)
        self._views.close()

    def __enter__(self) -> PrunedSpark:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
