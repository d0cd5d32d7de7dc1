"""Packets that have been made, on their way into the network when they are due."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Feed:
    """What a worker does one after another, and when it has done so.

    Times are microseconds since the transfer began, of a worker that is not slowed, whatever slows
    the links.
    """

    _due: float = 0.0
    _waiting: deque[tuple[float, Callable[[], None]]] = field(default_factory=deque)

    def put(self, took_us: float, then: Callable[[], None]) -> None:
        """The next piece of work, how long it took, and what follows from it when it is due."""
        self._due += took_us
        self._waiting.append((self._due, then))

    def poll(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            _, then = self._waiting.popleft()
            then()

    def wake(self) -> float | None:
        """When the next piece is due."""
        return self._waiting[0][0] if self._waiting else None
