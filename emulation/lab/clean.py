"""`weft lab clean`: ends what labs have left behind when even their fabric process was killed.

Only processes that say in their environment which lab they belong to, and whose lab is dead, are
touched: not namespaces with names, not bridges, nothing that a lab did not start.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

MARK = "WEFT_LAB_FABRIC"
"""In the environment of every program of a host: "PID STARTED" of its fabric process."""


def started(pid: int) -> str:
    """When a process began, in clock ticks since boot: with its id it names it for good. Empty if
    there is none, or only what nobody has waited for."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def mark(pid: int) -> str:
    """The value of MARK for a fabric process."""
    return f"{pid} {started(pid)}"


def orphans(of: str | None = None) -> list[int]:
    """Processes of labs whose fabric process is gone: of the one with this mark, or of all.

    Their namespaces' numbers would not do: with its last process gone, the kernel gives a
    namespace's number to the next one, maybe of another lab that comes up right now.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError, ValueError):
            for variable in (entry / "environ").read_bytes().split(b"\0"):
                name, _, value = variable.partition(b"=")
                if name == MARK.encode():
                    pid, began = value.decode().split()
                    if of in (None, value.decode()) and started(int(pid)) != began:
                        found.append(int(entry.name))
    return found


def clean(of: str | None = None) -> list[int]:
    """Kill them; returns their ids."""
    found = orphans(of)
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found
