"""The flow planner against slow obvious models, in exact arithmetic."""

from __future__ import annotations

import json
from fractions import Fraction
from math import gcd, lcm

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from weft.transport import Plan, plan
from weft.transport.cli import app
from weft.transport.plan import STRATEGIES

sizes = st.lists(st.integers(0, 10**7), min_size=1, max_size=40)
weights = st.lists(st.integers(0, 100), min_size=1, max_size=24).filter(any)


def check_cover(made: Plan, flows: list[int], capacity: list[int]) -> None:
    """Every byte once, in order, on a path that works; loads add up."""
    reached = [0] * len(flows)
    load = [0] * len(capacity)
    seen = set()
    for piece in made.pieces:
        assert piece.offset == reached[piece.flow]
        assert piece.size > 0 or flows[piece.flow] == 0
        assert capacity[piece.path] > 0
        reached[piece.flow] += piece.size
        load[piece.path] += piece.size
        seen.add(piece.flow)
    assert reached == flows
    assert seen == set(range(len(flows)))
    assert list(made.load) == load
    ideal = Fraction(sum(flows), sum(capacity))
    worst = max(Fraction(b, w) for b, w in zip(load, capacity, strict=True) if w)
    assert made.ideal_load == pytest.approx(float(ideal))
    assert made.max_load == pytest.approx(float(worst))


def wrapped(flows: list[int], capacity: list[int]) -> list[tuple[int, int, Fraction]]:
    """The rule, literally: (flow, path, bytes) in exact fractions."""
    borders = [Fraction(sum(flows) * sum(capacity[: k + 1]), sum(capacity)) for k in range(99)]
    pieces, start = [], Fraction(0)
    for flow, size in enumerate(flows):
        for path, weight in enumerate(capacity):
            low = max(start, borders[path - 1] if path else Fraction(0))
            high = min(start + size, borders[path])
            if weight and high > low:
                pieces.append((flow, path, high - low))
        start += size
    return pieces


@given(sizes, weights, st.sampled_from(["whole", "wrap_around", "spray"]), st.integers(0, 30))
def test_plans_cover_every_byte(
    flows: list[int], capacity: list[int], name: str, first: int
) -> None:
    check_cover(plan(flows, capacity, name, first_path=first), flows, capacity)


@given(sizes, weights)
def test_wrap_around_is_the_rule_and_optimal(flows: list[int], capacity: list[int]) -> None:
    made = plan(flows, capacity, "wrap_around")
    usable = sum(weight > 0 for weight in capacity)
    assert len(made.pieces) <= len(flows) + usable - 1
    for path, weight in enumerate(capacity):  # exact up to rounding to whole bytes
        fair = Fraction(sum(flows) * weight, sum(capacity))
        assert abs(made.load[path] - fair) <= 1
    literal = {(flow, path): size for flow, path, size in wrapped(flows, capacity)}
    ours = {(piece.flow, piece.path): piece.size for piece in made.pieces if piece.size}
    for key in literal.keys() | ours.keys():
        assert abs(literal.get(key, Fraction(0)) - ours.get(key, 0)) <= 1


