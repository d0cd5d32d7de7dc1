"""Every state of the slot protocol, by the code that runs: native workers, the compiled program.

Two workers, one slot, one call of one chunk (opening, data, commit); then the job starts again with
other data under another epoch. Updates stay in the network for ever (loss, copies
and reordering at once); what the switch answers may also vanish.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weft.p4.aggregation import CommandChip, Jobs, wire
from weft.p4.aggregation.control import place
from weft.p4.aggregation.jobs import PROGRAM
from weft.p4.switch import Switch
from weft.p4.switch.commands import CommandLine

innet = wire.innet
WORKERS, VALUES, CHUNKS = 2, 16, 1
EPOCHS = {1: 0xAAAA, 2: 0xBBBB}

FLAWS = {  # what the program would be without one of its rules
    "no bitmap": (
        "after != meta.before && meta.closed",
        "hdr.update.kind == KIND_ADD && meta.closed",
    ),
    "one set": ("+ (bit<32>)hdr.update.round[0:0]", ""),
}


class Names:
    """Small numbers for long things, so that states are cheap to compare."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self.things: list[Any] = []

    def __call__(self, thing: Any) -> int:
        if thing not in self._numbers:
            self._numbers[thing] = len(self.things)
            self.things.append(thing)
        return self._numbers[thing]


packets, registers = Names(), Names()


def data(worker: int, start: int) -> bytes:
    values = np.arange(VALUES * CHUNKS) + 1000 ** (worker + 1) * start
    return bytes(values.astype(np.int32).tobytes())


@cache
def total(start: int) -> bytes:
    parts = [np.frombuffer(data(w, start), np.int32) for w in range(WORKERS)]
    return bytes(np.sum(parts, axis=0, dtype=np.int32).tobytes())


# ----------------------------------------------------------------------------------- the worker


@dataclass(frozen=True)
class Host:
    """A worker's state, named by the answers that brought it there."""

    worker: int
    start: int
    history: tuple[int, ...] = ()

    def member(self) -> Any:
        timing = innet.Timing()
        timing.silence = 2**62
        made = innet.Member(
            job=1, epoch=EPOCHS[self.start], worker=self.worker, workers=WORKERS, slots=1,
            values=VALUES, timing=timing,
        )  # fmt: skip
        made.start(data(self.worker, self.start), innet.Type.int32, 5, 0)
        for now, answer in enumerate(self.history):
            made.poll(now)
            made.handle(now, packets.things[answer])
        return made

    @property
    def done(self) -> bool:
        return observe(self)[0] == "done"


@cache
def observe(host: Host) -> tuple[str, bool, bool, int | None]:
    """State, whether all sums are here, whether all that is here is right, and what it sends."""
    member = host.member()
    right = True
    for chunk, came in enumerate(member.contributors):
        part = slice(4 * VALUES * chunk, 4 * VALUES * (chunk + 1))
        wanted = total(host.start) if came else data(host.worker, host.start)
        right = right and came in (0, WORKERS) and member.buffer[part] == wanted[part]
    state = member.state.name
    full = 0 not in member.contributors
    sends = member.poll(2**40)
    sends = None if sends is None else packets(bytes(sends))
    return state, full, right and state != "mismatch", sends


@cache
def after(host: Host, answer: int) -> Host:
    """The state that an answer brings; the same one if it changes nothing."""
    member = host.member()
    member.poll(len(host.history))
    before = (member.state, member.round(0), member.buffer)
    member.handle(len(host.history), packets.things[answer])
    if (member.state, member.round(0), member.buffer) == before:
        return host
    return replace(host, history=(*host.history, answer))


# ----------------------------------------------------------------------------------- the switch


