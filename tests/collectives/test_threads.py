"""One engine, many threads: whoever waits drives, the others hand in commands or take turns."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import ranks

from weft.collectives import Communicator


def from_many_threads(group: Communicator, rounds: int) -> list[str]:
    """Every thread has a group of its own over the same connections, and mixes blocking, waiting
    and background calls of all sizes."""
    parts = [group.split(0) for _ in range(4)]
    problems: list[str] = []

    def work(number: int) -> None:
        part = parts[number]
        assert part is not None
        for turn in range(rounds):
            count = (1, 500, 30_000, 200_000)[(turn + number) % 4]
            mine = np.full(count, float(part.rank + number + 1), "float32")
            expected = sum(rank + number + 1 for rank in range(part.size))
            if turn % 2:
                out: Any = part.all_reduce(mine, np.empty_like(mine), wait=False).wait()
            else:
                out = part.all_reduce(mine, np.empty_like(mine))
            if not (out == expected).all():
                problems.append(f"thread {number}, turn {turn}: {out[:3]} is not {expected}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for part in parts:
        assert part is not None
        part.close()
    return problems


@pytest.mark.parametrize("datapath", ["shm", "udp"])
def test_threads_share_an_engine(datapath: str) -> None:
    found = ranks.run(2, from_many_threads, 40, context={"datapaths": [datapath]})
    assert found == [[], []]


def nobody_waits(group: Communicator) -> bool:
    """The engine's own thread carries on what nobody waits for."""
    mine = np.ones(400_000, "float32")
    done = threading.Event()
    work = group.all_reduce(mine, wait=False)

    def look() -> None:
        # Looks at memory only: nothing here makes progress.
        while not (mine[-1] == group.size and mine[0] == group.size):
            if done.wait(0.005):
                return
        done.set()

    watcher = threading.Thread(target=look)
    watcher.start()
    arrived = done.wait(20)
    done.set()
    watcher.join()
    work.wait()
    return arrived


@pytest.mark.parametrize("datapath", ["shm", "udp"])
def test_background_operations_go_on_alone(datapath: str) -> None:
    assert ranks.run(2, nobody_waits, context={"datapaths": [datapath]}) == [True, True]
