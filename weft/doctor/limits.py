"""Limits that the kernel sets: descriptors, locked memory, shared memory, socket buffers."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from weft.doctor.finding import Finding, observed

TOPIC = "limits"

ENOUGH_FILES = (
    4096  # one socket per path and local address, one event per engine, for a few hundred peers
)
ENOUGH_LOCKED = (
    1 << 30
)  # bytes; registered memory is locked, and a training job registers its gradient buckets
ENOUGH_SHARED = (
    1 << 30
)  # bytes of /dev/shm; segments carry messages where cross-memory attach is refused
# One bandwidth-delay product of 25 Gbit/s at 1.3 ms: a smaller socket buffer drops bursts before
# they are read.
ENOUGH_SOCKET_BUFFER = 4 << 20


def probe() -> Iterator[Finding]:
    """Descriptors, locked memory, /dev/shm, socket buffers."""
    yield _rlimit("open files", resource.RLIMIT_NOFILE, ENOUGH_FILES, "ulimit -n", 1)
    yield _rlimit("locked memory", resource.RLIMIT_MEMLOCK, ENOUGH_LOCKED, "ulimit -l", 1024)
    yield _shared_memory()
    for direction in ("rmem", "wmem"):
        yield _socket_buffer(direction)


def _rlimit(name: str, which: int, enough: int, command: str, unit: int) -> Finding:
    soft, hard = resource.getrlimit(which)
    unlimited = soft == resource.RLIM_INFINITY
    return observed(
        TOPIC,
        name,
        unlimited or soft >= enough,
        "unlimited" if unlimited else f"{soft} (hard limit {_limit_text(hard)})",
        f"{command} {enough // unit}, or raise it in /etc/security/limits.conf",
        soft=None if unlimited else soft,
        hard=None if hard == resource.RLIM_INFINITY else hard,
    )


def _limit_text(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)


def _shared_memory() -> Finding:
    try:
        space = os.statvfs("/dev/shm")
    except OSError as error:
        return observed(
            TOPIC, "/dev/shm", False, str(error), "mount -t tmpfs tmpfs /dev/shm", free_bytes=0
        )
    free = space.f_bavail * space.f_frsize
    return observed(
        TOPIC,
        "/dev/shm",
        free >= ENOUGH_SHARED,
        f"{free / 2**30:.1f} GiB free",
        "mount -o remount,size=4G /dev/shm (containers: --shm-size=4g)",
        free_bytes=free,
    )


def _socket_buffer(direction: str) -> Finding:
    setting = f"net.core.{direction}_max"
    path = Path("/proc/sys") / setting.replace(".", "/")
    try:
        size = int(path.read_text(encoding="utf-8"))
    except (
        OSError
    ):  # a network namespace that is not the first one does not show it before Linux 6.9
        size = 0
    return observed(
        TOPIC,
        setting,
        size >= ENOUGH_SOCKET_BUFFER,
        f"{size} bytes" if size else "not visible in this network namespace",
        f"sysctl -w {setting}={ENOUGH_SOCKET_BUFFER}, as root of the machine",
        bytes=size,
    )
