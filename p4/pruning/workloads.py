"""Tables and queries to measure with: the Big Data benchmark's, made here, and TPC-H's.

Rankings and UserVisits have the columns and the skews of the Berkeley Big Data benchmark (Pavlo et
al., SIGMOD 2009): URLs are visited by a Zipf law, other columns are uniform. TPC-H's tables come
from `tpchgen-cli`, as Parquet files.
"""

from __future__ import annotations

import datetime
import decimal
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from weft.p4.pruning import tables

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

#: Those of TPC-H's queries that are one SELECT over tables that occur once, with the validation
#: values of their parameters, where the switch may take a part; 18 by its inner query.
TPCH = {
    "Q3": """
SELECT l_orderkey, SUM(l_extendedprice * (1 - l_discount)) AS revenue, o_orderdate, o_shippriority
FROM customer, orders, lineitem
WHERE c_mktsegment = 'BUILDING' AND c_custkey = o_custkey AND l_orderkey = o_orderkey
  AND o_orderdate < DATE '1995-03-15' AND l_shipdate > DATE '1995-03-15'
GROUP BY l_orderkey, o_orderdate, o_shippriority
ORDER BY revenue DESC, o_orderdate LIMIT 10
""",
    "Q5": """
SELECT n_name, SUM(l_extendedprice * (1 - l_discount)) AS revenue
FROM customer, orders, lineitem, supplier, nation, region
WHERE c_custkey = o_custkey AND l_orderkey = o_orderkey AND l_suppkey = s_suppkey
  AND c_nationkey = s_nationkey AND s_nationkey = n_nationkey AND n_regionkey = r_regionkey
  AND r_name = 'ASIA' AND o_orderdate >= DATE '1994-01-01' AND o_orderdate < DATE '1995-01-01'
GROUP BY n_name ORDER BY revenue DESC
""",
    "Q10": """
SELECT c_custkey, c_name, SUM(l_extendedprice * (1 - l_discount)) AS revenue, c_acctbal, n_name,
  c_address, c_phone, c_comment
FROM customer, orders, lineitem, nation
WHERE c_custkey = o_custkey AND l_orderkey = o_orderkey AND l_returnflag = 'R'
  AND o_orderdate >= DATE '1993-10-01' AND o_orderdate < DATE '1994-01-01'
  AND c_nationkey = n_nationkey
GROUP BY c_custkey, c_name, c_acctbal, c_phone, n_name, c_address, c_comment
ORDER BY revenue DESC LIMIT 20
""",
    "Q12": """
SELECT l_shipmode,
  SUM(CASE WHEN o_orderpriority IN ('1-URGENT', '2-HIGH') THEN 1 ELSE 0 END) AS high_line_count,
  SUM(CASE WHEN o_orderpriority NOT IN ('1-URGENT', '2-HIGH') THEN 1 ELSE 0 END) AS low_line_count
FROM orders, lineitem
WHERE o_orderkey = l_orderkey AND l_shipmode IN ('MAIL', 'SHIP') AND l_commitdate < l_receiptdate
  AND l_shipdate < l_commitdate AND l_receiptdate >= DATE '1994-01-01'
  AND l_receiptdate < DATE '1995-01-01'
GROUP BY l_shipmode ORDER BY l_shipmode
""",
    "Q14": """
SELECT 100 * SUM(CASE WHEN p_type LIKE 'PROMO%' THEN l_extendedprice * (1 - l_discount) ELSE 0 END)
  / SUM(l_extendedprice * (1 - l_discount)) AS promo_revenue
FROM lineitem, part
WHERE l_partkey = p_partkey AND l_shipdate >= DATE '1995-09-01' AND l_shipdate < DATE '1995-10-01'
""",
    "Q18, inner": """
SELECT l_orderkey FROM lineitem GROUP BY l_orderkey HAVING SUM(l_quantity) > 300
""",
}
_TPCH = ("customer", "orders", "lineitem", "supplier", "nation", "region", "part")


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


class GeneratorError(ValueError):
    """TPC-H's tables cannot be made; says why."""


def tpch_at(scale: float) -> dict[str, pa.Table]:
    """The tables of `TPCH` at a scale factor, made by tpchgen-cli in a folder that goes again."""
    # It lies beside this Python, which need not be on the PATH.
    beside = Path(sys.executable).parent / "tpchgen-cli"
    program = str(beside) if beside.exists() else shutil.which("tpchgen-cli")
    if program is None:
        raise GeneratorError("tpchgen-cli is not installed: pip install 'weft[pruning]'")
    with tempfile.TemporaryDirectory(prefix="weft-tpch-") as folder:
        done = subprocess.run(
            [program, "parquet", "-s", f"{scale:g}", "--output-dir", folder,
             f"--tables={','.join(_TPCH)}"],
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        if done.returncode:
            raise GeneratorError(f"tpchgen-cli: {(done.stderr or done.stdout).strip()[-500:]}")
        return tpch(Path(folder))


def tpch(folder: Path) -> dict[str, pa.Table]:
    """The tables of `TPCH` from `tpchgen-cli parquet -s SCALE --output-dir FOLDER`.

    Raises `FileNotFoundError` naming the table that is not there.
    """
    found = {}
    for name in _TPCH:
        path = folder / f"{name}.parquet"
        if not path.exists():
            raise FileNotFoundError(f"{path}: make it with tpchgen-cli parquet")
        found[name] = tables.read(name, path)
    return found


def values(table: pa.Table) -> list[str]:
    """Rows as sorted texts, to compare answers by: floats and decimals to nine digits, because
    sums depend on the order of their terms, and engines differ in types."""

    def shown(value: object) -> object:
        if isinstance(value, float):
            return f"{value:.9g}"
        if isinstance(value, decimal.Decimal):
            return f"{float(value):.9g}"
        return value

    return sorted(str([shown(v) for v in row.values()]) for row in table.to_pylist())
