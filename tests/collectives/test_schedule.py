"""The schedule DSL: what it writes is the native value, the verifier judges it, an interpreter of
our own runs it on numbers."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.collectives.explain import explain
from weft.collectives.schedule import (
    CostModel,
    Rank,
    Schedule,
    Slice,
    algorithms,
    builtin,
    collectives,
    schedule,
)
from weft.transport.errors import BadSchedule, InvalidArgument

EXAMPLE = Path(__file__).parents[2] / "examples" / "schedules" / "grid_all_reduce.py"


def load_example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("grid_all_reduce", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_all_reduce(value: Schedule, inputs: np.ndarray) -> np.ndarray:
    """Runs every rank's steps in the order written; a rank that must wait lets others go on.

    inputs, outputs: [rank, chunk]. Raises AssertionError if all wait."""
    outputs = np.zeros_like(inputs)
    scratch = np.zeros((value.size, 4 * value.chunks), dtype=inputs.dtype)
    memory = {"input": inputs, "output": outputs, "scratch": scratch}
    mail: dict[tuple[int, int, int], list[np.ndarray]] = defaultdict(list)
    left = {rank: list(value.steps(rank)) for rank in range(value.size)}

    def view(rank: int, chunks: Slice) -> np.ndarray:
        return memory[chunks.buffer][rank, chunks.first : chunks.first + chunks.count]

    while any(left.values()):
        progress = False
        for rank, steps in left.items():
            while steps:
                step = steps[0]
                if step.kind == "send":
                    assert step.source is not None and step.peer is not None
                    mail[rank, step.peer, step.lane].append(view(rank, step.source).copy())
                elif step.kind in ("recv", "recv_reduce"):
                    assert step.target is not None and step.peer is not None
                    box = mail[step.peer, rank, step.lane]
                    if not box:
                        break
                    incoming = box.pop(0)
                    if step.kind == "recv_reduce":
                        incoming = incoming + view(rank, step.target)
                    view(rank, step.target)[:] = incoming
                else:
                    assert step.target is not None and step.source is not None
                    old = view(rank, step.target).copy() if step.kind == "reduce" else 0
                    view(rank, step.target)[:] = view(rank, step.source) + old
                steps.pop(0)
                progress = True
        assert progress, "all ranks wait"
    return outputs


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 5), cols=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_example_grid_is_proved_and_right(rows: int, cols: int, seed: int) -> None:
    grid = load_example().grid_all_reduce(rows, cols)
    grid.verify()
    inputs = np.random.default_rng(seed).integers(0, 2**40, (rows * cols, rows * cols))
    outputs = run_all_reduce(grid, inputs)
    np.testing.assert_array_equal(outputs, np.broadcast_to(inputs.sum(axis=0), inputs.shape))


def test_example_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLE, "2", "3"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "all_reduce by grid: 6 ranks" in done.stdout


def test_wrong_schedule_is_refused_with_rank_step_and_chunk() -> None:
    @schedule("all_reduce", size=2)
    def twice(me: Rank) -> None:
        inbox = me.scratch()
        me.send(1 - me.rank, me.input[0])
        me.recv(1 - me.rank, inbox[0])
        me.copy(me.output[0], me.input[0])
        me.reduce(me.output[0], inbox[0])
        if me.rank == 1:
            me.reduce(me.output[0], inbox[0])

    with pytest.raises(
        BadSchedule, match=r"\"twice\", rank 1, step 4.*output chunk 0.*rank 0 twice"
    ):
        twice.verify()


def test_deadlock_names_the_circle_and_buffering_resolves_it() -> None:
    @schedule("all_reduce", size=2)
    def swap(me: Rank) -> None:
        me.send(1 - me.rank, me.input[0])
        me.copy(me.output[0], me.input[0])
        me.recv_reduce(1 - me.rank, me.output[0])

    with pytest.raises(BadSchedule, match="deadlock with 0 buffered messages"):
        swap.verify()
    swap.verify(buffered_messages=1)


def test_arguments_are_checked_where_they_are_written() -> None:
    with pytest.raises(InvalidArgument, match="all_reduce"):
        schedule("allreduce", size=2)(lambda me: None)
    with pytest.raises(InvalidArgument, match="root 2"):
        schedule("broadcast", size=2, root=2)(lambda me: None)
    with pytest.raises(InvalidArgument, match=r"output\[1:2\].*0\.\.0"):
        schedule("all_reduce", size=2)(lambda me: me.copy(me.output[1], me.input[0]) and None)
    with pytest.raises(InvalidArgument, match="lane 256"):

        @schedule("barrier", size=2)
        def too_many_lanes(me: Rank) -> None:
            with me.lane(256):
                me.copy(me.output[0], me.input[0])

    with pytest.raises(InvalidArgument, match="ring"):
        builtin("rings", "all_reduce", 4)
    with pytest.raises(InvalidArgument, match=r"0\.\.3"):
        builtin("ring", "all_reduce", 4).steps(4)


def test_steps_say_what_was_written() -> None:
    @schedule("all_gather", size=2, chunks=2)
    def pair(me: Rank) -> None:
        first = me.copy(me.output.block(me.rank), me.input[:])
        with me.lane(3):
            me.send(1 - me.rank, me.input[:], after=first)
        me.recv(1 - me.rank, me.output.block(1 - me.rank))

    copy, send, recv = pair.steps(1)
    assert (copy.kind, copy.source, copy.target) == (
        "copy",
        Slice("input", 0, 2),
        Slice("output", 2, 2),
    )
    assert (send.kind, send.peer, send.lane, send.after) == ("send", 0, 3, 0)
    assert (recv.peer, recv.source, recv.target) == (0, None, Slice("output", 0, 2))
    assert pair.successors(1)[0] == [1]
    with pytest.raises(BadSchedule, match=r"rank 1, step 2.*lane 0"):
        pair.verify()  # the receive is in lane 0


def test_every_builtin_is_there_and_proved() -> None:
    for collective in collectives():
        assert algorithms(collective)
        for name, reference in algorithms(collective).items():
            assert reference
            value = builtin(name, collective, 5, slices=2)
            value.verify()
            assert value.collective == collective and value.name == name
            assert value.fingerprint == builtin(name, collective, 5, slices=2).fingerprint


def test_v_collectives_take_scratch_of_a_rank_s_length() -> None:
    @schedule("all_gatherv", size=3)
    def through_rank_0(me: Rank) -> None:
        if me.rank != 0:
            me.send(0, me.input[0])
            me.copy(me.output[me.rank], me.input[0])
            for other in (0, 3 - me.rank):
                me.recv(0, me.output[other])
            return
        me.copy(me.output[0], me.input[0])
        for other in (1, 2):
            held = me.scratch_like(other)
            me.recv(other, held[0])
            me.copy(me.output[other], held[0])
        for other in (1, 2):
            for block in (0, 3 - other):
                me.send(other, me.output[block])

    through_rank_0.verify()


def test_drawing_shows_messages_in_their_round() -> None:
    lines = builtin("ring", "all_gather", 4).draw().splitlines()
    assert lines[0] == "all_gather by ring: 4 ranks, 3 rounds"
    columns = [cell.strip() for cell in lines[2].split("|")]
    assert columns == ["rank 0", "o0=i0", "i0>1 o3<3", "o3>1 o2<3", "o2>1 o1<3"]
    cut = builtin("ring", "all_gather", 40).draw(max_ranks=2, max_rounds=3)
    assert "... and 38 more ranks" in cut and "... and 37 more rounds" in cut


@pytest.mark.parametrize("size", [2, 4, 8, 16])
def test_rounds_are_what_the_literature_says(size: int) -> None:
    rounds = (size - 1).bit_length()
    assert f"{rounds} rounds" in builtin("bruck", "all_gather", size).draw()
    assert f"{rounds} rounds" in builtin("dissemination", "barrier", size).draw()
    assert f"{2 * (size - 1)} rounds" in builtin("ring", "all_reduce", size).draw()


def test_estimates_follow_the_model() -> None:
    ring = builtin("ring", "all_gather", 4)
    model = CostModel(remote_latency=1.0, remote_per_byte=0.0)
    assert ring.estimate(4, model=model).seconds == pytest.approx(3.0, rel=1e-3)
    assert ring.estimate(4, hosts=[0, 0, 0, 0], model=model).seconds < 1e-3
    assert ring.estimate(4000).sent_bytes == 3000
    with pytest.raises(InvalidArgument, match="host"):
        ring.estimate(4, hosts=[0])


def test_explain_tells_the_choice_and_why() -> None:
    answer = explain("all_reduce", 64, hosts=range(16))
    assert answer.chosen == answer.candidates[0].algorithm
    assert answer.reason.startswith(answer.chosen)
    assert {each.algorithm for each in answer.candidates} == set(algorithms("all_reduce"))
    times = [each.microseconds for each in answer.candidates]
    assert times == sorted(times)
    forced = explain("all_reduce", 64, hosts=range(16), algorithms={"all_reduce": "ring"})
    assert forced.chosen == "ring" and "option" in forced.reason
    with pytest.raises(InvalidArgument, match="at least 1 rank"):
        explain("all_reduce", 64, hosts=[])
