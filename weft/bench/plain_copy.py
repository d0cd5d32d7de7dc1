"""The floor under all_to_all: every rank copies as many bytes from its input to its output.

No library can be faster on one host, since all bytes must be read once and written once, by these
processors through this memory. A goal below it is out of reach there.
"""

from __future__ import annotations

import mmap
import multiprocessing
import time
from multiprocessing.connection import Connection

import numpy as np

_fork = multiprocessing.get_context("fork")


def measure(ranks: int, size: int, milliseconds: float) -> float:
    """Microseconds for a copy of `size` bytes while `ranks` processes make one each."""
    barrier = _fork.Barrier(ranks, timeout=60)
    here, there = _fork.Pipe(duplex=False)
    arguments = (barrier, size, milliseconds, there)
    processes = [_fork.Process(target=_copy, args=arguments, daemon=True) for _ in range(ranks)]
    for process in processes:
        process.start()
    there.close()
    try:
        times = [float(here.recv()) for _ in processes]
    finally:
        for process in processes:
            process.kill()  # it has said all, or nobody waits for what it would say
            process.join()
    return sum(times) / ranks


def _copy(barrier: object, size: int, milliseconds: float, end: Connection) -> None:
    # As the libraries' buffers are, without the huge pages that NumPy asks for.
    source, target = (np.frombuffer(mmap.mmap(-1, size), np.uint8) for _ in range(2))
    source.fill(1)
    np.copyto(target, source)  # the first touch of a page costs more than its copy
    barrier.wait()  # type: ignore[attr-defined]
    copies, began, now = 0, time.perf_counter(), 0.0
    while now < milliseconds * 1e-3:
        np.copyto(target, source)
        copies += 1
        now = time.perf_counter() - began
    end.send(now / copies * 1e6)
