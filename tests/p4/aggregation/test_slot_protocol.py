"""Every state of the slot protocol: two workers, three rounds of one slot, a job that starts again.

Updates stay in the network for ever (loss, copies and reordering at once); results may also vanish.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

WORKERS, ROUNDS = 2, 3
#: What was added: (worker, round, epoch), so that nothing can hide in a sum.
Total = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Cells:
    """One set of the slot."""

    round: int = 0
    arrived: frozenset[int] = frozenset()
    total: Total = ()


@dataclass(frozen=True)
class State:
    round: tuple[int, ...] = (1,) * WORKERS  # that each worker waits for
    wrong: bool = False  # a worker took a sum that is not of its round, of everybody, once each
    updates: frozenset[tuple[int, int, int]] = frozenset()  # (worker, round, epoch)
    results: frozenset[tuple[int, int, Total]] = frozenset()  # (round, epoch, sum)
    sets: tuple[Cells, Cells] = (Cells(), Cells())
    epoch: int = 1

    @property
    def finished(self) -> bool:
        return all(r > ROUNDS for r in self.round)


@dataclass(frozen=True)
class System:
    flaw: str = ""

    def steps(self, s: State) -> Iterator[State]:
        for worker, round_ in enumerate(s.round):
            if round_ <= ROUNDS:
                yield replace(s, updates=s.updates | {(worker, round_, s.epoch)})
        for update in s.updates:
            yield self.switch(s, *update)
        for result in s.results:
            yield replace(s, results=s.results - {result})
            round_, epoch, total = result
            for worker in range(WORKERS):
                if s.round[worker] == round_ and epoch == s.epoch:
                    good = total == tuple((w, round_, s.epoch) for w in range(WORKERS))
                    rounds = tuple(r + (w == worker) for w, r in enumerate(s.round))
                    yield replace(s, round=rounds, wrong=s.wrong or not good)
        if s.epoch == 1:  # the job starts again, with other data, from its first round
            yield replace(s, round=(1,) * WORKERS, sets=(Cells(), Cells()), epoch=2)

    def switch(self, s: State, worker: int, round_: int, epoch: int) -> State:
        if epoch != s.epoch and self.flaw != "no epoch":
            return s
        which = 0 if self.flaw == "one set" else round_ % 2
        cells = s.sets[which]
        if round_ < cells.round:
            return s
        one = (worker, round_, epoch)
        if round_ > cells.round:
            cells = Cells(round_, frozenset({worker}), (one,))
        elif worker not in cells.arrived or self.flaw == "no bitmap":
            total = tuple(sorted((*cells.total, one)))[: WORKERS + 1]
            cells = Cells(round_, cells.arrived | {worker}, total)
        sets = (cells, s.sets[1]) if which == 0 else (s.sets[0], cells)
        complete = len(cells.arrived) == WORKERS
        made = {(round_, s.epoch, cells.total)} if complete else set()
        return replace(s, sets=sets, results=s.results | made)


def faulty(system: System) -> tuple[int, list[State], list[State]]:
    """How many states there are, one with a wrong sum, or else all that can never finish."""
    seen, frontier = {State()}, [State()]
    before: dict[State, list[State]] = {}
    while frontier:
        state = frontier.pop()
        if state.wrong:
            return len(seen), [state], []
        for after in system.steps(state):
            before.setdefault(after, []).append(state)
            if after not in seen:
                seen.add(after)
                frontier.append(after)
    reach = {s for s in seen if s.finished}
    frontier = list(reach)
    while frontier:
        for state in before.get(frontier.pop(), ()):
            if state not in reach:
                reach.add(state)
                frontier.append(state)
    return len(seen), [], [s for s in seen if s not in reach]


def test_no_state_is_wrong_and_from_every_state_all_can_finish() -> None:
    states, wrong, stuck = faulty(System())
    assert states > 1000
    assert wrong == []
    assert stuck == []


@pytest.mark.parametrize(
    ("flaw", "sums", "waits"),
    [("no bitmap", True, False), ("one set", False, True), ("no epoch", True, False)],
)
def test_the_search_finds_what_each_rule_is_for(flaw: str, sums: bool, waits: bool) -> None:
    _, wrong, stuck = faulty(System(flaw))
    assert bool(wrong) == sums
    # A worker that waits for ever while its job lives; a new start frees it, so look at the last.
    assert any(s.epoch == 2 for s in stuck) == waits
