"""Real ranks for the tests: forked processes that stay alive from test to test.

A `World` is a set of ranks with a weft group and, beside it, a gloo group of the same ranks to
compare with. Tests send it functions; every rank runs them and the test gets all results. A world
in which something failed is thrown away, because its ranks may be anywhere in their program.
"""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import os
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]
    print("tests/torch skipped: torch is not installed")
else:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)  # before any fork: a child must not inherit a pool of threads

DEADLINE = 60.0  # seconds for one function on all ranks; far above what any needs


@dataclass(frozen=True)
class Rank:
    """What a function that runs on a rank is told."""

    rank: int
    size: int
    gloo: Any  # the process group to compare with; None in worlds without


class World:
    """`size` ranks, forked now."""

    def __init__(
        self, size: int, *, timeout: float = 30.0, compare: bool = True, options: Any = None
    ) -> None:
        self.size = size
        self.broken = False
        self._complete = False  # every rank has said that its groups are made
        context = multiprocessing.get_context("fork")
        self._folder = tempfile.TemporaryDirectory()
        self._pipes = []
        self._processes = []
        for rank in range(size):
            ours, theirs = context.Pipe()
            arguments = (rank, size, theirs, self._folder.name, timeout, compare, options)
            process = context.Process(target=_serve, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def start(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Have every rank run `function(Rank, *arguments)`, once all have made their groups.

        Without that wait a rank that fails at once would fail its peers' making of the group.
        """
        if not self._complete:
            self._complete = True
            for rank in range(self.size):
                self.result(rank)
        for pipe in self._pipes:
            with contextlib.suppress(BrokenPipeError):
                pipe.send((function, arguments))

    def result(self, rank: int) -> Any:
        """What that rank's function returned; AssertionError with its traceback if it failed."""
        try:
            if not self._pipes[rank].poll(DEADLINE):
                raise AssertionError(f"rank {rank} of {self.size} is not done after {DEADLINE} s")
            good, value = self._pipes[rank].recv()
        except (EOFError, OSError) as error:
            self.broken = True
            raise AssertionError(f"rank {rank} of {self.size} died") from error
        except AssertionError:
            self.broken = True
            raise
        if not good:
            self.broken = True
            raise AssertionError(f"on rank {rank} of {self.size}:\n{value}")
        return value

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Run `function(Rank, *arguments)` on every rank and return all results, by rank."""
        self.start(function, *arguments)
        return [self.result(rank) for rank in range(self.size)]

    def kill(self, rank: int, how: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self._processes[rank].pid, how)

    def pid(self, rank: int) -> int:
        return int(self._processes[rank].pid)

    def close(self) -> None:
        for pipe in self._pipes:
            # Said, and not only closed: ranks forked later hold copies of these ends.
            with contextlib.suppress(OSError):
                pipe.send(None)
            pipe.close()
        for process in self._processes:
            process.join(0 if self.broken else 10)
            if process.is_alive():
                process.kill()
                process.join()
        self._folder.cleanup()


def _serve(
    rank: int, size: int, pipe: Any, folder: str, timeout: float, compare: bool, options: Any
) -> None:
    """A rank's life: build the groups, then run what comes through the pipe until it says stop."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        dist.init_process_group(
            "weft",
            store=dist.FileStore(str(Path(folder) / "store"), size),
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=timeout),
            pg_options=options() if options is not None else None,
        )
        gloo = dist.new_group(backend="gloo") if compare else None
        me = Rank(rank, size, gloo)
        pipe.send((True, None))
    except Exception:
        pipe.send((False, traceback.format_exc()))
        return
    while True:
        try:
            order = pipe.recv()
        except EOFError:
            break
        if order is None:
            break
        function, arguments = order
        try:
            answer = (True, function(me, *arguments))
        except BaseException:
            answer = (False, traceback.format_exc())
        pipe.send(answer)
    with contextlib.suppress(Exception):
        dist.destroy_process_group()
    os._exit(0)  # not through pytest's own exit handlers


_worlds: dict[int, World] = {}


@pytest.fixture(params=[1, 2, 3, 4], ids=lambda size: f"{size}ranks")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A world of 1, 2, 3 and 4 ranks, kept from test to test."""
    yield from _kept(request.param)


@pytest.fixture
def world4() -> Iterator[World]:
    yield from _kept(4)


@pytest.fixture
def world2() -> Iterator[World]:
    yield from _kept(2)


def _kept(size: int) -> Iterator[World]:
    if size not in _worlds:
        _worlds[size] = World(size)
    yield _worlds[size]
    if _worlds[size].broken:
        _worlds.pop(size).close()


@pytest.fixture
def fresh_world() -> Iterator[Callable[..., World]]:
    """Makes worlds for tests that break them."""
    made: list[World] = []

    def make(size: int, **settings: Any) -> World:
        made.append(World(size, **settings))
        return made[-1]

    yield make
    for world in made:
        world.close()


def pytest_sessionfinish() -> None:
    for world in _worlds.values():
        world.close()
    _worlds.clear()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker runs all of them: worlds are shared, and two cores have no room for more ranks."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.xdist_group("torch"))
