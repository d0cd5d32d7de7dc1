"""Tables and queries to measure with: the Big Data benchmark's, made here, and TPC-H's third query.

Rankings and UserVisits have the columns and the skews of the Berkeley Big Data benchmark (Pavlo et
al., SIGMOD 2009): URLs are visited by a Zipf law, other columns are uniform. TPC-H's tables come
from `tpchgen-cli`, as Parquet files.
"""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

#: One query per operator (Cheetah, section 8.1). SKYLINE has no SQL: see `SKYLINE`.
QUERIES = {
    "DISTINCT": "SELECT DISTINCT userAgent FROM UserVisits",
    "TOP N": "SELECT sourceIP, adRevenue FROM UserVisits ORDER BY adRevenue DESC LIMIT 250",
    "GROUP BY MAX": "SELECT userAgent, MAX(adRevenue) FROM UserVisits GROUP BY userAgent",
    "HAVING SUM": "SELECT userAgent, SUM(adRevenue) FROM UserVisits GROUP BY userAgent "
    "HAVING SUM(adRevenue) > {bound}",
    "JOIN": "SELECT sourceIP, adRevenue, pageRank FROM UserVisits JOIN Rankings "
    "ON destURL = pageURL WHERE pageRank > 9900",
}
SKYLINE = ("Rankings", {"pageRank": True, "avgDuration": False})

TPCH_Q3 = """
SELECT l_orderkey, SUM(l_extendedprice * (1 - l_discount)) AS revenue, o_orderdate, o_shippriority
FROM customer, orders, lineitem
WHERE c_mktsegment = 'BUILDING' AND c_custkey = o_custkey AND l_orderkey = o_orderkey
  AND o_orderdate < DATE '1995-03-15' AND l_shipdate > DATE '1995-03-15'
GROUP BY l_orderkey, o_orderdate, o_shippriority
ORDER BY revenue DESC, o_orderdate LIMIT 10
"""


def big_data(visits: int, seed: int = 1) -> dict[str, pa.Table]:
    """UserVisits of so many rows, and Rankings of 0.57 as many, as in the published data."""
    rng = np.random.default_rng(seed)
    pages = max(1, int(visits * 0.57))
    url = np.array([f"http://site{i % 977}.example/{i:x}" for i in range(pages)])
    rankings = pa.table(
        {
            "pageURL": url,
            "pageRank": rng.permutation(pages) % 10000,
            "avgDuration": rng.integers(1, 10000, pages).astype(np.int32),
        }
    )
    first = datetime.date(2000, 1, 1)
    dates = np.datetime64(first) + rng.integers(0, 4000, visits)
    uservisits = pa.table(
        {
            "sourceIP": [f"{i >> 16}.{i >> 8 & 255}.{i & 255}.7" for i in
                         rng.integers(0, 1 << 24, visits)],
            "destURL": url[(rng.zipf(1.2, visits) - 1) % pages],
            "visitDate": pa.array(dates, pa.date32()),
            "adRevenue": rng.random(visits) * 1000,
            "userAgent": np.array([f"agent/{i}.{i * 7 % 10}" for i in range(600)])[
                rng.integers(0, 600, visits)
            ],
            "countryCode": np.array([f"C{i:03d}" for i in range(220)])[
                np.minimum(rng.zipf(1.3, visits), 220) - 1
            ],
            "duration": rng.integers(1, 1000, visits).astype(np.int32),
        }
    )  # fmt: skip
    return {"UserVisits": uservisits, "Rankings": rankings}


def having_bound(tables: dict[str, pa.Table]) -> int:
    """A bound that few agents are above: two deviations more than the mean of their sums."""
    visits = tables["UserVisits"]
    sums = visits.group_by("userAgent").aggregate([("adRevenue", "sum")])["adRevenue_sum"]
    return int(sums.to_numpy().mean() + 2 * sums.to_numpy().std())


def tpch(folder: Path) -> dict[str, pa.Table]:
    """The tables of query 3 from `tpchgen-cli --format=parquet --output-dir FOLDER`.

    Raises `FileNotFoundError` naming the table that is not there.
    """
    found = {}
    for name in ("customer", "orders", "lineitem"):
        path = folder / f"{name}.parquet"
        if not path.exists():
            raise FileNotFoundError(f"{path}: make it with tpchgen-cli --format=parquet")
        table = pyarrow.parquet.read_table(path)
        # Views of strings have no codes here; plain strings do.
        views = [
            f.with_type(pa.string()) if pa.types.is_string_view(f.type) else f for f in table.schema
        ]
        found[name] = table.cast(pa.schema(views))
    return found
