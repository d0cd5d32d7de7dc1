"""Processor, memory, kernel and accelerators, as the kernel's files tell them."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from weft.doctor.finding import Finding, Level, observed

TOPIC = "machine"

# The instruction sets for which native/collectives/reduce has kernels of their own, best first.
VECTOR_SETS = ("avx512f", "avx2", "asimd")


def probe() -> Iterator[Finding]:
    """Processor, cores, memory, kernel, accelerators."""
    yield _processor()
    yield _cores()
    yield _memory()
    release = platform.release()
    yield Finding(TOPIC, "kernel", Level.OK, f"Linux {release}", values={"release": release})
    yield _accelerators()


def _processor() -> Finding:
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    model = fields.get("model name") or platform.machine()
    sets = [name for name in VECTOR_SETS if name in flags]
    return observed(
        TOPIC,
        "processor",
        bool(sets),
        f"{model}; vectors: {', '.join(sets) or 'none'}",
        "nothing to do: reductions take the portable kernels, which are slower",
        model=model,
        vector_sets=sets,
    )


def _cores() -> Finding:
    usable, present = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    quota = _cgroup_cores()
    detail = f"{usable} of {present} usable"
    if quota is not None:
        detail += f", the control group grants {quota:g}"
    values = {"usable": usable, "present": present, "cgroup_quota": quota}
    return Finding(TOPIC, "cores", Level.OK, detail, values=values)


def _cgroup_cores() -> float | None:
    """Cores that cgroup v2 grants to this process's root group, or None if unlimited or unknown."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def _memory() -> Finding:
    page = os.sysconf("SC_PAGE_SIZE")
    total = os.sysconf("SC_PHYS_PAGES") * page
    free = os.sysconf("SC_AVPHYS_PAGES") * page
    detail = f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB free"
    values = {"total_bytes": total, "free_bytes": free}
    return Finding(TOPIC, "memory", Level.OK, detail, values=values)


def _accelerators() -> Finding:
    nvidia = sorted(str(p) for p in Path("/proc/driver/nvidia/gpus").glob("*"))
    amd = sorted(str(p) for p in Path("/sys/class/kfd/kfd/topology/nodes").glob("*/gpu_id"))
    amd = [p for p in amd if Path(p).read_text(encoding="utf-8").strip() != "0"]
    count = len(nvidia) + len(amd)
    return observed(
        TOPIC,
        "accelerators",
        count > 0,
        f"{len(nvidia)} NVIDIA, {len(amd)} AMD" if count else "none",
        "nothing to do: CPU tensors need none",
        nvidia=len(nvidia),
        amd=len(amd),
    )
