"""Every state of how a group does without its switch (native/communicator/innet.h).

Two ranks and two calls, and three ranks and one call. The switch may die at any moment, its answers
may be lost, and a rank may lose patience whenever it waits, rightly or not. Reports between ranks
arrive, in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

#: What a rank is doing in its call: it has not begun; waits for the sum; has it and waits to hear
#: that all have it; has reported (with or without the sum); is in the ring.
IDLE, DATA, FULL, REPORTED, RING = "idle", "data", "full", "reported", "ring"


@dataclass(frozen=True)
class Rank:
    call: int = 1
    phase: str = IDLE
    has_sum: bool = False
    ended: tuple[str, ...] = ()  # by call: "switch" or "ring", "nothing" if there is no sum
    suspect_from: int = 99
    off: bool = False

    def end(self, how: str) -> Rank:
        how = "nothing" if how == "switch" and not self.has_sum else how
        return replace(
            self, call=self.call + 1, phase=IDLE, has_sum=False, ended=(*self.ended, how)
        )


@dataclass(frozen=True)
class State:
    ranks: tuple[Rank, ...]
    alive: bool = True
    added: frozenset[tuple[int, int]] = frozenset()  # (call, rank)
    committed: frozenset[tuple[int, int]] = frozenset()
    reports: frozenset[tuple[int, int, int, str]] = frozenset()  # to, from, call, what

    @property
    def wrong(self) -> bool:
        """A rank without a sum, or ranks that ended a call differently: their results differ."""
        return any("nothing" in r.ended for r in self.ranks) or any(
            len({r.ended[call] for r in self.ranks if len(r.ended) > call}) > 1
            for call in range(max(r.call for r in self.ranks))
        )


@dataclass(frozen=True)
class System:
    ranks: int
    calls: int
    flaw: str = ""

    def finished(self, s: State) -> bool:
        return all(r.call > self.calls for r in s.ranks)

    def steps(self, s: State) -> Iterator[State]:
        if s.alive:
            yield replace(s, alive=False)
        for me, rank in enumerate(s.ranks):
            if rank.call <= self.calls:
                yield from self.moves(s, me, rank)
            yield from self.answers(s, me, rank)
        yield from self.ring(s)

    def moves(self, s: State, me: int, rank: Rank) -> Iterator[State]:
        call = rank.call
        reporters = {m[1] for m in s.reports if m[0] == me and m[2] == call}
        if rank.phase == IDLE:
            if rank.off:
                yield self.put(s, me, replace(rank, phase=RING))
            elif call >= rank.suspect_from or reporters:
                yield self.report(s, me, rank)
            else:
                added = s.added | {(call, me)}
                yield replace(self.put(s, me, replace(rank, phase=DATA)), added=added)
        all_added = all((call, r) in s.added for r in range(self.ranks))
        all_committed = all((call, r) in s.committed for r in range(self.ranks))
        takes = rank.phase == DATA or (self.flaw == "no freeze" and rank.phase == REPORTED)
        if takes and s.alive and all_added and not rank.has_sum:
            full = replace(rank, has_sum=True, phase=FULL if rank.phase == DATA else rank.phase)
            if self.flaw == "no commit":
                yield self.put(s, me, full.end("switch"))
            else:
                yield replace(self.put(s, me, full), committed=s.committed | {(call, me)})
        hears = rank.phase == FULL or (self.flaw == "no freeze" and rank.has_sum)
        if hears and s.alive and all_committed:
            yield self.put(s, me, rank.end("switch"))
        if rank.phase in (DATA, FULL):  # loses patience, or hears that another did
            yield self.report(s, me, rank)
        if rank.phase == REPORTED:
            yield from self.conclude(s, me, rank)

    def answers(self, s: State, me: int, rank: Rank) -> Iterator[State]:
        for to, sender, about, what in s.reports:
            done = to == me and about < rank.call and what != "done"
            answer = (sender, me, about, "done")
            if done and answer not in s.reports and self.flaw != "no answer":
                heard = replace(rank, suspect_from=min(rank.suspect_from, about + 1))
                yield replace(self.put(s, me, heard), reports=s.reports | {answer})

    def report(self, s: State, me: int, rank: Rank) -> State:
        what = "complete" if rank.has_sum else "partial"
        sent = {(to, me, rank.call, what) for to in range(self.ranks)}
        return replace(self.put(s, me, replace(rank, phase=REPORTED)), reports=s.reports | sent)

    def conclude(self, s: State, me: int, rank: Rank) -> Iterator[State]:
        said = {m[1]: m[3] for m in s.reports if m[0] == me and m[2] == rank.call}
        suspicious = replace(rank, suspect_from=rank.call + 1)
        if "done" in said.values():
            yield self.put(s, me, suspicious.end("switch"))
        elif len(said) == self.ranks:
            if set(said.values()) == {"complete"}:
                yield self.put(s, me, suspicious.end("switch"))
            else:
                yield self.put(s, me, replace(rank, phase=RING, off=True))

    def ring(self, s: State) -> Iterator[State]:
        """Ends for all at once; nobody's part can be missing."""
        if len({r.call for r in s.ranks}) == 1 and all(r.phase == RING for r in s.ranks):
            yield replace(s, ranks=tuple(r.end("ring") for r in s.ranks))

    @staticmethod
    def put(s: State, me: int, rank: Rank) -> State:
        return replace(s, ranks=(*s.ranks[:me], rank, *s.ranks[me + 1 :]))


def faulty(system: System) -> tuple[int, bool, bool]:
    """How many states there are, and whether one is wrong, or one can never finish."""
    first = State((Rank(),) * system.ranks)
    seen, frontier = {first}, [first]
    before: dict[State, list[State]] = {}
    while frontier:
        state = frontier.pop()
        if state.wrong:
            return len(seen), True, False
        for after in system.steps(state):
            before.setdefault(after, []).append(state)
            if after not in seen:
                seen.add(after)
                frontier.append(after)
    reach = {s for s in seen if system.finished(s)}
    frontier = list(reach)
    while frontier:
        for state in before.get(frontier.pop(), ()):
            if state not in reach:
                reach.add(state)
                frontier.append(state)
    return len(seen), False, len(reach) < len(seen)


@pytest.mark.parametrize(("ranks", "calls"), [(2, 2), (3, 1)])
def test_all_ranks_end_alike_and_from_every_state_all_can_end(ranks: int, calls: int) -> None:
    states, wrong, stuck = faulty(System(ranks, calls))
    assert states > 1000
    assert not wrong
    assert not stuck


@pytest.mark.parametrize("flaw", ["no commit", "no freeze", "no answer"])
def test_the_search_finds_what_each_rule_is_for(flaw: str) -> None:
    _, wrong, stuck = faulty(System(2 if flaw == "no freeze" else 3, 1, flaw))
    assert wrong or stuck
