"""What one asks of a network first: who reaches whom, how soon, and how much gets through."""

from __future__ import annotations

import itertools
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from weft.emulation.lab.fabric import ANSWER_DEADLINE
from weft.emulation.lab.host import Host

PINGS_AT_ONCE = 2048


def ping(
    source: Host, address: str, count: int, interval: float, timeout: float
) -> list[float | None]:
    """Round-trip times of ICMP echoes to an IPv4 address in seconds; None: lost."""
    if source.machine is not None:
        return _ping_inside(source, address, count, interval, timeout)
    deadline = count * (interval + timeout) + ANSWER_DEADLINE
    times: list[list[float | None]] = source.ask(
        "ping", [(source.number, address)], count, interval, timeout, deadline=deadline
    )
    return times[0]


def ping_all(hosts: Sequence[Host], timeout: float) -> dict[tuple[str, str], float | None]:
    """An echo between every pair in both directions: seconds, None for lost ones."""
    pairs = []
    answers: dict[tuple[str, str], float | None] = {}
    for a, b in itertools.permutations(hosts, 2):
        if a.machine is None:
            pairs.append((a, b))
        else:
            answers[a.name, b.name] = ping(a, b.ip, 1, 0.0, timeout)[0]
    pairs.sort(key=lambda pair: pair[0].where)
    for _, group in itertools.groupby(pairs, lambda pair: pair[0].where):
        for some in _blocks(list(group), PINGS_AT_ONCE):
            asked = [(a.number, b.ip) for a, b in some]
            times = some[0][0].ask("ping", asked, 1, 0.0, timeout)
            answers |= {(a.name, b.name): t[0] for (a, b), t in zip(some, times, strict=True)}
    return answers


def stream(source: Host, sink: Host, seconds: float) -> float:
    """Bit/s that one TCP stream carries; the first tenth of the time does not count."""
    with sink.socket() as listener:
        listener.bind((sink.ip, 0))
        listener.listen()
        with source.socket() as sender:
            sender.settimeout(5.0)
            listener.settimeout(5.0)
            sender.connect(listener.getsockname())
            receiver, _ = listener.accept()
            with receiver:
                return _stream(sender, receiver, seconds)


def _blocks(items: list[Any], size: int) -> Iterator[list[Any]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]


def _ping_inside(
    source: Host, address: str, count: int, interval: float, timeout: float
) -> list[float | None]:
    """As ping, by the program of that name: a virtual machine has a kernel of its own."""
    line = ["ping", "-n", "-c", str(count), "-i", str(interval), "-W", str(timeout), address]
    deadline = count * (interval + timeout) + ANSWER_DEADLINE
    said = source.run(line, timeout=deadline, check=False).stdout
    times: list[float | None] = [None] * count
    for sequence, milliseconds in re.findall(r"icmp_seq=(\d+) .*time=([\d.]+) ms", said):
        if int(sequence) <= count:
            times[int(sequence) - 1] = float(milliseconds) * 1e-3
    return times


def _stream(sender: socket.socket, receiver: socket.socket, seconds: float) -> float:
    """Bit/s from one socket to the other."""
    stop = threading.Event()

    def send() -> None:
        block = bytes(1 << 20)
        try:
            while not stop.is_set():
                sender.send(block)
        except OSError:
            pass  # the other end has heard enough

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    receiver.settimeout(seconds + 5.0)
    buffer = bytearray(1 << 20)
    began = time.monotonic()
    warm, counted = began + seconds / 10, 0
    since = began
    for _ in itertools.count():
        got = receiver.recv_into(buffer)
        now = time.monotonic()
        if now < warm:
            since = now
            continue
        counted += got
        if now > began + seconds or not got:
            break
    stop.set()
    receiver.close()
    thread.join(timeout=6)
    return counted * 8 / max(now - since, 1e-9)
