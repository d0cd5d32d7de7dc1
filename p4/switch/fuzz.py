"""Malformed packets for a program built with the address and undefined-behaviour sanitizers.

The packets of the program's STF file are the seeds: each fuzzed packet is one of them with bytes
changed and the end cut off, or noise. Every packet lies in memory of its own size, so a read beyond
its end stops the run with the sanitizer's report. The sanitizer's library must be loaded before
Python, so `fuzz` starts a process of its own (`python -m weft.p4.switch.fuzz`).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

from weft.p4.switch.build import CompilerError, compiler
from weft.p4.switch.stf import run_file
from weft.p4.switch.switch import Switch

_BATCH = 2000
_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)


class FuzzFailed(RuntimeError):
    """The sanitizer found something, or the run did not end; the text is its report."""


def sanitizer() -> Path:
    """The compiler's libasan; raises `CompilerError` when it has none."""
    cc = compiler()[0]
    try:
        found = subprocess.run(
            [cc, "-print-file-name=libasan.so"], capture_output=True, text=True, timeout=30,
            check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError) as problem:
        raise CompilerError(f"{cc} does not say where its libasan.so is: {problem}") from problem
    if not Path(found).is_absolute():
        raise CompilerError(f"{cc} has no libasan.so; install its sanitizers or set $CC")
    return Path(found).resolve()


def fuzz(program: Path, packets: int, seed: int = 1, deadline_s: float = 3600) -> int:
    """Runs that many packets; returns how many left. Raises `FuzzFailed`, `CompilerError`."""
    environment = {
        **os.environ,
        "LD_PRELOAD": str(sanitizer()),
        "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=16",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    command = [sys.executable, "-P", "-m", __name__, str(program), str(packets), str(seed)]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=deadline_s,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as problem:
        raise FuzzFailed(f"{program}: the run took longer than {deadline_s:g} s") from problem
    if done.returncode:
        raise FuzzFailed(f"{program}: {(done.stderr or done.stdout).strip()[-4000:]}")
    return int(done.stdout.rsplit(None, 1)[-1])


def seeds(test: Path) -> list[tuple[int, bytes]]:
    """The packets of an STF file, with their ports."""
    lines = (line.split("#", 1)[0].split() for line in test.read_text("utf-8").splitlines())
    packets = [words for words in lines if words[:1] == ["packet"]]
    return [(int(words[1], 0), bytes.fromhex("".join(words[2:]))) for words in packets]


def mutated(rng: random.Random, given: list[bytes]) -> bytes:
    """One fuzzed packet."""
    if rng.random() < 0.1 or not given:
        return rng.randbytes(rng.randrange(300))
    data = bytearray(rng.choice(given))
    for _ in range(rng.randrange(4)):
        if data:
            value = rng.choice(_INTERESTING) if rng.random() < 0.7 else rng.randrange(256)
            data[rng.randrange(len(data))] = value
    if rng.random() < 0.4:
        del data[rng.randrange(len(data) + 1) :]
    return bytes(data)


def _run(program: Path, packets: int, seed: int) -> int:
    rng = random.Random(f"{program.name} {seed}")
    test = program.with_suffix(".stf")
    with Switch.load(program, sanitize=True) as switch:
        given: list[bytes] = []
        ports = [0]
        if test.exists():
            run_file(switch, test, upstream=True)  # for its entries
            ports, given = [p for p, _ in seeds(test)], [data for _, data in seeds(test)]
        left = 0
        for done in range(0, packets, _BATCH):
            batch = [mutated(rng, given) for _ in range(min(_BATCH, packets - done))]
            port = rng.choice(ports) if rng.random() < 0.8 else rng.randrange(512)
            left += switch.send_many(port, batch)
    return left


if __name__ == "__main__":
    print("left", _run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
