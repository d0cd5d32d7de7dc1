"""Promises of scenarios: arithmetic over metrics, and nothing else of Python."""

from __future__ import annotations

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.emulation.expectations import METRICS, Expectation, names

NUMBERS = st.floats(0.001, 1e6)


@given(NUMBERS, NUMBERS, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
def test_comparisons_are_pythons(end: float, ideal: float, sign: str) -> None:
    by = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
          "==": operator.eq, "!=": operator.ne}[sign]  # fmt: skip
    verdict = Expectation.parse(f"end {sign} 1.2 * ideal + 3 / 4 - 1", METRICS).check(
        {"end": end, "ideal": ideal}
    )
    assert verdict.holds == by(end, 1.2 * ideal + 3 / 4 - 1)


def test_times_have_units_and_workloads_names() -> None:
    known = names(["all reduce"])
    assert (
        Expectation.parse("all_reduce_time <= '5ms'", known).check({"all_reduce_time": 0.004}).holds
    )
    assert (
        not Expectation.parse("end / messages < 1", known)
        .check({"end": 1.0, "messages": 0.0})
        .holds
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("slowdown", "not one comparison"),
        ("1 < slowdown < 2", "not one comparison"),
        ("slowdown <=", "not a comparison"),
        ("slow <= 2", "no metric 'slow'"),
        ("__import__('os').getpid() > 1", "neither a number"),
        ("end ** 2 < 3", "neither a number"),
        ("end <= '5 parsecs'", "no unit"),
        ("end in [1]", "compare with"),
        ("True == 1", "neither a number"),
    ],
)
def test_what_is_no_expectation_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Expectation.parse(text, METRICS)
