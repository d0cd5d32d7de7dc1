"""Speed of compiled P4 programs: packets per second in process, and time to the first packet.

One core. The packet is the first of a program's STF test that something is expected of, with the
test's entries in place, padded to each size. Of several rounds the best counts, since what others
do on the machine can only slow one down. bmv2's own documentation gives about 80,000 packets/s for
its simple router.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import weft.p4
from weft.bench.report import Figures
from weft.p4.switch import Switch
from weft.p4.switch.stf import run_file

PROGRAMS = Path(weft.p4.__file__).parent / "programs"
ROUTER_RATE, ANY_RATE, FIRST_PACKET = 2e6, 5e5, 3.0
_BATCH = 10_000


@dataclass(frozen=True)
class Row:
    """What one program did; `rates` are packets/s by packet size in bytes."""

    program: str
    rates: dict[int, float]
    first_packet: float
    """Seconds from source to first packet, nothing cached."""

    @property
    def goal(self) -> float:
        return ROUTER_RATE if self.program == "router" else ANY_RATE

    @property
    def holds(self) -> bool:
        """Are the goals reached: the router's rate or any program's, and the start?"""
        return min(self.rates.values()) >= self.goal and self.first_packet < FIRST_PACKET


def measure(
    sizes: Sequence[int], rounds: int, seconds: float, tell: Callable[[str], None]
) -> list[Row]:
    """One row per sample program. Raises `CompilerError` without a C compiler."""
    rows = []
    for program in programs():
        tell(program.stem)
        test = program.with_suffix(".stf")
        with Switch.load(program) as switch:
            run_file(switch, test)
            port, packet = sample(test)
            rates = {n: rate(switch, port, packet.ljust(n, b"\0"), rounds, seconds) for n in sizes}
        starts = [first_packet(program) for _ in range(min(rounds, 2))]
        rows.append(Row(program.stem, rates, min(starts)))
    return rows


def programs() -> list[Path]:
    """The sample programs that have an STF test."""
    return sorted(p for p in PROGRAMS.glob("*.p4") if p.with_suffix(".stf").exists())


def sample(test: Path) -> tuple[int, bytes]:
    """Port and bytes of the first packet of an STF file that something is expected of."""
    lines = [line.split() for line in test.read_text(encoding="utf-8").splitlines()]
    for line, after in itertools.pairwise(lines):
        if line[:1] == ["packet"] and after[:1] == ["expect"]:
            return int(line[1]), bytes.fromhex("".join(line[2:]))
    raise ValueError(f"{test} expects no packet")


def rate(switch: Switch, port: int, packet: bytes, rounds: int, seconds: float) -> float:
    """Packets per second, the best of the rounds of so many seconds."""
    best = 0.0
    for _ in range(rounds):
        start, done, spent = time.perf_counter(), 0, 0.0
        while spent < seconds:
            switch.send_many(port, [packet], _BATCH)
            done += _BATCH
            spent = time.perf_counter() - start
        best = max(best, done / spent)
    return best


def first_packet(program: Path) -> float:
    """Seconds from reading the source to the first packet, with an empty cache."""
    before = os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        try:
            start = time.perf_counter()
            with Switch.load(program) as switch:
                switch.send(0, bytes(64))
                return time.perf_counter() - start
        finally:
            del os.environ["XDG_CACHE_HOME"]
            if before is not None:
                os.environ["XDG_CACHE_HOME"] = before


def table(rows: Sequence[Row]) -> Figures:
    """Title, columns and cells, as `weft bench` shows and records them."""
    sizes = list(rows[0].rates) if rows else []
    columns = [
        "program",
        *(f"{n} B, packets/s" for n in sizes),
        "goal",
        "source to packet",
        "holds",
    ]
    cells = [
        [row.program, *(f"{row.rates[n]:,.0f}" for n in sizes), f"{row.goal:,.0f}",
         f"{row.first_packet:.2f} s", "yes" if row.holds else "NO"]
        for row in rows
    ]  # fmt: skip
    return "One core, in process", columns, cells
