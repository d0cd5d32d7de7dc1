"""The master's own query engine: DuckDB in this process, unless another is given."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping

import duckdb
import pyarrow as pa

#: Runs SQL (DuckDB's dialect) over Arrow tables by name.
Engine = Callable[[str, Mapping[str, pa.Table]], pa.Table]


class DuckDB:
    """An in-memory DuckDB that stays open between queries, and spills to a folder of its own."""

    def __init__(self) -> None:
        self._spill = tempfile.TemporaryDirectory(prefix="weft-pruning-")
        self._database = duckdb.connect(config={"temp_directory": self._spill.name})

    def __call__(self, sql: str, given: Mapping[str, pa.Table]) -> pa.Table:
        with self._database.cursor() as cursor:
            for name, table in given.items():
                cursor.register(name, table)
            return cursor.sql(sql).to_arrow_table()
