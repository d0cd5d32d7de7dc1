"""A whole all-reduce in virtual time: workers on a star, or under a tree of two levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weft.p4.aggregation.control import AggregationSwitch
from weft.p4.aggregation.worker import AggregationError, Membership, Worker
from weft.p4.star import Faults, Star
from weft.p4.switch import Output


@dataclass(frozen=True, slots=True)
class Outcome:
    """Every worker's sums; `elapsed_us` is virtual time."""

    results: list[npt.NDArray[np.generic]]
    contributors: list[npt.NDArray[np.int32]]
    elapsed_us: float
    resent: int


def all_reduce(
    send: Callable[[int, bytes, int], Sequence[Output]],
    members: Sequence[Membership],
    values: Sequence[npt.NDArray[np.generic]],
    *,
    gbps: float = 100.0,
    delay_us: float = 1.0,
    faults: Faults | None = None,
    cues: Sequence[tuple[float, Callable[[], None]]] = (),
    straggler_us: float | None = None,
    ready_us: Sequence[float] = (),
    deadline_us: float = 10e6,
) -> Outcome:
    """Sums `values[i]` of `members[i]` (hosts at the port of their number) through the switch.

    `ready_us[i]`: when that member begins, in virtual time.
    Raises `AggregationError` at the deadline: the caller then takes another algorithm.
    """
    workers = {
        m.host: Worker(
            m, v, timeout_us=200 + 20 * delay_us, straggler_us=straggler_us, ready_us=ready
        )
        for m, v, ready in zip(members, values, ready_us or [0.0] * len(members), strict=True)
    }
    star = Star(send, workers, dict.fromkeys(workers, gbps), delay_us, faults or Faults(), cues)
    if not star.run(deadline_us):
        for worker in workers.values():
            worker.result()
        raise AggregationError("the deadline came before the last result")
    return Outcome(
        [w.result() for w in workers.values()],
        [w.contributors for w in workers.values()],
        star.now,
        sum(w.resent for w in workers.values()),
    )


class Tree:
    """Two levels: `leaves` switches under one root, joined as if by perfect wires.

    A worker's port is 1 + its place; leaf i has `per_leaf` of them, and its uplink is port 100.
    """

    UPLINK = 100

    def __init__(self, leaves: int, per_leaf: int, slots: int, job: int = 1) -> None:
        self.root = AggregationSwitch()
        self.leaves = [AggregationSwitch() for _ in range(leaves)]
        self._per_leaf = per_leaf
        ports = {leaf: 1 + leaf for leaf in range(leaves)}
        (above, *_) = self.root.add_job(job, ports, slots)
        self.members: list[Membership] = []
        for i, leaf in enumerate(self.leaves):
            hosts = {w: 1 + i * per_leaf + w for w in range(per_leaf)}
            self.members += leaf.add_job(
                job, hosts, slots, parent=(self.UPLINK, i), epoch=above.epoch,
                total=leaves * per_leaf,
            )  # fmt: skip

    def send(self, port: int, frame: bytes, now_us: int) -> list[Output]:
        """A frame from a worker's port, through leaf, root and back down."""
        leaving: list[Output] = []
        for up in self.leaves[(port - 1) // self._per_leaf].send(port, frame, now_us):
            if up.port != self.UPLINK:
                leaving.append(up)
                continue
            index = (port - 1) // self._per_leaf
            for down in self.root.send(1 + index, up.data, now_us):
                leaf = self.leaves[down.port - 1]
                leaving += leaf.send(self.UPLINK, down.data, now_us)
        return leaving

    def close(self) -> None:
        for switch in (self.root, *self.leaves):
            switch.close()
