"""Programs through one byte stream, with the agent beside us and not in a machine."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.emulation.lab.machine import session
from weft.emulation.lab.machine.session import Frames, Switchboard, pack

Start = Callable[..., subprocess.Popen[Any]]
DEADLINE = 60.0


@pytest.fixture
def board() -> Iterator[Switchboard]:
    ours, theirs = socket.socketpair()
    with theirs:
        agent = subprocess.Popen(
            [sys.executable, session.__file__, "agent", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
        )
    made = Switchboard(ours)
    try:
        assert made.ready.wait(DEADLINE)
        yield made
    finally:
        made.close()
        assert agent.wait(DEADLINE) == 0  # it goes when we hang up


@pytest.fixture
def start(board: Switchboard) -> Start:
    def popen(*words: str, **options: Any) -> subprocess.Popen[Any]:
        with board.attach() as channel:
            return subprocess.Popen(
                [sys.executable, session.__file__, "exec", str(channel.fileno()), *words],
                pass_fds=[channel.fileno()],
                stdin=options.pop("stdin", subprocess.PIPE),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                **options,
            )

    return popen


def test_streams_and_exit_code_are_the_programs(start: Start) -> None:
    program = start("sh", "-c", "cat; echo oops >&2; exit 3")
    assert program.communicate(b"hello", DEADLINE) == (b"hello", b"oops\n")
    assert program.returncode == 3


def test_large_input_comes_back_whole(start: Start, seed: int) -> None:
    data = bytes((seed * i >> 7) & 255 for i in range(3_000_000))
    program = start("cat")
    assert program.communicate(data, DEADLINE)[0] == data


def test_a_signal_to_the_one_outside_reaches_the_one_inside(start: Start) -> None:
    wait = "trap 'echo caught; exit 5' TERM; echo up; while :; do sleep 0.01; done"
    program = start("sh", "-c", wait)
    assert program.stdout and program.stdout.readline() == b"up\n"
    program.terminate()
    assert program.communicate(timeout=DEADLINE)[0] == b"caught\n"
    assert program.returncode == 5


def test_death_by_a_signal_is_told_as_such(start: Start) -> None:
    program = start("sh", "-c", "kill -9 $$")
    program.communicate(timeout=DEADLINE)
    assert program.returncode == -signal.SIGKILL


def test_killing_the_one_outside_kills_the_one_inside(start: Start) -> None:
    program = start("sh", "-c", "echo $$; sleep 1000")
    assert program.stdout
    inside = os.pidfd_open(int(program.stdout.readline()))  # readable when it is dead
    program.kill()
    program.communicate(timeout=DEADLINE)
    assert select.select([inside], [], [], DEADLINE)[0], "it still runs"
    os.close(inside)


def test_a_program_that_is_not_there_is_named(start: Start) -> None:
    program = start("no-such-program")
    assert b"no-such-program" in program.communicate(timeout=DEADLINE)[1]
    assert program.returncode == session.NOT_FOUND


def test_a_program_whose_output_nobody_reads_holds_up_no_other(start: Start) -> None:
    silent = start("sh", "-c", "yes | head -c 30000000; echo end >&2")
    quick = start("echo", "hello")
    assert quick.communicate(timeout=DEADLINE)[0] == b"hello\n"
    assert len(silent.communicate(timeout=DEADLINE)[0]) == 30_000_000


def test_when_the_machine_goes_its_programs_end(board: Switchboard, start: Start) -> None:
    program = start("sh", "-c", "echo up; sleep 1000")
    assert program.stdout and program.stdout.readline() == b"up\n"
    board.close()
    _, said = program.communicate(timeout=DEADLINE)
    assert program.returncode == -signal.SIGKILL
    assert b"the machine has stopped" in said


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 6), st.binary(max_size=300))),
    st.integers(1, 50),
)
def test_frames_survive_any_cut(frames: list[tuple[int, int, bytes]], step: int) -> None:
    stream = b"".join(pack(*frame) for frame in frames)
    reader = Frames()
    got = [f for at in range(0, len(stream), step) for f in reader.feed(stream[at : at + step])]
    assert got == frames
