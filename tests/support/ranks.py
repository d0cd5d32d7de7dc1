"""Groups of real processes for tests: every rank is a forked child with a context of its own.

    outcomes = ranks.run(4, body)      # body(group) runs in each child; what it returns comes back

A child that raises reports its exception; one that dies reports its exit code; one that is not
done in time is killed and fails the test. Nothing outlives `run`.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import weft.transport.errors
from weft.collectives import Communicator
from weft.transport import Context
from weft.transport.errors import WeftError

_fork = multiprocessing.get_context("fork")


@dataclass
class Outcome:
    """What became of one rank."""

    value: Any = None
    error: BaseException | None = None
    exit_code: int | None = None
    seconds: float = 0.0  # from the group's birth to the end of body

    def get(self) -> Any:
        """The value; raises what the rank raised."""
        if self.error is not None:
            raise self.error
        assert self.exit_code in (0, None), f"the rank died with exit code {self.exit_code}"
        return self.value


class Job:
    """Running ranks, for tests that kill or stop some of them."""

    def __init__(
        self,
        size: int,
        body: Callable[..., Any],
        *arguments: Any,
        context: dict[str, Any] | Callable[[int], dict[str, Any]] | None = None,
        group: dict[str, Any] | None = None,
    ) -> None:
        self._ends: list[Connection] = []
        self.processes = []
        secret = secrets.token_hex(8)
        self.number = secrets.randbits(63) | 1 << 62
        for rank in range(size):
            options = context(rank) if callable(context) else dict(context or {})
            options.setdefault("secret", secret)
            here, there = _fork.Pipe()
            process = _fork.Process(
                target=_child,
                args=(rank, there, here, options, dict(group or {}), body, arguments),
                daemon=True,
            )
            process.start()
            there.close()
            self._ends.append(here)
            self.processes.append(process)
        firsts = [end.recv() for end in self._ends]
        addresses = [first for first in firsts if isinstance(first, bytes)]
        if len(addresses) < size:  # somebody could not even begin
            failed = next(_outcome(first) for first in firsts if not isinstance(first, bytes))
            for process in self.processes:
                process.kill()
                process.join()
            failed.get()
        for end in self._ends:
            end.send((self.number, addresses))

    def wait_until(self, mark: str, ranks: list[int] | None = None, timeout: float = 30) -> None:
        """Until these ranks (all) have called `tell(mark)`."""
        for rank in range(len(self._ends)) if ranks is None else ranks:
            assert self._ends[rank].poll(timeout), f"rank {rank} did not say {mark!r}"
            said = self._ends[rank].recv()
            assert said == ("mark", mark), f"rank {rank} said {said}"

    def kill(self, rank: int) -> None:
        os.kill(self._pid(rank), signal.SIGKILL)

    def stop(self, rank: int) -> None:
        os.kill(self._pid(rank), signal.SIGSTOP)

    def cont(self, rank: int) -> None:
        os.kill(self._pid(rank), signal.SIGCONT)

    def _pid(self, rank: int) -> int:
        pid = self.processes[rank].pid
        assert pid is not None
        return pid

    def outcomes(self, timeout: float = 60) -> list[Outcome]:
        """Waits for all ranks, kills those that are not done in time."""
        outcomes = [Outcome(error=TimeoutError("not done in time: killed")) for _ in self._ends]
        waiting = dict(zip(self._ends, range(len(self._ends)), strict=True))
        deadline = time.monotonic() + timeout
        while waiting and time.monotonic() < deadline:
            for end in wait(list(waiting), timeout=deadline - time.monotonic()):
                assert isinstance(end, Connection)
                rank = waiting.pop(end)
                try:
                    outcomes[rank] = _outcome(end.recv())
                except (EOFError, ConnectionResetError):
                    self.processes[rank].join(5)
                    outcomes[rank] = Outcome(exit_code=self.processes[rank].exitcode)
        for rank, process in enumerate(self.processes):
            process.join(
                max(0.1, deadline - time.monotonic()) if rank not in waiting.values() else 0
            )
            if process.is_alive():
                process.kill()
                process.join()
            if outcomes[rank].error is None and process.exitcode != 0:
                outcomes[rank].exit_code = process.exitcode
        return outcomes


def run(size: int, body: Callable[..., Any], *arguments: Any, **options: Any) -> list[Any]:
    """body(group, *arguments) on `size` ranks; their values, or the first rank's exception."""
    timeout = options.pop("timeout", 60)
    outcomes = Job(size, body, *arguments, **options).outcomes(timeout)
    return [outcome.get() for outcome in outcomes]


_tell: Callable[[str], None] | None = None


def tell(mark: str) -> None:
    """From inside a rank: lets the test's `wait_until(mark)` go on."""
    assert _tell is not None
    _tell(mark)


def _child(
    rank: int,
    end: Connection,
    parents_end: Connection,
    options: dict[str, Any],
    group_options: dict[str, Any],
    body: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    global _tell
    parents_end.close()
    _tell = lambda mark: end.send(("mark", mark))  # noqa: E731
    try:
        with Context(**options) as context:
            end.send(context.address)
            number, addresses = end.recv()
            with Communicator.create(context, number, rank, addresses, **group_options) as group:
                began = time.monotonic()
                try:
                    value = body(group, *arguments)
                finally:
                    spent = time.monotonic() - began
        end.send(("value", value, spent))
    except WeftError as error:
        name = type(error).__name__
        end.send(
            ("weft", name, str(error), error.peer_rank, error.peer_id, locals().get("spent", 0))
        )
    except BaseException as error:
        end.send(("error", type(error).__name__, str(error)))
    end.close()


def _outcome(message: tuple[Any, ...]) -> Outcome:
    match message:
        case ("value", value, seconds):
            return Outcome(value=value, seconds=seconds)
        case ("weft", name, text, peer_rank, peer_id, seconds):
            kind = getattr(weft.transport.errors, name)
            return Outcome(error=kind(text, peer_rank, peer_id), seconds=seconds)
        case ("error", name, text):
            return Outcome(error=AssertionError(f"{name}: {text}"))
        case _:
            return Outcome(error=AssertionError(f"unexpected message {message!r}"))
