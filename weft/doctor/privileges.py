"""Who we are and what we may do: capabilities and namespaces, which the lab stands on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from weft.doctor import child
from weft.doctor.finding import Finding, Level, observed

TOPIC = "privileges"

# Bits of the capability sets, include/uapi/linux/capability.h.
CAPABILITIES = {
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_IPC_LOCK": 14,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_BPF": 39,
}

# unshare(2): CLONE_NEWNET, and CLONE_NEWUSER where the caller is not privileged.
UNSHARE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(int(sys.argv[1], 0)) != 0:
    print(os.strerror(ctypes.get_errno()))
    sys.exit(1)
"""
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


def probe() -> Iterator[Finding]:
    """User, capabilities, network namespaces with and without privileges, TUN/TAP."""
    held = capabilities()
    user = "root" if os.geteuid() == 0 else f"uid {os.geteuid()}"
    detail = f"{user}; {', '.join(held) or 'no capabilities of use here'}"
    values: dict[str, int | list[str]] = {"uid": os.geteuid(), "capabilities": held}
    yield Finding(TOPIC, "user", Level.OK, detail, values=values)
    yield _namespace(
        "network namespaces",
        CLONE_NEWNET,
        "run as root, or use the next line's kind",
    )
    yield _namespace(
        "rootless namespaces",
        CLONE_NEWUSER | CLONE_NEWNET,
        "sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000 "
        "(AppArmor: kernel.apparmor_restrict_unprivileged_userns=0); until then the lab needs root",
    )
    yield _tun()


def capabilities() -> list[str]:
    """Effective capabilities of this process, of those that matter here."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("CapEff:"):
            bits = int(line.split()[1], 16)
            return [name for name, bit in CAPABILITIES.items() if bits >> bit & 1]
    return []


def _namespace(name: str, flags: int, mend: str) -> Finding:
    good, said = child.run(UNSHARE, hex(flags))
    return observed(
        TOPIC, name, good, "can be made" if good else f"refused: {said}", mend, usable=good
    )


def _tun() -> Finding:
    good = os.access("/dev/net/tun", os.R_OK | os.W_OK)
    return observed(
        TOPIC,
        "TUN/TAP",
        good,
        "/dev/net/tun is open to us" if good else "/dev/net/tun is missing or closed to us",
        "modprobe tun, and let the user read and write /dev/net/tun",
        usable=good,
    )
