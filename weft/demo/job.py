"""The demo's ranks: processes of torch.multiprocessing, watched, and ended at a deadline."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import torch.multiprocessing as multiprocessing
from torch.multiprocessing.spawn import (
    ProcessExitedException,
    ProcessRaisedException,
    start_processes,
)

from weft.demo.training import Curve, Settings, train


class JobError(RuntimeError):
    """A rank failed or the job was not done in time; the message says which."""


def run(settings: Settings, deadline: float, tell: Callable[[int], None]) -> dict[str, Curve]:
    """Train on `settings.ranks` new processes; `tell(step)` as rank 0 gets on.

    Raises JobError if a rank fails or after `deadline` seconds. No process outlives the call.
    """
    end = time.monotonic() + deadline
    context = multiprocessing.get_context("spawn")
    queue: SimpleQueue[Any] = context.SimpleQueue()
    curves: dict[str, Curve] | None = None
    with tempfile.TemporaryDirectory(prefix="weft-demo-") as folder:
        job = start_processes(  # type: ignore[no-untyped-call]
            _rank,
            (Path(folder), settings, queue),
            nprocs=settings.ranks,
            join=False,
            start_method="spawn",
        )
        try:
            done = False
            while not done:
                if time.monotonic() > end:
                    raise JobError(f"not done after {deadline:g} s; the ranks were ended")
                done = job.join(timeout=0.1)
                while not queue.empty():
                    said = queue.get()
                    if isinstance(said, int):
                        tell(said)
                    else:
                        curves = said
        except (
            ProcessRaisedException,
            ProcessExitedException,
        ) as e:
            raise JobError(str(e).strip()) from None
        finally:
            for process in job.processes:
                if process.is_alive():
                    process.kill()
                process.join()
    if curves is None:
        raise JobError("rank 0 ended without a result")
    return curves


def _rank(rank: int, folder: Path, settings: Settings, queue: SimpleQueue[Any]) -> None:
    def tell(step: int) -> None:
        if rank == 0 and (step % 5 == 0 or step == settings.steps):
            queue.put(step)

    curves = train(rank, folder, settings, tell)
    if rank == 0:
        queue.put(curves)
