"""What a reader must know of the machine to judge a figure."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import weft


def describe() -> dict[str, str]:
    """Processor, memory, kernel, load and date."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    judged = f"{load:.1f} when it began"
    if load > 0.5 * cores:
        judged += f" on {cores} cores: OTHERS WERE AT WORK, so times and ratios here prove nothing"
    return {
        "processor": f"{model}, {cores} cores",
        "memory": f"{memory:.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "weft": weft.__version__,
        "load": judged,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
