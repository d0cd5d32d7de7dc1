"""What a lab does to packets, measured from outside: by sockets of its hosts and the kernel's own
time stamps, never by the fabric's account of itself.

Departures are stamped where a frame leaves the sender's interface, arrivals where the kernel takes
it at the receiver's (SO_TIMESTAMPING, SO_TIMESTAMPNS): programs that had to wait for a CPU do not
count as delay of the network.
"""

from __future__ import annotations

import math
import socket
import statistics
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from weft.emulation.lab.lab import Lab

HEADERS = 42
"""Ethernet, IPv4 and UDP."""
WIRE = 24
"""Preamble, check sequence and gap."""
SO_TIMESTAMPING, SO_TIMESTAMPNS, MSG_ERRQUEUE = 37, 35, 0x2000
TX_SOFTWARE, REPORT_SOFTWARE, NUMBERED, STAMP_ONLY = 1 << 1, 1 << 4, 1 << 7, 1 << 11
IP_RECVERR, IP_RECVTOS, UDP_SEGMENT = 11, 13, 103
WINDOW = 32
"""Packets between two looks at the clock, of which a rate is made."""
TRAIN = 8
"""Packets per system call where a program must be faster than a link."""
ROOM = 8 << 20
QUIET = 0.5
"""Seconds without a packet after which none is expected."""
BURST = 20
"""Packets between looks at the clock."""


@dataclass(frozen=True)
class Arrival:
    """A datagram: its number, the kernel's time (CLOCK_REALTIME, s), its ECN bits."""

    number: int
    at: float
    ecn: int


@contextmanager
def datagrams(lab: Lab, a: str, b: str, ecn: int = 0) -> Iterator[tuple[socket.socket, ...]]:
    """A UDP socket on each host, connected from the first to the second."""
    with lab[b].socket(kind=socket.SOCK_DGRAM) as receiver:
        receiver.bind((lab[b].ip, 0))
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        receiver.setsockopt(socket.IPPROTO_IP, IP_RECVTOS, 1)
        with lab[a].socket(kind=socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, ecn)
            flags = TX_SOFTWARE | REPORT_SOFTWARE | NUMBERED | STAMP_ONLY
            sender.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, flags)
            sender.connect(receiver.getsockname())
            yield sender, receiver


def arrivals(receiver: socket.socket, quiet: float = QUIET) -> list[Arrival]:
    """All datagrams until none comes for a while."""
    receiver.settimeout(quiet)
    found = []
    with suppress(TimeoutError):
        while True:
            data, control, _, _ = receiver.recvmsg(16, 128)
            at, ecn = math.nan, 0
            for level, kind, value in control:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                    seconds, nanos = struct.unpack("=qq", value[:16])
                    at = seconds + nanos * 1e-9
                elif level == socket.IPPROTO_IP and kind == socket.IP_TOS:
                    ecn = value[0] & 3
            found.append(Arrival(struct.unpack_from("!I", data)[0], at, ecn))
    return found


def departures(sender: socket.socket) -> dict[int, float]:
    """When each datagram left its host: kernel's time by number (in order of sending)."""
    stamps: dict[int, float] = {}
    sender.settimeout(0)
    with suppress(BlockingIOError):
        while True:
            _, control, _, _ = sender.recvmsg(0, 256, MSG_ERRQUEUE)
            at, number = math.nan, None
            for level, kind, value in control:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPING:
                    seconds, nanos = struct.unpack("=qq", value[:16])
                    at = seconds + nanos * 1e-9
                elif level == socket.IPPROTO_IP and kind == IP_RECVERR:
                    number = struct.unpack_from("=IBBBxII", value)[5]
            if number is not None:
                stamps[number] = at
    return stamps


def send(sender: socket.socket, count: int, size: int, per_second: float) -> None:
    """Numbered datagrams of `size` bytes at a steady pace, in small bursts when pressed."""
    rest = bytes(size - 4)
    began = time.monotonic()
    sender.settimeout(5.0)
    for number in range(count):
        due = began + number / per_second
        if (ahead := due - time.monotonic()) > 0:
            time.sleep(ahead)
        sender.send(struct.pack("!I", number) + rest)


