"""What a probe reports: one finding per thing looked at.

Invariants: a finding that is not OK says in `mend` what to install or do; `values` holds what a
program needs and can be written as JSON; a probe reads the machine, and never changes it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

Value = bool | int | float | str | None | list[str]


class Level(enum.Enum):
    """How a finding bears on Weft."""

    OK = "ok"
    ABSENT = "absent"
    """Something optional is not here: a feature is off or slower."""
    FAILED = "failed"
    """Something that this installation promises does not work."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    topic: heading under which it is shown; name: the thing; detail: what was found, for people;
    mend: what to install or do (empty if nothing); values: what was found, for programs.
    """

    topic: str
    name: str
    level: Level
    detail: str
    mend: str = ""
    values: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.level is not Level.OK and not self.mend:
            raise ValueError(f"finding {self.name!r} is {self.level.value} but names no mend")


Probe = Callable[[], Iterable[Finding]]


def observed(topic: str, name: str, good: bool, detail: str, mend: str, **values: Value) -> Finding:
    """A finding that is OK if `good` and otherwise ABSENT, with the mend only then."""
    level = Level.OK if good else Level.ABSENT
    return Finding(topic, name, level, detail, "" if good else mend, values)
