"""The door: lines for a shell over TCP, with streams, exit codes, and an end to what was begun."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from weft.emulation.lab.workers import door

Words = Callable[[str], list[str]]
KEY = "0123456789abcdef" * 4


@pytest.fixture
def words(tmp_path: Path) -> Iterator[Words]:
    """The command that runs a line behind a door."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    opened = asyncio.run_coroutine_threadsafe(door.Door(KEY).open("127.0.0.1"), loop)
    port, key = opened.result(timeout=20), tmp_path / "key"
    key.write_text(KEY)
    yield lambda line: [sys.executable, "-I", "-S", door.__file__, "127.0.0.1", str(port), str(key),
                        line]  # fmt: skip
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=20)
    loop.close()


def shut(stranger: socket.socket) -> bool:
    """Whether the other end closes: with a reset, where it has not read all that was said."""
    try:
        return stranger.recv(1) == b""
    except ConnectionResetError:
        return True


def run(words: list[str], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(words, input=given, capture_output=True, timeout=60, check=False)


def test_streams_and_codes_pass(words: Words, seed: int) -> None:
    given = random.Random(seed).randbytes(3_000_000)
    done = run(words("cat; echo aside >&2; exit 3"), given)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(given).digest()
    assert done.stderr == b"aside\n" and done.returncode == 3
    assert run(words("kill -9 $$")).returncode == 128 + 9
    assert run(words("exec <&-; sleep 0.1; echo deaf"), given).stdout == b"deaf\n"


def test_strangers_are_shown_out(words: Words, tmp_path: Path) -> None:
    made = tmp_path / "made"
    command = words(f"touch {made}")
    (tmp_path / "key").write_text(KEY[::-1])
    done = run(command)
    assert done.returncode == door.NOT_RUN and not made.exists()
    with socket.create_connection((command[4], int(command[5])), 20) as stranger:
        stranger.settimeout(20)
        stranger.sendall(KEY.encode() + door.HEADER.pack(door.LINE, 2**32 - 1))
        assert shut(stranger)  # no line is so long
    (tmp_path / "key").write_text(KEY)
    assert run(command).returncode == 0 and made.exists()


def test_a_shut_door_is_named(words: Words) -> None:
    command = words("true")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        command[5] = str(unused.getsockname()[1])
        done = run(command)
    assert done.returncode == door.NOT_RUN and b"Connection refused" in done.stderr


def test_programs_end_with_their_caller(words: Words) -> None:
    caller = subprocess.Popen(
        words("sleep 1000 & echo $!; wait"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert caller.stdout is not None and caller.stdin is not None
    with caller.stdin, caller.stdout:
        program = Path(f"/proc/{int(caller.stdout.readline())}/stat")
        caller.kill()
        caller.wait(timeout=20)
        until = time.monotonic() + 20
        while program.exists() and program.read_text().split()[2] != "Z":
            assert time.monotonic() < until, "the program outlives its caller"
            time.sleep(0.02)
