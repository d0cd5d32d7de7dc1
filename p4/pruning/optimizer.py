"""The cost-based optimizer: which operator the switch shall take, if any.

It adds up what workers, network and master are expected to take, with the switch and without, and
pushes only what is expected to end earlier. With the switch hosts are reckoned as slow as they were
ever seen, without it as fast, so that no doubt about them speaks for pushing; for statistics, which
err as well, stands a margin. It is a share of the whole time, so that an engine that takes long for
any query, and never twice the same, must have more to gain.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weft.p4.pruning import execute, plan, wire
from weft.p4.pruning.cluster import Wires
from weft.p4.pruning.codes import NoCodes
from weft.p4.pruning.control import NoRoom, PruningSwitch
from weft.p4.pruning.costs import Costs
from weft.p4.pruning.encoders import Encoder
from weft.p4.pruning.execute import PART_ROWS, Job, Pass
from weft.p4.pruning.tables import Table
from weft.p4.star import FRAMING

#: A query is pushed if it is expected to take less than this share of its time without the switch.
MARGIN = 0.9
_PACKET_BYTES = wire.HEADER_BYTES + FRAMING
_ASKED_BYTES = 8  # of a row's number, when rows are asked for


@dataclass(frozen=True, slots=True)
class Choice:
    """What the switch shall do; `reason` says why nothing. Times are expected microseconds: of the
    job, or of one that would not pay."""

    job: Job | None = None
    reason: str = ""
    with_us: float = 0.0
    without_us: float = 0.0


@dataclass(slots=True)
class Optimizer:
    tables: Mapping[str, Table]
    switch: PruningSwitch
    wires: Wires
    costs: Costs
    delta: float
    salt: int

    def choose(self, query: plan.Query, kept: Mapping[str, float], push: bool | None) -> Choice:
        """The alternative that ends first, if it ends before the query without the switch (or must
        be taken). `kept` is the share of each table's rows that its workers' condition leaves."""
        if push is False:
            return Choice(reason="the caller wants none")
        best = Choice(reason=query.reason)
        for alternative in query.pushes:
            try:
                found = self._best(query, alternative, kept)
            except (NoRoom, NoCodes) as problem:
                best = best if best.job else Choice(reason=str(problem))
                continue
            assert found.job is not None
            if not push and found.with_us >= MARGIN * found.without_us:
                if best.job is None:
                    times = f"{found.with_us:.0f} us against {found.without_us:.0f} us"
                    reason = f"{found.job.title} would not pay: {times}"
                    best = Choice(None, reason, found.with_us, found.without_us)
            elif best.job is None or found.with_us < best.with_us:
                best = found
        return best

    def _best(self, query: plan.Query, push: plan.Push, kept: Mapping[str, float]) -> Choice:
        """The best way to execute a push. Raises `NoRoom` and `NoCodes` if there is none."""
        if isinstance(push, plan.Join):
            return self._best_join(query, push, kept)
        return self._weighed(query, push, kept)

    def _best_join(self, query: plan.Query, push: plan.Join, kept: Mapping[str, float]) -> Choice:
        """A full reducer, less one step after another while what is left is the better for it."""
        rows = self._rows(query, kept)
        root = max(query.uses, key=lambda use: self._bytes(use, rows[use.table])).table
        steps = full_reducer(self._possible(push), root)
        best = self._tried(query, steps, kept)
        while len(steps) > 1:
            shorter = [(*steps[:i], *steps[i + 1 :]) for i in range(len(steps))]
            tried = [(self._tried(query, some, kept), some) for some in shorter]
            found, some = min(tried, key=lambda one: one[0].with_us)
            if found.with_us >= best.with_us < math.inf:
                break
            best, steps = found, some
        if best.job is None:
            raise NoRoom(best.reason)
        return best

    def _possible(self, push: plan.Join) -> list[plan.SemiJoin]:
        """Those whose keys have codes; if there are none, raises what is wrong with the last."""
        found, problem = [], None
        for step in push.steps:
            try:
                execute.check_joinable(step, self.tables)
            except (NoRoom, NoCodes) as why:
                problem = why
            else:
                found.append(step)
        if not found and problem is not None:
            raise problem
        return found

    def _tried(
        self, query: plan.Query, steps: tuple[plan.SemiJoin, ...], kept: Mapping[str, float]
    ) -> Choice:
        try:
            return self._weighed(query, plan.Join(steps), kept)
        except NoRoom as problem:
            return Choice(reason=str(problem), with_us=math.inf)

    def _weighed(self, query: plan.Query, push: plan.Push, kept: Mapping[str, float]) -> Choice:
        job = execute.prepare(push, self.tables, self.switch, self.delta, kept, self.salt)
        cost, rows = self.costs.of_master(push), self._rows(query, kept)
        left = {name: n * job.keep.get(name, 1.0) for name, n in rows.items()}
        with_ = self._passes(job) + self._fetch(query, job, left)
        without = self._bulk(sum(self._bytes(use, rows[use.table]) for use in query.uses))
        # What any query takes is the same both ways: the most, because only the margin is for it.
        return Choice(
            job, "", with_ + cost.fixed.most + sum(left.values()) * cost.per_row.most,
            without + cost.fixed.most + sum(rows.values()) * cost.per_row.least,
        )  # fmt: skip

    def _rows(self, query: plan.Query, kept: Mapping[str, float]) -> dict[str, float]:
        return {use.table: self.tables[use.table].rows * kept[use.table] for use in query.uses}

    def _bytes(self, use: plan.Use, rows: float) -> float:
        return rows * self.tables[use.table].width(use.columns)

    def _bulk(self, octets: float) -> float:
        workers = len(self.switch.workers)
        return self.wires.bulk_us([octets / workers] * workers)

    def _passes(self, job: Job) -> float:
        """One after another. A worker makes packets while others travel: a pass ends when the
        slower of the two does, and the first part has been made or the last has travelled. Packets
        are sent again in the next pass over their rows."""
        total = 0.0
        last: dict[str, Encoder] = {}
        for one in job.passes:
            packing, share = 0.0, one.rows / len(self.switch.workers)
            cost = self.costs.of_pass(one.encode)
            if last.get(one.table) != one.encode or one.restricted:
                packing = cost.fixed.most + share * cost.per_row.most
            last[one.table] = one.encode
            times = packing, self._pass(one)
            total += max(times) + min(times) / max(1.0, share / PART_ROWS)
        return total

    def _pass(self, one: Pass) -> float:
        """Packets go up, while those that keep a row come down to the master; never more than a
        window of them in the time that a packet takes to the master and its receipt back."""
        rows, wires, workers = one.rows * one.sent, self.wires, len(self.switch.workers)
        packets = rows / one.fill
        up = packets * _PACKET_BYTES + rows * wire.ROW_BYTES
        some = 1 - math.pow(1 - min(one.kept, 1.0), one.fill)  # of the packets
        down = packets * some * _PACKET_BYTES + rows * one.kept * wire.ID_BYTES
        windows = packets / workers / wire.WINDOW
        us = max(
            up / workers * 8e-3 / wires.worker_gbps, down * 8e-3 / wires.master_gbps,
            windows * 4 * wires.delay_us,
        )  # fmt: skip
        told = self._bulk(one.rows * _ASKED_BYTES) if one.restricted else 0.0
        return us + 6 * wires.delay_us + told

    def _fetch(self, query: plan.Query, job: Job, left: Mapping[str, float]) -> float:
        """The needed columns of what is left; one table after another."""
        us = 0.0
        for use in query.uses:
            us += self._bulk(self._bytes(use, left[use.table])) + 2 * self.wires.delay_us
            if use.table in job.keep:
                us += self._bulk(left[use.table] * _ASKED_BYTES)
        return us


def full_reducer(possible: Sequence[plan.SemiJoin], root: str) -> tuple[plan.SemiJoin, ...]:
    """Semi-joins from the leaves of a tree of joins to its root, and back (Bernstein and Chiu, JACM
    1981): no row that has no part in the join is left, if the joins are a tree. Of a cycle the
    joins nearest to the root are taken."""
    steps = {(step.table, step.by): step for step in possible}
    near: dict[str, list[str]] = {}
    for one, other in steps:
        near.setdefault(one, []).append(other)
        near.setdefault(other, []).append(one)
    edges, seen = [], set()
    for start in (root, *near):
        if start in seen:
            continue
        seen.add(start)
        reached = deque([start])
        while reached:
            parent = reached.popleft()
            for child in near.get(parent, ()):
                if child not in seen:
                    seen.add(child)
                    edges.append((parent, child))
                    reached.append(child)
    order = [*reversed(edges), *((child, parent) for parent, child in edges)]
    return tuple(steps[edge] for edge in order if edge in steps)
