"""What passes between `weft lab run` and its program on every host (player.py)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Item:
    """A message to send (to another host), to expect (from another) or a computation (neither)."""

    number: int
    source: int
    destination: int
    size: int
    start: float
    delay: float
    after: tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """What one host does. Times in seconds of the wall clock, counted from the start."""

    host: int
    ip: str
    carrier: str
    group: int
    options: dict[str, Any]
    peers: list[int]
    items: list[Item]
    limit: float
    datapath: str = "udp"
    """Of weft's transport."""
    own_clock: bool = False
    """The host is a machine whose clock is not the lab's."""


@dataclass
class Played:
    """Seconds since the start; messages that did not end are missing."""

    started: dict[int, float] = field(default_factory=dict)
    ended: dict[int, float] = field(default_factory=dict)
    error: str | None = None
    stats: dict[str, Any] = field(default_factory=dict)
    waited: float = 0.0
    """Share of the time in which the program could have run, but had no CPU."""
    computed: float = 0.0
    """Share of a CPU that it took."""
