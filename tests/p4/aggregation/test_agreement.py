"""Every state of how a group does without its switch, and comes back to it
(native/communicator/innet.h, innet_admission.h).

Two ranks and up to three calls, and three ranks and one. The switch may die at any moment, its
answers may be lost, and a rank may lose patience whenever it waits, rightly or not. Rank 0 may come
by a new grant at any moment once it does without. Reports and words between ranks arrive, in any
order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import pytest

#: What a rank is doing in its call: it has not begun; waits for the sum; has it and waits to hear
#: that all have it; has reported (with or without the sum); is in the ring.
IDLE, DATA, FULL, REPORTED, RING = "idle", "data", "full", "reported", "ring"


class Rank(NamedTuple):
    call: int = 1
    phase: str = IDLE
    has_sum: bool = False
    ended: tuple[str, ...] = ()  # by call: "switch" or "ring", "nothing" if there is no sum
    suspect_from: int = 99
    off: bool = False
    without: int = 0  # calls since it does without
    heard: int = 0  # the call of which it has heard rank 0's word
    grant: int = 0
    admitted: int = 1  # first call under this grant

    def end(self, how: str) -> Rank:
        how = "nothing" if how == "switch" and not self.has_sum else how
        return self._replace(
            call=self.call + 1, phase=IDLE, has_sum=False, ended=(*self.ended, how)
        )


class State(NamedTuple):
    ranks: tuple[Rank, ...]
    alive: frozenset[int] = frozenset({0})  # grants that the switch knows of
    offer: int = 0  # rank 0's newest grant
    words: frozenset[tuple[int, int]] = frozenset()  # (call, grant), by rank 0 to all
    added: frozenset[tuple[int, int, int]] = frozenset()  # (grant, call, rank)
    committed: frozenset[tuple[int, int, int]] = frozenset()
    reports: frozenset[tuple[int, int, int, str]] = frozenset()  # to, from, call, what

    @property
    def wrong(self) -> bool:
        """A rank without a sum, or ranks that ended a call differently: their results differ."""
        return any("nothing" in r.ended for r in self.ranks) or any(
            len({r.ended[call] for r in self.ranks if len(r.ended) > call}) > 1
            for call in range(max(r.call for r in self.ranks))
        )


@cache
def _of_use(
    sent: frozenset[tuple[int, int, int]], live: frozenset[int], oldest: int
) -> frozenset[tuple[int, int, int]]:
    """What the switch still knows, of calls that somebody is in."""
    return frozenset(one for one in sent if one[0] in live and one[1] >= oldest)


@cache
def _unanswered(
    reports: frozenset[tuple[int, int, int, str]], oldest: int
) -> frozenset[tuple[int, int, int, str]]:
    answered = {(sender, to, about) for to, sender, about, what in reports if what == "done"}
    return frozenset(
        (to, sender, about, what)
        for to, sender, about, what in reports
        if about >= oldest or (what != "done" and (to, sender, about) not in answered)
    )


@dataclass(frozen=True)
class System:
    ranks: int
    calls: int
    flaw: str = ""
    grants: int = 0  # how many more rank 0 may come by
    cadence: int = 1  # every so many calls without a switch begin with a word

    def finished(self, s: State) -> bool:
        return all(r.call > self.calls for r in s.ranks)

    def steps(self, s: State) -> Iterator[State]:
        for grant in s.alive:
            yield s._replace(alive=s.alive - {grant})
        if s.ranks[0].off and s.offer == s.ranks[0].grant < self.grants:
            yield s._replace(offer=s.offer + 1, alive=s.alive | {s.offer + 1})
        for me, rank in enumerate(s.ranks):
            if rank.call <= self.calls:
                yield from self.moves(s, me, rank)
            yield from self.answers(s, me, rank)
        yield from self.ring(s)

    def trim(self, s: State) -> State:
        """The same state without what can have no effect any more."""
        oldest = min(r.call for r in s.ranks)
        live = s.alive & {r.grant for r in s.ranks} | {s.offer} & s.alive
        return s._replace(
            alive=live,
            added=_of_use(s.added, live, oldest),
            committed=_of_use(s.committed, live, oldest),
            words=frozenset(w for w in s.words if w[0] >= oldest),
            reports=_unanswered(s.reports, oldest),
        )

    def moves(self, s: State, me: int, rank: Rank) -> Iterator[State]:
        call = rank.call
        if rank.phase == IDLE and rank.off:
            yield from self.without(s, me, rank)
            return
        reporters = {m[1] for m in s.reports if m[0] == me and m[2] == call}
        if rank.phase == IDLE:
            if call >= rank.suspect_from or reporters:
                yield self.report(s, me, rank)
            else:
                added = s.added | {(rank.grant, call, me)}
                yield self.put(s, me, rank._replace(phase=DATA))._replace(added=added)
        all_added = all((rank.grant, call, r) in s.added for r in range(self.ranks))
        all_committed = all((rank.grant, call, r) in s.committed for r in range(self.ranks))
        alive = rank.grant in s.alive
        takes = rank.phase == DATA or (self.flaw == "no freeze" and rank.phase == REPORTED)
        if takes and alive and all_added and not rank.has_sum:
            full = rank._replace(has_sum=True, phase=FULL if rank.phase == DATA else rank.phase)
            if self.flaw == "no commit":
                yield self.put(s, me, full.end("switch"))
            else:
                committed = s.committed | {(rank.grant, call, me)}
                yield self.put(s, me, full)._replace(committed=committed)
        hears = rank.phase == FULL or (self.flaw == "no freeze" and rank.has_sum)
        if hears and alive and all_committed:
            yield self.put(s, me, rank.end("switch"))
        if rank.phase in (DATA, FULL):  # loses patience, or hears that another did
            yield self.report(s, me, rank)
        if rank.phase == REPORTED:
            yield from self.conclude(s, me, rank)

    def without(self, s: State, me: int, rank: Rank) -> Iterator[State]:
        """A call that begins while there is no switch: by rank 0's word, if one is due."""
        call = rank.call
        due = (rank.without + 1) % self.cadence == 0 and rank.heard < call
        if self.flaw == "own pace":  # whoever hears of a grant begins with it at once
            news = [g for _, g in s.words if g > rank.grant]
            due = due and me == 0
            if news:
                yield self.put(s, me, self.admitted(rank, news[0]))
                return
        if not due:
            yield self.put(s, me, rank._replace(phase=RING, without=rank.without + 1))
        elif me == 0:
            said = s._replace(words=s.words | {(call, s.offer)})
            yield self.put(said, me, self.admitted(rank, s.offer))
        for about, grant in s.words if due and me != 0 else ():
            if about == call:
                yield self.put(s, me, self.admitted(rank, grant))

    @staticmethod
    def admitted(rank: Rank, grant: int) -> Rank:
        rank = rank._replace(heard=rank.call)
        if grant == rank.grant:
            return rank
        return rank._replace(grant=grant, admitted=rank.call, off=False, suspect_from=99, without=0)

    def answers(self, s: State, me: int, rank: Rank) -> Iterator[State]:
        for to, sender, about, what in s.reports:
            done = to == me and about < rank.call and what != "done"
            answer = (sender, me, about, "done")
            if done and answer not in s.reports and self.flaw != "no answer":
                # What is late of an earlier grant says nothing of this one.
                news = about >= rank.admitted and not rank.off
                suspect_from = min(rank.suspect_from, about + 1) if news else rank.suspect_from
                heard = rank._replace(suspect_from=suspect_from)
                yield self.put(s, me, heard)._replace(reports=s.reports | {answer})

    def report(self, s: State, me: int, rank: Rank) -> State:
        what = "complete" if rank.has_sum else "partial"
        sent = {(to, me, rank.call, what) for to in range(self.ranks)}
        return self.put(s, me, rank._replace(phase=REPORTED))._replace(reports=s.reports | sent)

    def conclude(self, s: State, me: int, rank: Rank) -> Iterator[State]:
        said = {m[1]: m[3] for m in s.reports if m[0] == me and m[2] == rank.call}
        suspicious = rank._replace(suspect_from=rank.call + 1)
        if "done" in said.values():
            yield self.put(s, me, suspicious.end("switch"))
        elif len(said) == self.ranks:
            if set(said.values()) == {"complete"}:
                yield self.put(s, me, suspicious.end("switch"))
            else:
                yield self.put(s, me, rank._replace(phase=RING, off=True, without=0))

    def ring(self, s: State) -> Iterator[State]:
        """Ends for all at once; nobody's part can be missing."""
        if len({r.call for r in s.ranks}) == 1 and all(r.phase == RING for r in s.ranks):
            yield s._replace(ranks=tuple(r.end("ring") for r in s.ranks))

    @staticmethod
    def put(s: State, me: int, rank: Rank) -> State:
        return s._replace(ranks=(*s.ranks[:me], rank, *s.ranks[me + 1 :]))


