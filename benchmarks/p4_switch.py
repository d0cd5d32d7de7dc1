"""Speed of compiled P4 programs: packets per second in process, and time to the first packet.

    python benchmarks/p4_switch.py [--seconds 1]

One core; the packets and entries are those of each program's STF test, the packets padded to 64 and
256 bytes. The best of five runs is printed, since the machine is shared. Goals: the router at
2 million packets/s, none below 500,000; source to first packet below 3 s with an empty cache.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from weft.p4.switch import Switch
from weft.p4.switch.stf import run_file

PROGRAMS = Path(__file__).parent.parent / "p4" / "programs"


def first_packet(program: Path) -> float:
    """Seconds from reading the source to the first packet, nothing cached."""
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


def sample(test: Path) -> tuple[int, bytes]:
    """The first packet of a test that something is expected of."""
    lines = [line.split() for line in test.read_text().splitlines()]
    for line, after in itertools.pairwise(lines):
        if line[:1] == ["packet"] and after[:1] == ["expect"]:
            return int(line[1]), bytes.fromhex("".join(line[2:]))
    raise SystemExit(f"{test} expects no packet")


def rate(switch: Switch, port: int, packet: bytes, seconds: float) -> float:
    rounds = 20_000
    best = 0.0
    for _ in range(5):
        start = time.perf_counter()
        done = 0
        while time.perf_counter() - start < seconds / 5:
            switch.send_many(port, [packet], rounds)
            done += rounds
        best = max(best, done / (time.perf_counter() - start))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="per figure")
    seconds = parser.parse_args().seconds
    table = Table("program", "64 B, packets/s", "256 B, packets/s", "source to first packet")
    for program in sorted(PROGRAMS.glob("*.p4")):
        test = program.with_suffix(".stf")
        with Switch.load(program) as switch:
            run_file(switch, test)
            port, packet = sample(test)
            rates = [rate(switch, port, packet.ljust(n, b"\0"), seconds) for n in (64, 256)]
        table.add_row(program.stem, *(f"{r:,.0f}" for r in rates), f"{first_packet(program):.2f} s")
    Console().print(table)


if __name__ == "__main__":
    main()