class Program:
    """The compiled program as a function of its registers, one instance per start of the job."""

    def __init__(self, flaw: str, folder: Path) -> None:
        text = PROGRAM.read_text(encoding="utf-8")
        if flaw in FLAWS:
            assert text.count(FLAWS[flaw][0]) == 1
            text = text.replace(*FLAWS[flaw])
        text = text.replace('"../include', f'"{PROGRAM.parents[1]}/include')
        path = folder / f"{flaw or 'right'}.p4".replace(" ", "_")
        path.write_text(text, encoding="utf-8")
        defines = {"CELLS": "4", "VALUES": str(VALUES)}
        self._switches = {start: Switch.load(path, defines=defines) for start in EPOCHS}
        for start, switch in self._switches.items():
            line = CommandLine(switch)
            own = place(0, wire.SWITCH_HOST)
            jobs = Jobs(
                CommandChip(lambda commands, line=line: [t for c in commands for t in line.run(c)]),  # type: ignore[misc]
                own, values=VALUES, cells=4, seed=1,
            )  # fmt: skip
            hosts = {w: place(1 + w, 1 + w) for w in range(WORKERS)}
            jobs.add(1, hosts, 1, epoch=EPOCHS[start])
            if flaw == "no epoch" and start == 2:  # the old job's entries were left in place
                for w in range(WORKERS):
                    line.run(
                        f"table_add ingress.members ingress.member 1 {EPOCHS[1]} {w} {1 + w} => "
                        f"0 1 {1 << w} 3 1 0 0 0"
                    )
        self._registers = {s: list(w.registers.values()) for s, w in self._switches.items()}
        self._known: dict[Any, Any] = {}

    def blank(self) -> int:
        return registers((0,) * (2 * len(self._registers[1])))

    def restarted(self, cells: int) -> int:
        """As the control plane leaves them: rounds are 0, the rest is what it was."""
        names = list(self._switches[1].registers)
        at = 2 * names.index("ingress.round.cells")
        was = registers.things[cells]
        return registers((*was[:at], 0, 0, *was[at + 2 :]))

    def run(
        self, start: int, cells: int, worker: int, datagram: int
    ) -> tuple[int, tuple[tuple[int, int], ...]]:
        """The cells afterwards, and (worker, answer)s; "wait" changes no worker's state."""
        key = (start, cells, worker, datagram)
        if key not in self._known:
            for i, register in enumerate(self._registers[start]):
                register.write(0, registers.things[cells][2 * i])
                register.write(1, registers.things[cells][2 * i + 1])
            frame = wire.frame(packets.things[datagram], 1 + worker)
            outputs = self._switches[start].send(1 + worker, frame, now_us=0)
            now = tuple(int(r.read(i)) for r in self._registers[start] for i in range(2))
            answers = tuple(
                (output.port - 1, packets(wire.datagram(output.data)))
                for output in outputs
                if innet.decode(wire.datagram(output.data))[0].kind != innet.Kind.WAIT
            )
            self._known[key] = (registers(now), answers)
        return self._known[key]  # type: ignore[no-any-return]


# ----------------------------------------------------------------------------------- all states


@dataclass(frozen=True)
class State:
    hosts: tuple[Host, ...]
    cells: int
    start: int = 1
    updates: frozenset[tuple[int, int]] = frozenset()
    answers: frozenset[tuple[int, int]] = frozenset()

    @property
    def finished(self) -> bool:
        return all(host.done for host in self.hosts)

    @property
    def wrong(self) -> bool:
        """A sum that is not of everybody once, or somebody done while another lacks a sum."""
        seen = [observe(host) for host in self.hosts]
        early = any(s[0] == "done" for s in seen) and not all(s[1] for s in seen)
        return early or not all(s[2] for s in seen)


def steps(s: State, program: Program) -> Iterator[State]:
    for host in s.hosts:
        sends = observe(host)[3]
        if sends is not None and (host.worker, sends) not in s.updates:
            yield replace(s, updates=s.updates | {(host.worker, sends)})
    for worker, datagram in s.updates:
        cells, made = program.run(s.start, s.cells, worker, datagram)
        yield replace(s, cells=cells, answers=s.answers | set(made))
    for worker, answer in s.answers:
        left = s.answers - {(worker, answer)}
        yield replace(s, answers=left)
        host = after(s.hosts[worker], answer)
        hosts = tuple(host if h.worker == worker else h for h in s.hosts)
        yield replace(s, answers=left, hosts=hosts)
    if s.start == 1:
        hosts = tuple(Host(w, 2) for w in range(WORKERS))
        yield replace(s, hosts=hosts, cells=program.restarted(s.cells), start=2)


def search(program: Program, most: int = 400_000) -> tuple[int, list[State], list[State]]:
    """How many states there are, one that is wrong, or else all that can never finish."""
    first = State(tuple(Host(w, 1) for w in range(WORKERS)), program.blank())
    seen, frontier = {first}, deque([first])
    before: dict[State, list[State]] = {}
    while frontier:
        state = frontier.popleft()
        if state.wrong:
            return len(seen), [state], []
        for following in steps(state, program):
            before.setdefault(following, []).append(state)
            if following not in seen:
                seen.add(following)
                frontier.append(following)
        assert len(seen) < most, "more states than this search is for"
    reach = {s for s in seen if s.finished}
    frontier = deque(reach)
    while frontier:
        for state in before.get(frontier.pop(), ()):
            if state not in reach:
                reach.add(state)
                frontier.append(state)
    return len(seen), [], [s for s in seen if s not in reach]


def test_no_state_is_wrong_and_from_every_state_all_can_finish(tmp_path: Path) -> None:
    states, wrong, stuck = search(Program("", tmp_path))
    assert states > 1000
    assert wrong == []
    assert stuck == []


@pytest.mark.parametrize("flaw", ["no bitmap", "one set", "no epoch"])
def test_the_search_finds_what_each_rule_is_for(flaw: str, tmp_path: Path) -> None:
    _, wrong, stuck = search(Program(flaw, tmp_path))
    # Stuck: a worker that waits for ever while its job lives; a new start frees it.
    assert wrong or any(s.start == 2 for s in stuck)
