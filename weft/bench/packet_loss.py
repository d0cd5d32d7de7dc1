"""Random loss on a link of a network namespace: an eBPF program at its ingress (tc, clsact).

Kernels of containers often lack netem and the drop action of tc, but every one that can attach a
classifier with direct action can run these six instructions.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import struct
import subprocess
import sys

from weft.bench.libraries import Unavailable

_BPF_PROG_LOAD = 5
_PROG_TYPE_SCHED_CLS = 3
_SYSCALL = {"x86_64": 321, "aarch64": 280}
_INGRESS = 0xFFFFFFF2


def program(probability: float) -> bytes:
    """Instructions that drop a packet with this probability (0 .. 0.5) and pass the others."""
    if not 0 <= probability <= 0.5:
        raise ValueError(f"the probability of a loss lies in 0 .. 0.5, not {probability}")
    instructions = (  # opcode, registers, offset, immediate
        (0x85, 0, 0, 7),  # call bpf_get_prandom_u32
        (0xA5, 0, 2, round(probability * (1 << 32))),  # if r0 < ... skip two
        (0xB7, 0, 0, 0),  # r0 = TC_ACT_OK
        (0x95, 0, 0, 0),  # exit
        (0xB7, 0, 0, 2),  # r0 = TC_ACT_SHOT
        (0x95, 0, 0, 0),  # exit
    )
    return b"".join(struct.pack("<BBhI", *instruction) for instruction in instructions)


def load(instructions: bytes) -> int:
    """Give a program to the kernel; returns its file descriptor. Raises Unavailable."""
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise Unavailable(f"no number of the bpf system call for {platform.machine()}")
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    attributes = struct.pack(
        "<IIQQIIQII16s",
        _PROG_TYPE_SCHED_CLS,
        len(instructions) // 8,
        ctypes.addressof(code),
        ctypes.addressof(licence),
        *(0, 0, 0, 0, 0),
        b"weft_loss",
    )
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(number, _BPF_PROG_LOAD, attributes, len(attributes))
    if fd < 0:
        raise Unavailable(f"bpf(BPF_PROG_LOAD): {os.strerror(ctypes.get_errno())}")
    return int(fd)


def attach(namespace: str, device: str, probability: float) -> None:
    """Packets that arrive at `device` are lost with this probability from now on.

    The device's peer should send single packets (gso_max_segs 1), for a train counts as one.
    Raises Unavailable without pyroute2 or when the kernel refuses.
    """
    inside = ["ip", "netns", "exec", namespace, sys.executable, "-P", "-m", __name__]
    command = [*inside, device, str(probability)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["it says nothing"]
        raise Unavailable(f"no eBPF filter on {device}: {said[-1]}")


def _attach_here(device: str, probability: float) -> None:
    """In the namespace of this process."""
    from pyroute2 import IPRoute

    index = socket.if_nametoindex(device)
    fd = load(program(probability))
    with IPRoute() as kernel:
        kernel.tc("add", "clsact", index)
        kernel.tc(
            "add-filter",
            "bpf",
            index,
            ":1",
            fd=fd,
            name="weft_loss",
            parent=_INGRESS,
            classid=1,
            direct_action=True,
        )


if __name__ == "__main__":
    _attach_here(sys.argv[1], float(sys.argv[2]))
