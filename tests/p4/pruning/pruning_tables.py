"""Tables with holes and odd values, a query per case, and what DuckDB says of the whole tables."""

from __future__ import annotations

import datetime
import decimal

import duckdb
import numpy as np
import pyarrow as pa

ROWS = 6000


def _tables() -> dict[str, pa.Table]:
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
    cities = pa.table({"y": np.arange(9), "z": np.arange(9) % 4})
    empty = visits.slice(0, 0)
    return {"visits": visits, "users": users, "cities": cities, "nothing": empty}


TABLES = _tables()
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
    "join of three": "SELECT count(*), sum(x) FROM visits v, users u, cities c "
    "WHERE v.agent = u.name AND u.y = c.y AND c.z = 3",
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