@given(st.integers(1, 300), st.integers(1, 64))
def test_equal_flows_need_few_pieces(n: int, s: int) -> None:
    size = 10**4 * lcm(n, s) // n
    flows = [size] * n
    wrap, ethereal = plan(flows, s, "wrap_around"), plan(flows, s, "ethereal")
    r = n % s
    g = gcd(r, s)
    assert len(ethereal.pieces) == (n if r == 0 else n - r + r * s // g)
    assert len(wrap.pieces) <= n + s - gcd(n, s)
    assert len(wrap.pieces) <= len(ethereal.pieces)
    if r:  # and by exactly so many fewer
        assert len(ethereal.pieces) - len(wrap.pieces) == (s - g) * (r // g - 1)
    fair = sum(flows) / s
    assert max(wrap.load) <= fair + 1
    assert max(ethereal.load) <= fair + s  # rounding, once per part


@given(sizes, weights, st.integers(1, 10**6), st.sampled_from([1, 4, 64, 4096]))
def test_small_pieces_are_avoided(
    flows: list[int], capacity: list[int], least: int, unit: int
) -> None:
    for name in ("wrap_around", "spray"):
        made = plan(flows, capacity, name, minimum_piece=least, granularity=unit)
        check_cover(made, flows, capacity)
        for piece in made.pieces:
            assert piece.offset % unit == 0
            assert piece.size >= min(least, flows[piece.flow])


@given(st.integers(1, 60), st.integers(1, 24), st.integers(1, 10**5), st.integers(1, 10**5))
def test_ethereal_keeps_the_minimum(n: int, s: int, size: int, least: int) -> None:
    made = plan([size] * n, s, "ethereal", minimum_piece=least)
    check_cover(made, [size] * n, [1] * s)
    assert all(piece.size >= min(least, size) for piece in made.pieces)


@settings(max_examples=60)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=7), st.integers(1, 3))
def test_whole_is_within_four_thirds_of_the_best(flows: list[int], s: int) -> None:
    best = min(
        max(sum(f for f, p in zip(flows, _digits(k, s, len(flows)), strict=True) if p == q)
            for q in range(s))
        for k in range(s ** len(flows))
    )  # fmt: skip
    made = plan(flows, s, "whole")
    assert len(made.pieces) == len(flows)
    assert max(made.load) <= Fraction(4, 3) * best


def _digits(number: int, base: int, count: int) -> list[int]:
    return [number // base**k % base for k in range(count)]


@pytest.mark.parametrize(
    ("n", "s", "ethereal", "wrap"),
    [(15, 16, 240, 30), (31, 16, 256, 46), (255, 16, 480, 270), (63, 64, 4032, 126),
     (17, 16, 32, 32), (16, 16, 16, 16), (16, 13, 52, 28)],
)  # fmt: skip
def test_known_counts(n: int, s: int, ethereal: int, wrap: int) -> None:
    flows = [13 * 64 * 1000] * n
    assert len(plan(flows, s, "ethereal").pieces) == ethereal
    assert len(plan(flows, s, "wrap_around").pieces) == wrap


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (([1], 4, "wraparound"), "wrap_around"),
        (([1], 0), "at least one path"),
        (([1], [0, 0]), "all 2 paths have weight 0"),
        (([1], []), "weights"),
        (([1], [1.0, -2.0]), "weights"),
        (([1], [float("nan")]), "weights"),
        (([-1], 4), "flow 0 has -1 bytes"),
        (([1, 2], 4, "ethereal"), "ethereal needs equal flows"),
        (([1, 1], [1, 2], "ethereal"), "ethereal needs equal paths"),
    ],
)
def test_bad_input_is_named(arguments: tuple[object, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        plan(*arguments)  # type: ignore[arg-type]


def test_command_prints_all_strategies() -> None:
    outcome = CliRunner().invoke(app, ["15x1MiB", "--paths", "16", "--json"])
    assert outcome.exit_code == 0, outcome.output
    rows = {row["strategy"]: row for row in json.loads(outcome.stdout)["plans"]}
    assert set(rows) == set(STRATEGIES)
    assert (rows["ethereal"]["pieces"], rows["wrap_around"]["pieces"]) == (240, 30)
    assert rows["whole"]["ratio"] == pytest.approx(16 / 15)


def test_command_with_failures_and_unequal_flows() -> None:
    arguments = ["1MiB,2MiB,3x64KiB", "--weights", "1,1,0.5,1", "--failed", "3", "--json"]
    outcome = CliRunner().invoke(app, [*arguments, "--pieces"])
    answer = json.loads(outcome.stdout)
    assert "ethereal" in answer["refused"]
    assert all(row["load"][3] == 0 for row in answer["plans"])
    for wrong in (["1MiB", "--failed", "16"], ["x"], ["ax1"], ["1", "--strategy", "no"]):
        assert CliRunner().invoke(app, wrong).exit_code == 2
