"""Columns of every type that Arrow tables bring: pushed or not, the answer is the same."""

from __future__ import annotations

import decimal

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from pruning_tables import rows

from weft.p4.pruning import codes, connect

NAN = float("nan")
ODD = [0, 1, 2, 3, 127, None, 5, 5]
WORDS = ["a", "b", "", "a" * 50, "a" * 51, None, "é", "é"]
TYPES: dict[str, pa.Array] = {
    "bool": pa.array([None if v is None else v > 2 for v in ODD]),
    "int8": pa.array([None if v is None else -v for v in ODD], pa.int8()),
    "uint64": pa.array([None if v is None else 2**64 - 1 - v for v in ODD], pa.uint64()),
    "float32": pa.array([0.0, -0.0, NAN, float("inf"), -1.5, None, 2.5, 2.5], pa.float32()),
    "timestamp": pa.array(ODD, pa.timestamp("us")),
    "time": pa.array(ODD, pa.time64("us")),
    "date": pa.array(ODD, pa.date32()),
    "decimal": pa.array([None if v is None else decimal.Decimal(v) for v in ODD],
                        pa.decimal128(12, 3)),
    "wide decimal": pa.array([None if v is None else decimal.Decimal(v) for v in ODD],
                             pa.decimal128(30, 3)),
    "dictionary": pa.array(["a", "b", "", "a\0", "c", None, "d", "d"]).dictionary_encode(),
    "large string": pa.array(WORDS, pa.large_string()),
    "string view": pa.array(WORDS, pa.string_view()),
    "binary": pa.array([b"a", b"b", b"", b"a\0", b"\xff", None, b"x", b"x"]),
    "list": pa.array([[1], [2], [], [1], None, [3], [3, 4], [3]]),
}  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_is_right_whether_it_can_be_pushed_or_not(kind: str) -> None:
    """Each value several times over; a type that has no codes runs unpruned, and says so."""
    column = pa.concat_arrays([TYPES[kind]] * 9)
    table = pa.table({"v": column, "k": np.arange(len(column)) % 5})
    with connect({"t": table}, workers=2) as connection, duckdb.connect() as database:
        database.register("t", table)
        for sql in ("SELECT DISTINCT v FROM t", "SELECT v FROM t ORDER BY v DESC LIMIT 7",
                    "SELECT k, min(v) AS m FROM t GROUP BY k",
                    "SELECT k FROM t WHERE v IS NOT NULL AND k < 3"):  # fmt: skip
            answer = connection.sql(sql, push=True)
            assert rows(answer.table) == rows(database.sql(sql).to_arrow_table()), sql
            assert bool(answer.report.pushed) or bool(answer.report.reason)
        pushed = connection.sql("SELECT DISTINCT v FROM t", push=True).report.pushed
        assert bool(pushed) == (kind not in ("wide decimal", "list"))


def test_text_keys_are_told_apart() -> None:
    """Neighbours in length, in zeros at the end, across the hash's words; slices hash alike."""
    texts = ["", "\0", "\0\0", *("x" * n for n in range(1, 40)), *(f"k{i}" for i in range(50_000))]
    column = pa.chunked_array([pa.array(texts[:100]), pa.array(texts[100:])])
    keys = codes.key([column], 7)
    assert len(np.unique(keys)) == len(texts)
    part = pa.chunked_array([pa.array(texts).slice(37, 1000).cast(pa.large_string())])
    assert (codes.key([part], 7) == keys[37:1037]).all()
    assert not np.isin(codes.key([part], 8), keys).any()
