"""Ways for two processes of one host to share bytes: cross-memory attach and memfd."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from weft.doctor import child
from weft.doctor.finding import Finding, observed

TOPIC = "same host"

# The owner of the memory: prints its address, then waits until its standard input closes. With
# "any" it first permits every process of the same user to read it (PR_SET_PTRACER = 0x59616d61,
# PR_SET_PTRACER_ANY = -1).
OWNER = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
if sys.argv[1] == "any":
    libc.prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)
buffer = ctypes.create_string_buffer(b"woven")
print(ctypes.addressof(buffer), flush=True)
sys.stdin.read()
"""

# The reader is the owner's sibling, as ranks are of each other; a parent would be let in by rules
# that do not help ranks.
READER = """
import ctypes, os, sys
class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
libc = ctypes.CDLL(None, use_errno=True)
here = ctypes.create_string_buffer(5)
local = Vector(ctypes.addressof(here), 5)
remote = Vector(int(sys.argv[2]), 5)
got = libc.process_vm_readv(int(sys.argv[1]), ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
if got != 5 or here.raw != b"woven":
    print(os.strerror(ctypes.get_errno()))
    sys.exit(1)
"""


def probe() -> Iterator[Finding]:
    """Cross-memory attach between siblings, memfd."""
    yield _cross_memory_attach()
    yield _memfd()


def _cross_memory_attach() -> Finding:
    plain, said = _read_sibling("plain")
    permitted = plain or _read_sibling("any")[0]
    if plain:
        detail = "a process can read its sibling's memory"
    elif permitted:
        detail = "works once a rank permits its peers (prctl PR_SET_PTRACER), which Weft does"
    else:
        detail = f"refused: {said}"
    return observed(
        TOPIC,
        "cross-memory attach",
        permitted,
        detail,
        "sysctl -w kernel.yama.ptrace_scope=0 (containers: --cap-add SYS_PTRACE); "
        "until then messages are copied twice, through shared segments",
        plain=plain,
        permitted=permitted,
        yama_ptrace_scope=_ptrace_scope(),
    )


def _read_sibling(permission: str) -> tuple[bool, str]:
    command = [sys.executable, "-c", OWNER, permission]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdin is not None and owner.stdout is not None
        address = owner.stdout.readline().strip()
        answer = child.run(READER, str(owner.pid), address)
        owner.stdin.close()
        owner.wait(timeout=child.DEADLINE)
    return answer


def _ptrace_scope() -> int | None:
    try:
        return int(Path("/proc/sys/kernel/yama/ptrace_scope").read_text(encoding="utf-8"))
    except OSError:
        return None


def _memfd() -> Finding:
    mend = "a kernel since 3.17 that permits memfd_create (seccomp profiles may forbid it)"
    try:
        os.close(os.memfd_create("weft-doctor"))
    except OSError as error:
        return observed(TOPIC, "memfd", False, str(error), mend, usable=False)
    return observed(TOPIC, "memfd", True, "anonymous shared segments work", mend, usable=True)
