"""What a scenario promises: `expect = ["slowdown <= 1.2", "errors == 0"]`.

An expectation is one comparison of arithmetic over the metrics of a run; times are seconds, and may
be written with a unit in quotes: `p99 <= '5ms'`. Nothing else of Python is understood.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from weft.emulation import units

METRICS = {
    "end": "when the last message was received, s",
    "ideal": "the bound below which no transport can end, s",
    "slowdown": "end / ideal",
    "mean": "of the messages' completion times, s",
    "p50": "of the messages' completion times, s",
    "p99": "of the messages' completion times, s",
    "max": "of the messages' completion times, s",
    "messages": "in the workload",
    "unfinished": "messages that did not get through",
    "errors": "complaints of hosts, failed connections and unfinished messages",
    "retransmitted": "packets sent again",
    "dropped": "packets lost in the fabric, for whatever reason",
    "marked": "packets with a congestion mark",
    "trimmed": "packets that lost their payload",
    "max_queue": "deepest queue, bytes",
    "max_link_load": "of the busiest link, 0 .. 1",
}

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


@dataclass(frozen=True)
class Verdict:
    """What became of one expectation; `detail` shows both sides' values."""

    text: str
    holds: bool
    detail: str


@dataclass(frozen=True)
class Expectation:
    """One comparison. `parse` refuses, with ValueError, what cannot be understood."""

    text: str
    tree: ast.Compare

    @classmethod
    def parse(cls, text: str, names: Iterable[str]) -> Expectation:
        """`names` are the metrics that it may use."""
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except SyntaxError:
            raise ValueError(f"{text!r} is not a comparison, like 'slowdown <= 1.2'") from None
        if not isinstance(tree, ast.Compare) or len(tree.ops) != 1:
            raise ValueError(f"{text!r} is not one comparison, like 'slowdown <= 1.2'")
        if type(tree.ops[0]) not in _COMPARISONS:
            raise ValueError(f"{text!r}: compare with <, <=, >, >=, == or !=")
        known = dict.fromkeys(names, 1.0)
        for side in (tree.left, tree.comparators[0]):
            with suppress(ZeroDivisionError):
                _value(side, known)
        return cls(text.strip(), tree)

    def check(self, metrics: Mapping[str, float]) -> Verdict:
        """Compare, given the values of the metrics."""
        try:
            left = _value(self.tree.left, metrics)
            right = _value(self.tree.comparators[0], metrics)
        except ZeroDivisionError:
            return Verdict(self.text, False, "division by zero")
        holds = _COMPARISONS[type(self.tree.ops[0])](left, right)
        return Verdict(self.text, bool(holds), f"{left:.6g} against {right:.6g}")


def _value(node: ast.expr, metrics: Mapping[str, float]) -> float:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return units.seconds(node.value)
        if isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return float(node.value)
    elif isinstance(node, ast.Name):
        if node.id not in metrics:
            raise ValueError(
                f"there is no metric {node.id!r}; there is {', '.join(sorted(metrics))}"
            )
        return metrics[node.id]
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        operate = _ARITHMETIC[type(node.op)]
        return float(operate(_value(node.left, metrics), _value(node.right, metrics)))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, metrics)
    raise ValueError(f"{ast.unparse(node)!r} is neither a number, a metric nor arithmetic")


def names(workloads: Iterable[str]) -> list[str]:
    """All metrics of a scenario: METRICS, and `NAME_time` of each part of its workload (when its
    last message was received; what is not a letter or digit becomes an underscore)."""
    return [*METRICS, *(workload_metric(name) for name in workloads)]


def workload_metric(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name) + "_time"
