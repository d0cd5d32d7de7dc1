"""The program on every host of `weft lab run`: plays one host's part of a workload.

`python -m weft.emulation.lab.player`: on standard input a Part comes in, on standard output an
address goes out, all addresses come in, "ready" goes out, the common time of the start comes in
(for hosts with a clock of their own: in how many seconds), and in the end Played goes out.
"""

from __future__ import annotations

import heapq
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

from weft.emulation.lab.carriers import Carrier, TcpCarrier, WeftCarrier
from weft.emulation.lab.parts import Part, Played

IDLE = 0.01
"""Longest wait for something to end before the clock is looked at again, seconds."""


def main() -> int:
    lab = Connection(os.dup(0), writable=False)
    answers = Connection(os.dup(1), readable=False)
    os.dup2(2, 1)  # whatever else writes to standard output
    part: Part = lab.recv()
    carrier: Carrier
    if part.carrier == "tcp":
        carrier = TcpCarrier(part.ip)
    elif part.carrier == "gloo":
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # hosts of a lab have no names
        from weft.emulation.lab.gloo_carrier import GlooCarrier

        carrier = GlooCarrier(part.ip)
    else:
        carrier = WeftCarrier(part.group, part.ip, part.options, part.datapath)
    answers.send(carrier.address)
    played = Played()
    try:
        carrier.connect(part.host, lab.recv(), part.peers)
        answers.send("ready")
        start = lab.recv()
        with measured(played):
            play(part, carrier, start + (time.monotonic() if part.own_clock else 0.0), played)
        played.stats = carrier.stats()
    except EOFError:
        return 1
    except Exception as error:
        played.error = f"{type(error).__name__}: {error}"
    answers.send(played)
    # Others may still need our acknowledgements: the lab hangs up when all are done.
    lab.poll(part.limit)
    return 0


@contextmanager
def measured(played: Played) -> Iterator[None]:
    """Note how long this program's threads ran meanwhile, and how long they waited for a CPU."""
    began, (ran, waited) = time.monotonic(), _scheduled()
    try:
        yield
    finally:
        took = max(time.monotonic() - began, 1e-9)
        now_ran, now_waited = _scheduled()
        played.computed, played.waited = (now_ran - ran) / took, (now_waited - waited) / took


def _scheduled() -> tuple[float, float]:
    """Seconds on a CPU, seconds of waiting for one: of all threads (proc(5), schedstat)."""
    ran = waited = 0
    for file in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError):  # kernels without it; threads that end meanwhile
            on, off, _ = map(int, file.read_text(encoding="ascii").split())
            ran, waited = ran + on, waited + off
    return ran * 1e-9, waited * 1e-9


def play(part: Part, carrier: Carrier, start: float, played: Played) -> None:
    """Run all items; `start` is a time of time.monotonic, which all hosts share."""
    me = part.host
    mine = {item.number: item for item in part.items if item.source == me}
    waits = {number: set(item.after) for number, item in mine.items()}
    followers: defaultdict[int, list[int]] = defaultdict(list)
    for number, before in waits.items():
        for other in before:
            followers[other].append(number)
    due: list[tuple[float, int]] = []  # by time: items whose predecessors have ended
    open_items = set()
    for item in part.items:
        open_items.add(item.number)
        if item.source != me:
            carrier.expect(item.number, item.source, item.size)
    for number, before in waits.items():
        if not before:
            heapq.heappush(due, (mine[number].start + mine[number].delay, number))

    def end(number: int, now: float) -> None:
        played.ended[number] = now
        open_items.discard(number)
        for follower in followers[number]:
            waits[follower].discard(number)
            if not waits[follower]:
                item = mine[follower]
                heapq.heappush(due, (max(now, item.start) + item.delay, follower))

    while (wait := start - time.monotonic()) > 0:
        time.sleep(wait)
    while open_items:
        now = time.monotonic() - start
        if now > part.limit:
            return
        while due and due[0][0] <= now:
            at, number = heapq.heappop(due)
            item = mine[number]
            if item.destination == me:
                played.started[number] = at - item.delay
                end(number, now)
            else:
                played.started[number] = now
                carrier.send(number, item.destination, item.size)
        wait = min(IDLE, due[0][0] - now) if due else IDLE
        for number in carrier.completions(max(0.0, wait)):
            end(number, time.monotonic() - start)


if __name__ == "__main__":
    sys.exit(main())
