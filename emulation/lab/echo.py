"""ICMP echo (RFC 792) from many hosts at once, over raw sockets that live in their namespaces."""

from __future__ import annotations

import os
import select
import socket
import struct
import time

HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
REQUEST, REPLY = 8, 0
PAYLOAD = bytes(56)
SO_TIMESTAMPNS = 35
BURST = 64
"""Requests that are sent before answers are looked at."""


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _request(identifier: int, sequence: int) -> bytes:
    head = HEADER.pack(REQUEST, 0, 0, identifier, sequence)
    head = HEADER.pack(REQUEST, 0, _checksum(head + PAYLOAD), identifier, sequence)
    return head + PAYLOAD


def ping(
    pairs: list[tuple[socket.socket, str]], count: int, interval: float, timeout: float
) -> list[list[float | None]]:
    """`count` echo requests for each (socket, address), `interval` seconds between rounds.

    Returns the round-trip times in seconds, None where no answer came within `timeout`. The
    arrival is stamped by the kernel; pairs are told apart by identifier.
    """
    if len(pairs) > 0xFFFF:
        raise ValueError(f"{len(pairs)} pairs are too many for one call; 65,535 fit")
    results: list[list[float | None]] = [[None] * count for _ in pairs]
    sent = [[0.0] * count for _ in pairs]
    poll = select.poll()
    by_fd = {}
    for used, _ in pairs:
        if used.fileno() not in by_fd:
            used.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            used.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            used.setblocking(False)
            by_fd[used.fileno()] = used
            poll.register(used, select.POLLIN)
    base = os.getpid() & 0xFFFF
    waiting = 0

    def collect(wait: float) -> None:
        nonlocal waiting
        for fd, _ in poll.poll(max(0.0, wait) * 1000):
            while True:
                try:
                    data, control, _, _ = by_fd[fd].recvmsg(2048, 64)
                except BlockingIOError:
                    break
                ip = (data[0] & 15) * 4
                kind, _, _, identifier, sequence = HEADER.unpack_from(data, ip)
                pair = identifier - base & 0xFFFF
                if kind != REPLY or pair >= len(pairs) or sequence >= count:
                    continue
                if pairs[pair][0].fileno() != fd or results[pair][sequence] is not None:
                    continue
                seconds, nanos = struct.unpack_from("qq", control[0][2])
                results[pair][sequence] = seconds + nanos * 1e-9 - sent[pair][sequence]
                waiting -= 1

    for sequence in range(count):
        began = time.monotonic()
        for number, (used, address) in enumerate(pairs):
            packet = _request(base + number & 0xFFFF, sequence)
            sent[number][sequence] = time.time()
            try:
                used.sendto(packet, (address, 0))
                waiting += 1
            except OSError:
                continue  # no way there: as good as lost
            if number % BURST == BURST - 1:
                collect(0)
        last = sequence + 1 == count
        until = began + (timeout if last else interval)
        while (left := until - time.monotonic()) > 0 and not (last and waiting == 0):
            collect(left)
    return results