def delays(lab: Lab, a: str, b: str, count: int, per_second: float, size: int = 100) -> list[float]:
    """One-way delays of datagrams from `a` to `b` in seconds, in order of size."""
    with datagrams(lab, a, b) as (sender, receiver):
        left: dict[int, float] = {}
        for at in range(0, count, BURST):
            send(sender, min(BURST, count - at), size, per_second)
            stamps = departures(sender)
            left |= stamps
        came = arrivals(receiver)
    order = [arrival for arrival in came if not math.isnan(arrival.at)]
    # Nothing is lost or reordered on an idle fabric: the nth to arrive is the nth sent.
    if len(order) != count or len(left) != count:
        raise RuntimeError(f"{len(left)} of {count} were stamped, {len(order)} arrived")
    return sorted(arrival.at - left[n] for n, arrival in enumerate(order))


def rate(lab: Lab, a: str, b: str, offered: float, seconds: float, size: int = 1400) -> float:
    """Bit/s on the wire at which `b` gets what `a` sends at `offered` bit/s, in small trains.

    The median over windows: in some of them the sender, for want of a CPU, may have sent nothing.
    """
    wire = size + HEADERS + WIRE
    with datagrams(lab, a, b) as (sender, receiver):
        sender.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, 0)  # nobody reads them
        sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
        per_second = offered / 8 / wire / TRAIN
        send(sender, round(seconds * per_second), size * TRAIN, per_second)
        came = arrivals(receiver)
    if len(came) <= 2 * WINDOW:
        raise RuntimeError(f"{len(came)} packets arrived, which is too few to tell a rate")
    pairs = zip(came, came[WINDOW:], strict=False)
    return WINDOW * wire * 8 / statistics.median(last.at - first.at for first, last in pairs)


def lost(lab: Lab, a: str, b: str, count: int, per_second: float) -> int:
    """How many of so many datagrams do not arrive."""
    with datagrams(lab, a, b) as (sender, receiver):
        send(sender, count, 100, per_second)
        return count - len(arrivals(receiver))


def first_marked(lab: Lab, a: str, b: str, count: int, size: int = 1000) -> int | None:
    """The number of the first datagram of one burst that bears a congestion mark."""
    with datagrams(lab, a, b, ecn=2) as (sender, receiver):
        send(sender, count, size, math.inf)
        marked = [arrival.number for arrival in arrivals(receiver) if arrival.ecn == 3]
    return min(marked, default=None)


def tcp_shares(lab: Lab, flows: int, seconds: float) -> list[float]:
    """Bit/s of payload that each of hosts 1 .. flows gets through to host 0 in the second half."""
    stop = threading.Event()
    counts = [0] * flows
    with lab["h0"].socket() as listener:
        listener.bind((lab["h0"].ip, 0))
        listener.listen(flows)
        listener.settimeout(10)
        ends = []
        for number in range(flows):
            sender = lab[f"h{number + 1}"].socket()
            sender.settimeout(10)
            sender.connect(listener.getsockname())
            receiver, _ = listener.accept()
            receiver.settimeout(10)
            ends.append((sender, receiver))

    def push(sender: socket.socket) -> None:
        block = bytes(1 << 16)
        try:
            while not stop.is_set():
                sender.send(block)
        except OSError:
            pass  # the other end was closed

    def pull(number: int, receiver: socket.socket) -> None:
        buffer = bytearray(1 << 16)
        try:
            while not stop.is_set():
                counts[number] += receiver.recv_into(buffer)
        except OSError:
            pass

    threads = [
        threading.Thread(target=body, args=args, daemon=True)
        for number, (sender, receiver) in enumerate(ends)
        for body, args in ((push, (sender,)), (pull, (number, receiver)))
    ]
    for thread in threads:
        thread.start()
    stop.wait(seconds / 2)
    before = list(counts)
    stop.wait(seconds / 2)
    after = list(counts)
    stop.set()
    for pair in ends:
        for end in pair:
            end.shutdown(socket.SHUT_RDWR)
            end.close()
    for thread in threads:
        thread.join(10)
    return [(b - a) * 8 / (seconds / 2) for a, b in zip(before, after, strict=True)]


def jain(shares: Sequence[float]) -> float:
    """Jain's fairness index: 1 for equal shares, 1/n when one has all."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0


def binomial_bounds(count: int, share: float, deviations: float = 5.0) -> tuple[float, float]:
    """Between which numbers of successes a fair process stays but once in a million times."""
    middle, spread = count * share, deviations * math.sqrt(count * share * (1 - share))
    return middle - spread, middle + spread
