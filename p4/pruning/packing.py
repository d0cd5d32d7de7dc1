"""Making packets while others travel."""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from types import TracebackType

from weft.p4.pruning.worker import Packed


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


class Packer:
    """A thread that makes packets of several flows, a part of each in turn.

    Readable (`fileno`) when `made` has something new. To be closed by leaving its `with`.
    """

    def __init__(self, flows: Mapping[int, Iterator[Packed]]) -> None:
        self._flows = flows
        self._made: SimpleQueue[tuple[int, Packed | None] | Exception] = SimpleQueue()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="weft-packing", daemon=True)

    def fileno(self) -> int:
        return self._bell

    def made(self) -> Iterator[tuple[int, Packed | None]]:
        """Flows and their packets since the last call; None ends a flow. Raises what went wrong."""
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            return
        while True:
            try:
                found = self._made.get_nowait()
            except Empty:
                return
            if isinstance(found, Exception):
                raise found
            yield found

    def _run(self) -> None:
        try:
            for parts in itertools.zip_longest(*self._flows.values()):
                for flow, packed in zip(self._flows, parts, strict=True):
                    if packed is not None:
                        self._put((flow, packed))
                if self._stopped:
                    return
            for flow in self._flows:
                self._put((flow, None))
        except Exception as problem:
            self._put(problem)

    def _put(self, made: tuple[int, Packed | None] | Exception) -> None:
        self._made.put(made)
        os.eventfd_write(self._bell, 1)

    def __enter__(self) -> Packer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped = True
        self._thread.join()
        os.close(self._bell)
