"""Which algorithm would run, and why, without a group: the tuner asked about any group at all.

A live group answers the same question for itself with `Communicator.explain`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weft._native._core import schedule as _native
from weft.collectives.schedule import CostModel


@dataclass(frozen=True)
class Candidate:
    """One algorithm with its best number of slices; `messages` and `sent_bytes` are those of the
    rank that sends most."""

    algorithm: str
    slices: int
    microseconds: float
    messages: int
    sent_bytes: int
    reference: str


@dataclass(frozen=True)
class Explanation:
    """The tuner's answer. `candidates` come best prediction first; `chosen` is not the first only
    where an option says so. Predictions are made for the size class of `nbytes`, a power of two."""

    collective: str
    size: int
    nbytes: int
    chosen: str
    slices: int
    reason: str
    candidates: list[Candidate]


def explain(
    collective: str,
    nbytes: int,
    hosts: Sequence[int],
    model: CostModel | None = None,
    algorithms: Mapping[str, str] | None = None,
) -> Explanation:
    """Asks the tuner.

    Args:
        collective: e.g. "all_reduce".
        nbytes: of the larger of input and output per rank.
        hosts: one number per rank, equal for ranks on one host: `[0, 0, 1, 1]`.
        model: what messages and memory cost.
        algorithms: overrides, as in a communicator's options: `{"all_reduce": "ring"}`.

    Raises InvalidArgument for unknown names and an empty group.
    """
    native = (model or CostModel()).native()
    answer = json.loads(
        _native.explain(collective, nbytes, native, list(hosts), dict(algorithms or {}))
    )
    return from_json(answer)


def from_json(answer: Mapping[str, Any]) -> Explanation:
    """The native tuner's JSON (also what `weft_explain` gives) as a value."""
    return Explanation(
        collective=answer["collective"],
        size=answer["size"],
        nbytes=answer["bytes"],
        chosen=answer["chosen"],
        slices=answer["slices"],
        reason=answer["reason"],
        candidates=[Candidate(**each) for each in answer["candidates"]],
    )
