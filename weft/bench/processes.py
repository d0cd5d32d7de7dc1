"""Runs the ranks of one measurement: all end well in time, or all are ended.

Invariant: when `run_ranks` returns or raises, no process that it started is left.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Launch:
    """One process: its command line, and what its environment has beside ours."""

    command: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)


class MeasurementError(RuntimeError):
    """A library could not be measured; the message holds what its process said last."""


def run_ranks(launches: Sequence[Launch], deadline: float) -> list[str]:
    """What each process wrote to its standard output.

    Raises MeasurementError if one fails, or if one is not done after `deadline` seconds.
    """
    end = time.monotonic() + deadline
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as folder:
        files = [Path(folder) / f"{i}" for i in range(2 * len(launches))]
        outputs, complaints = files[: len(launches)], files[len(launches) :]
        try:
            for launch, output, complaint in zip(launches, outputs, complaints, strict=True):
                with output.open("wb") as out, complaint.open("wb") as err:
                    running.append(
                        subprocess.Popen(
                            [str(part) for part in launch.command],
                            env={**os.environ, **launch.environment},
                            stdin=subprocess.DEVNULL,
                            stdout=out,
                            stderr=err,
                            start_new_session=True,  # so that mpirun's children end with it
                        )
                    )
            while any(process.poll() is None for process in running):
                failed = any(process.poll() not in (None, 0) for process in running)
                if failed or time.monotonic() > end:
                    break
                time.sleep(0.02)
        finally:
            codes = [process.poll() for process in running]
            for process in running:
                _end(process)
        for code, complaint in zip(codes, complaints, strict=True):
            if code not in (None, 0):
                last = complaint.read_text(errors="replace").strip().splitlines()[-1:]
                raise MeasurementError(f"exit code {code}: {' '.join(last)}")
        if None in codes:
            raise MeasurementError(f"not done after {deadline:g} s")
        return [output.read_text() for output in outputs]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it started, and reap it."""
    # mpirun's ranks are in process groups of their own: asked to, it ends them; killed, it cannot.
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)
