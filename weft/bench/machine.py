"""What a reader must know of the machine to judge a figure."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import weft


def busy_share(seconds: float) -> float:
    """The share of all processors that is in use, watched for some seconds: 0 to 1.

    The load average would not do, since it remembers for minutes what has ended.
    """
    began = _ticks()
    time.sleep(seconds)
    idle, total = (now - then for now, then in zip(_ticks(), began, strict=True))
    return 1 - idle / max(total, 1)


def _ticks() -> tuple[int, int]:
    """Idle and all ticks of all processors since the system's start (proc(5))."""
    line = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0]
    ticks = [int(word) for word in line.split()[1:]]
    return ticks[3] + ticks[4], sum(ticks)


def describe() -> dict[str, str]:
    """Processor, memory, kernel, load and date."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores, busy = len(os.sched_getaffinity(0)), busy_share(0.5)
    judged = f"{busy:.0%} of the processors were in use when it began"
    if busy > 0.1:
        judged += ": OTHERS WERE AT WORK, so times and ratios here prove nothing"
    return {
        "processor": f"{model}, {cores} cores",
        "memory": f"{memory:.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "weft": weft.__version__,
        "load": judged,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
