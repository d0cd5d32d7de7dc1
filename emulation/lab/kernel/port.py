"""What one port of a kernel-made fabric does to the packets that leave by it.

tbf behind it gives the rate, but no program sees its backlog. So the program keeps a queue of its
own in mind: when the wire will be free (a phantom queue at the link's own rate). By it packets are
marked, dropped when the queue is full, or trimmed; losses and failures come first.

One entry of the map per port; all times in nanoseconds. `loss` is out of 2**32: that many or more
is a cut link. `per_byte` is out of 2**16.
"""

from __future__ import annotations

import socket

from weft.emulation.lab.kernel.bpf import Array, Code
from weft.emulation.lab.spec import WIRE_OVERHEAD

ENTRY = (
    "free",
    "loss",
    "per_byte",
    "limit",
    "mark",
    "keep",
    "lost",
    "dropped",
    "marked",
    "trimmed",
)
EVERY = 1 << 32
SCALE = 1 << 16
PASS, DROP = 0, 2

LOOKUP, CLOCK, RANDOM, STORE_BYTES, REPLACE_SUM = 1, 5, 7, 9, 10
LOAD_BYTES, CHANGE_TAIL, SET_CONGESTED = 26, 38, 97

# Where things are in a frame of Ethernet, IPv4 without options and UDP.
TYPE, FIRST, LENGTH, PROTOCOL, IP_SUM, UDP_LENGTH = 12, 14, 16, 23, 24, 38
ETHERNET, IPV4, UDP = 14, 20, 17
SKB, ENTRY_AT, NOW, FREE, STACK = 6, 7, 8, 9, 10
"""Registers that calls leave alone, and the frame pointer."""


def program(ports: Array, entry: int, keep: int) -> Code:
    """The program of one port. `keep`: bytes of a trimmed frame, where `keep` of the entry is not
    0."""
    code, at = Code(), ports.offset
    code.copy(SKB, 1)
    code.store_value(STACK, -4, entry, 4)
    code.copy(2, STACK)
    code.add(2, -4)
    code.map(1, ports.fd)
    code.call(LOOKUP)
    code.jump_if(0, "==", 0, "pass", value=True)
    code.copy(ENTRY_AT, 0)
    _losses(code, at("loss"), at("lost"))
    code.label("queue")
    code.load(1, ENTRY_AT, at("per_byte"))
    code.jump_if(1, "==", 0, "pass", value=True)
    code.call(CLOCK)
    code.copy(NOW, 0)
    code.load(FREE, ENTRY_AT, at("free"))
    code.jump_if(FREE, ">=", NOW, "busy", value=False)
    code.copy(FREE, NOW)
    code.label("busy")
    code.copy(1, FREE)
    code.calculate(1, "-", NOW)
    code.load(2, ENTRY_AT, at("limit"))
    code.jump_if(1, ">", 2, "full", value=False)
    code.load(2, ENTRY_AT, at("mark"))
    code.jump_if(2, "==", 0, "account", value=True)
    code.jump_if(1, "<=", 2, "account", value=False)
    code.copy(1, SKB)
    code.call(SET_CONGESTED)
    code.jump_if(0, "==", 0, "account", value=True)  # not ECN-capable
    code.count(ENTRY_AT, at("marked"))
    code.jump("account")
    code.label("full")
    code.load(1, ENTRY_AT, at("keep"))
    code.jump_if(1, "==", 0, "drop", value=True)
    _trim(code, keep)
    code.count(ENTRY_AT, at("trimmed"))
    code.label("account")
    code.load(1, SKB, 0, 4)  # __sk_buff.len
    code.add(1, WIRE_OVERHEAD)
    code.load(2, ENTRY_AT, at("per_byte"))
    code.calculate(1, "*", 2)
    code.shift_right(1, 16)
    code.calculate(FREE, "+", 1)
    code.store(ENTRY_AT, at("free"), FREE)
    code.label("pass")
    code.end(PASS)
    code.label("drop")
    code.count(ENTRY_AT, at("dropped"))
    code.end(DROP)
    return code


def _losses(code: Code, loss: int, lost: int) -> None:
    code.load(NOW, ENTRY_AT, loss)
    code.jump_if(NOW, "==", 0, "queue", value=True)
    code.call(RANDOM)
    code.jump_if(0, ">=", NOW, "queue", value=False)
    code.count(ENTRY_AT, lost)
    code.end(DROP)


def _trim(code: Code, keep: int) -> None:
    """Cut the payload of a UDP datagram in IPv4 off and mend lengths and sums; else drop."""
    code.load(1, SKB, 0, 4)
    code.jump_if(1, "<=", keep, "drop", value=True)
    for offset, size, wanted in (
        (TYPE, 2, socket.htons(0x0800)), (FIRST, 1, 0x45), (PROTOCOL, 1, UDP)
    ):  # fmt: skip
        _bytes(code, LOAD_BYTES, offset, size)
        code.jump_if(0, "!=", 0, "drop", value=True)
        code.load(1, STACK, -16, size)
        code.jump_if(1, "!=", wanted, "drop", value=True)
    _bytes(code, LOAD_BYTES, LENGTH, 2)
    code.jump_if(0, "!=", 0, "drop", value=True)
    code.copy(1, SKB)
    code.set(2, keep)
    code.set(3, 0)
    code.call(CHANGE_TAIL)
    code.jump_if(0, "!=", 0, "drop", value=True)
    code.copy(1, SKB)
    code.set(2, IP_SUM)
    code.load(3, STACK, -16, 2)
    code.set(4, socket.htons(keep - ETHERNET))
    code.set(5, 2)
    code.call(REPLACE_SUM)
    code.store_value(STACK, -16, socket.htons(keep - ETHERNET), 2)
    _bytes(code, STORE_BYTES, LENGTH, 2)
    code.store_value(STACK, -16, socket.htons(keep - ETHERNET - IPV4), 2)
    code.store_value(STACK, -14, 0, 2)  # no checksum (RFC 768)
    _bytes(code, STORE_BYTES, UDP_LENGTH, 4)


def _bytes(code: Code, helper: int, offset: int, size: int) -> None:
    """Between the frame and the stack, 16 bytes below its top."""
    code.copy(1, SKB)
    code.set(2, offset)
    code.copy(3, STACK)
    code.add(3, -16)
    code.set(4, size)
    code.set(5, 0)
    code.call(helper)
