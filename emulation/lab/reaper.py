"""Finding and ending the processes that run in a lab's hosts.

A process belongs to a lab when its network namespace is one of the lab's: a fact that the kernel
keeps, whatever the process forks, renames or closes.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

ROUNDS = 20
"""A process that forks while it is hunted shows up in the next round."""


def processes(inodes: set[int]) -> list[int]:
    """Ids of the processes in these network namespaces; what may not be looked at is left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _network(int(entry.name)) in inodes:
            found.append(int(entry.name))
    return found


def _network(pid: int) -> int | None:
    """Inode of a process' network namespace; None if it is gone, or not ours to look at."""
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return None


def kill(inodes: set[int]) -> int:
    """SIGKILL to all of them, until none is left; returns how many there were."""
    killed = set()
    for _ in range(ROUNDS):
        alive = [pid for pid in processes(inodes) if pid != os.getpid()]
        if not alive:
            break
        for pid in alive:
            with suppress(OSError):
                handle = os.pidfd_open(pid)
                try:
                    if _network(pid) in inodes:  # still the same process
                        signal.pidfd_send_signal(handle, signal.SIGKILL)
                        killed.add(pid)
                finally:
                    os.close(handle)
        time.sleep(0.01)
    return len(killed)
