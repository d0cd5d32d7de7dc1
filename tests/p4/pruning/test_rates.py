"""How much is pruned: against the theorems' bounds, and an independent simulation's figures.

That simulation ran over 1 or 2 million rows, and so do the cases here that depend on how many;
`weft p4 pruning rates` has them all, for docs/pruning.md.
"""

from __future__ import annotations

import pytest

from weft.p4.pruning import sizing
from weft.p4.pruning.rates import FULL, Case, cases

#: Rows of a case, and how far from the reference's share it may be.
CASES = {
    "DISTINCT FIFO D=15000 d=1000 w=24": (200_000, 0.003),
    "DISTINCT FIFO D=15000 d=4096 w=2": (150_000, 0.03),
    "DISTINCT LRU D=15000 d=4096 w=2, Zipf 1.1": (1_000_000, 0.02),
    "DISTINCT FIFO D=15000 d=4096 w=4": (150_000, 0.03),
    "DISTINCT FIFO D=100000 d=4096 w=2": (1_000_000, 0.02),
    "DISTINCT FIFO D=100000 d=4096 w=8": (1_000_000, 0.03),
    "TOP 250 randomised d=4096 w=4": (FULL, 0.001),
    "TOP 1000 randomised d=480 w=19": (FULL, 0.001),
    "GROUP BY MAX K=1000 d=4096 w=8": (FULL, 0.006),
    "GROUP BY MAX K=100000 d=4096 w=8": (FULL, 0.01),
    "GROUP BY MAX K=1000 d=64 w=2": (100_000, 0.01),
    "JOIN Bloom, 1.5 M keys in 256 kB, rows without a match": (200_000, 0.02),
    "JOIN Bloom, 1.5 M keys in 1024 kB, rows without a match": (200_000, 0.02),
    "JOIN Bloom, 1.5 M keys in 4096 kB, rows without a match": (200_000, 0.002),
}


def case(name: str, rows: int) -> Case:
    return next(c for c in cases(rows) if c.name == name)


@pytest.mark.parametrize("name", CASES)
def test_it_agrees_with_the_reference_and_its_bound(name: str) -> None:
    rows, off = CASES[name]
    # DISTINCT takes twice as many.
    one = case(name, rows // 2 if name.startswith("DISTINCT") else rows)
    share = one.run()
    assert one.reference is not None
    assert share == pytest.approx(one.reference, abs=off)
    if one.bound is not None:
        assert share >= one.bound - 0.002


def test_candidates_of_having() -> None:
    """85 keys are above the bound; a sketch of 4096 columns reports few others."""
    assert 85 <= case("HAVING Count-Min 3 x 4096, keys reported", 150_000).run() <= 100


def test_thresholds_need_skew() -> None:
    """Doubling from the least of the first N reaches a uniform stream's upper values late."""
    skewed, uniform = (
        case(f"TOP 250 thresholds w=4{law}", 150_000).run() for law in (", Pareto 1.2", "")
    )
    assert uniform < 0.2
    assert skewed > 0.8


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
