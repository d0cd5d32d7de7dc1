"""How much is pruned: against the theorems' bounds, and an independent simulation's figures.

That simulation ran over 1 or 2 million rows; here shares are taken after the caches have filled.
"""

from __future__ import annotations

import numpy as np
import pytest
from pruning_switch import codes, install, key_codes, lanes_of, open_switch, survivors

from weft.p4.pruning import sizing, wire

ROWS = 120_000


@pytest.mark.parametrize(
    ("distinct", "d", "w", "expected"), [(15_000, 4096, 2, 0.508), (100_000, 4096, 2, 0.086)]
)
@pytest.mark.parametrize("program", ["distinct_fifo", "distinct_lru"])
def test_distinct(program: str, distinct: int, d: int, w: int, expected: float) -> None:
    rng = np.random.default_rng(1)
    keys = rng.integers(1, distinct + 1, ROWS).astype(np.uint64)
    with open_switch(program, COLUMNS=w) as switch:
        install(switch, "distinct", [0, d // wire.LANES])
        kept = survivors(switch, key_codes(keys), lanes_of(keys))
    later = ROWS // 4  # by then every cell is in use
    passed = np.zeros(ROWS, bool)
    passed[kept] = True
    share = 1 - passed[later:].mean()
    assert share >= sizing.distinct_bound(distinct, d, w)
    assert share == pytest.approx(expected, abs=0.03)


def test_top_n_random_prunes_what_the_theorem_says() -> None:
    rng = np.random.default_rng(2)
    values = rng.integers(1, 1 << 32, ROWS, dtype=np.uint64)
    with open_switch("top_n_random", COLUMNS=4) as switch:
        install(switch, "top_n_random", [0, 512 // wire.LANES, 1])
        kept = survivors(switch, codes(values))
    bound = sizing.top_n_bound(ROWS, 512, 4)
    assert bound - 0.002 <= 1 - len(kept) / ROWS <= bound + 0.01


def test_the_papers_own_numbers() -> None:
    assert sizing.distinct_bound(15_000, 1000, 24) == pytest.approx(0.583, abs=0.001)
    assert sizing.fingerprint_bits(499_000_000, 1000, 1e-4) == 64
    assert [sizing.top_n_columns(1000, d, 1e-4) for d in (600, 8000)] == [16, 5]
    assert sizing.top_n_rows(1000, 1e-4) == 481
    assert sizing.top_n_columns(1000, 481, 1e-4) == 19
    assert sizing.top_n_bound(1_000_000, 4096, 4) == pytest.approx(0.9163, abs=1e-4)
    assert sizing.top_n_bound(8_000_000, 481, 19) == pytest.approx(0.9911, abs=1e-4)
    with pytest.raises(ValueError, match="too few"):
        sizing.top_n_columns(1000, 100, 1e-4)
