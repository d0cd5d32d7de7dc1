"""Schedules as text: a row per rank, a column per round.

A round is a unit of time in the ideal machine in which every message takes one and local steps
none; a step stands in the earliest round that dependencies and messages allow. Notation, with
buffers by their first letter (i, o, s):

    i2>3    sends input[2] to rank 3          o2<1    receives from rank 1 into output[2]
    o2+<1   the same, and combines            o2=i2   copy        o2+=s0   reduce
    o4:6    chunks 4 and 5
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft.collectives.schedule import Schedule, Slice, Step

_Place = tuple[int, int]  # rank, step


def draw(schedule: Schedule, max_ranks: int = 16, max_rounds: int = 12) -> str:
    """Draws a schedule. Rows and columns beyond the limits are left out, which the text says.

    Raises BadSchedule if a message has no counterpart or the steps wait in a circle."""
    rounds = rounds_of(schedule)
    programs = [schedule.steps(rank) for rank in range(min(schedule.size, max_ranks))]
    shown = len(programs)
    last = max((number for column in rounds.values() for number in column), default=0)
    columns = range(min(last + 1, max_rounds))
    cells = [[f"rank {rank}" for rank in range(shown)]]
    for number in columns:
        column = []
        for rank in range(shown):
            here = [programs[rank][i] for i, at in enumerate(rounds[rank]) if at == number]
            column.append(" ".join(_notation(step) for step in here))
        cells.append(column)
    heads = ["", *(f"round {number}" for number in columns)]
    widths = [
        max(len(head), *(len(cell) for cell in column), 1)
        for head, column in zip(heads, cells, strict=True)
    ]
    lines = [f"{schedule.collective} by {schedule.name}: {schedule.size} ranks, {last} rounds"]
    lines.append(_row(heads, widths))
    lines += [_row([column[rank] for column in cells], widths) for rank in range(shown)]
    if shown < schedule.size:
        lines.append(f"... and {schedule.size - shown} more ranks")
    if last >= max_rounds:
        lines.append(f"... and {last + 1 - max_rounds} more rounds")
    return "\n".join(lines)


def rounds_of(schedule: Schedule) -> dict[int, list[int]]:
    """For each rank, the round in which each of its steps ends (0: local, before any message)."""
    programs = {rank: schedule.steps(rank) for rank in range(schedule.size)}
    successors = {rank: schedule.successors(rank) for rank in programs}
    partner = _partners(programs)
    ready = {rank: [0] * len(steps) for rank, steps in programs.items()}
    waits = {rank: [0] * len(steps) for rank, steps in programs.items()}
    for rank, lists in successors.items():
        for waiting in lists:
            for step in waiting:
                waits[rank][step] += 1
    # Kahn's topological order; a message goes when both ends are ready.
    free = [(rank, i) for rank, counts in waits.items() for i, n in enumerate(counts) if n == 0]
    reached = set(free)
    ends: dict[_Place, int] = {}
    while free:
        place = free.pop()
        other = partner.get(place)
        if place in ends or (other is not None and other not in reached):
            continue  # done with its partner, or to be done when that comes
        both = [place] if other is None else [place, other]
        at = max(ready[rank][step] for rank, step in both) + (other is not None)
        for rank, step in both:
            ends[rank, step] = at
            for later in successors[rank][step]:
                ready[rank][later] = max(ready[rank][later], at)
                waits[rank][later] -= 1
                if waits[rank][later] == 0:
                    free.append((rank, later))
                    reached.add((rank, later))
    if len(ends) < sum(map(len, programs.values())):
        schedule.verify()  # names the deadlock
    return {rank: [ends[rank, i] for i in range(len(steps))] for rank, steps in programs.items()}


def _partners(programs: dict[int, list[Step]]) -> dict[_Place, _Place]:
    streams: dict[tuple[int, int, int], tuple[list[_Place], list[_Place]]] = defaultdict(
        lambda: ([], [])
    )
    for rank, steps in programs.items():
        for i, step in enumerate(steps):
            if step.peer is None:
                continue
            sends = step.kind == "send"
            edge = (rank, step.peer) if sends else (step.peer, rank)
            streams[*edge, step.lane][0 if sends else 1].append((rank, i))
    partner: dict[_Place, _Place] = {}
    for sends_, receives in streams.values():
        for send, receive in zip(sends_, receives, strict=False):
            partner[send] = receive
            partner[receive] = send
    return partner


def _notation(step: Step) -> str:
    source = _short(step.source)
    target = _short(step.target)
    return {
        "send": f"{source}>{step.peer}",
        "recv": f"{target}<{step.peer}",
        "recv_reduce": f"{target}+<{step.peer}",
        "copy": f"{target}={source}",
        "reduce": f"{target}+={source}",
    }[step.kind]


def _short(chunks: Slice | None) -> str:
    if chunks is None:
        return ""
    last = "" if chunks.count == 1 else f":{chunks.first + chunks.count}"
    return f"{chunks.buffer[0]}{chunks.first}{last}"


def _row(cells: list[str], widths: list[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return " | ".join(padded).rstrip()
