"""What hosts take to compute, measured by a probe, so that the planner can weigh it.

On modelled links only the network takes time, and hosts cost nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from weft.p4.pruning.encoders import Keys
from weft.p4.pruning.engine import Engine
from weft.p4.pruning.execute import Pass
from weft.p4.pruning.worker import Worker

_FEW, _MANY = 2_000, 100_000


@dataclass(frozen=True, slots=True)
class Costs:
    """Microseconds: of a pass at a worker whatever its size, of each of its rows there, and of each
    row that reaches the master."""

    per_pass: float = 0.0
    per_row: float = 0.0
    master_per_row: float = 0.0


def _table(rows: int) -> pa.Table:
    number = np.arange(rows) * 7919 % 600
    return pa.table({"k": [f"agent/{i}.{i % 7}" for i in number], "v": number * 0.5})


def of_worker() -> tuple[float, float]:
    """Microseconds of CPU time: per pass, and per row."""
    taken = []
    for rows in (_FEW, _MANY):
        worker = Worker({"probe": _table(rows)})
        worker.choose(0, "probe", None)
        one = Pass(0, "probe", Keys(("k",), 1))
        taken.append(min(worker.pack(0, one).seconds for _ in range(3)) * 1e6)
    per_row = max(0.0, (taken[1] - taken[0]) / (_MANY - _FEW))
    return max(0.0, taken[0] - per_row * _FEW), per_row


def of_master(engine: Engine) -> float:
    """Microseconds per row of a query that groups."""
    taken = []
    for rows in (_FEW, _MANY):
        tables, times = {"probe": _table(rows)}, []
        for _ in range(3):
            began = time.perf_counter()
            engine('SELECT k, max(v) AS m FROM "probe" GROUP BY k', tables)
            times.append((time.perf_counter() - began) * 1e6)
        taken.append(min(times))
    return max(0.0, (taken[1] - taken[0]) / (_MANY - _FEW))