@dataclass(frozen=True)
class Found:
    states: int
    wrong: bool = False
    stuck: bool = False  # one can never finish
    came_back: bool = False  # in one a call was summed by the switch under a later grant


def search(system: System) -> Found:
    """States have the numbers of their finding: large values are compared but once a step."""
    first = State((Rank(),) * system.ranks)
    numbers, states = {first: 0}, [first]
    before: list[list[int]] = [[]]
    for number, state in enumerate(states):  # which grows
        if state.wrong:
            return Found(len(states), wrong=True)
        for after in map(system.trim, system.steps(state)):
            found = numbers.setdefault(after, len(states))
            if found == len(states):
                states.append(after)
                before.append([])
            before[found].append(number)
    came_back = any(
        r.grant > 0 and "switch" in r.ended[r.admitted - 1 :] for s in states for r in s.ranks
    )
    reach = {number for number, state in enumerate(states) if system.finished(state)}
    frontier = list(reach)
    while frontier:
        new = set(before[frontier.pop()]) - reach
        reach |= new
        frontier += new
    return Found(len(states), stuck=len(reach) < len(states), came_back=came_back)


@pytest.mark.parametrize(("ranks", "calls"), [(2, 2), (3, 1)])
def test_all_ranks_end_alike_and_from_every_state_all_can_end(ranks: int, calls: int) -> None:
    found = search(System(ranks, calls))
    assert found.states > 1000
    assert not found.wrong
    assert not found.stuck


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "calls", "grants", "cadence"), [(2, 2, 1, 1), (2, 3, 1, 2), (2, 3, 1, 1)]
)
def test_all_ranks_come_back_to_the_switch_at_the_same_call(
    ranks: int, calls: int, grants: int, cadence: int
) -> None:
    found = search(System(ranks, calls, grants=grants, cadence=cadence))
    assert not found.wrong
    assert not found.stuck
    assert found.came_back


@pytest.mark.parametrize("flaw", ["no commit", "no freeze", "no answer"])
def test_the_search_finds_what_each_rule_is_for(flaw: str) -> None:
    found = search(System(2 if flaw == "no freeze" else 3, 1, flaw))
    assert found.wrong or found.stuck


def test_the_search_finds_why_ranks_come_back_at_a_call_and_not_when_they_hear() -> None:
    found = search(System(2, 2, "own pace", grants=1))
    assert found.wrong or found.stuck
