"""`weft demo pruning`: answers are right, and what was pushed was worth it."""

from __future__ import annotations

from pathlib import Path

from weft.p4.pruning import demo


def test_every_operator_is_right_and_none_is_slower(tmp_path: Path) -> None:
    found = demo.measure(30_000, gbps=10.0, seed=2)
    assert [m.query for m in found] == [
        "DISTINCT", "TOP N", "GROUP BY MAX", "HAVING SUM", "JOIN", "SKYLINE",
    ]  # fmt: skip
    for m in found:
        assert m.same, m.query
        # Where the planner does not expect a gain it leaves the switch out, and nothing is lost.
        assert m.faster > (1.0 if m.pushed else 0.99), m
    assert sum(bool(m.pushed) for m in found) >= 4
    assert demo.write(found, tmp_path).stat().st_size > 10_000
