"""One rank of a group that runs every collective and compares with numpy; runs in a machine.

`collectives.py SPEC`, SPEC in JSON: datapaths, interfaces, transport (options), sizes (elements per
rank), rounds, seed. Rank, size and meeting place come from the environment, as torchrun gives
them. Prints "up" and then one JSON object: how many results were compared, seconds, statistics; or
the error that ended the group.

Expected values are computed from all ranks' inputs, which every rank draws from the common seed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.collectives import Communicator
from weft.transport import Context
from weft.transport.errors import WeftError

Array = NDArray[Any]


class Rounds:
    """Inputs of all ranks, and checks of what came out."""

    def __init__(self, group: Communicator, seed: int) -> None:
        self.group, self.rank, self.size = group, group.rank, group.size
        self._seed, self._draws = seed, 0
        self.compared = 0

    def inputs(self, count: int) -> list[Array]:
        """By rank. Whole numbers, so that sums are exact in any order."""
        self._draws += 1
        return [
            np.random.default_rng([self._seed, self._draws, rank])
            .integers(-1000, 1000, count)
            .astype(np.float32)
            for rank in range(self.size)
        ]

    def same(self, what: str, got: Array, want: Array) -> None:
        if not np.array_equal(got, want):
            wrong = np.flatnonzero(got != want)
            raise AssertionError(f"{what}: {len(wrong)} of {len(got)} differ, first at {wrong[0]}")
        self.compared += 1

    def all_reduce(self, count: int) -> None:
        ins = self.inputs(count)
        for op, reduce in (("sum", np.sum), ("max", np.max)):
            out = np.empty(count, np.float32)
            self.group.all_reduce(ins[self.rank], out, op)
            self.same(f"all_reduce {op}", out, reduce(ins, axis=0))

    def reduce(self, count: int) -> None:
        ins, out = self.inputs(count), np.zeros(count, np.float32)
        root = count % self.size
        self.group.reduce(ins[self.rank], out, "sum", root)
        if self.rank == root:
            self.same("reduce", out, np.sum(ins, axis=0))

    def broadcast(self, count: int) -> None:
        ins, root = self.inputs(count), count % self.size
        memory = ins[self.rank].copy()
        self.group.broadcast(memory, root=root)
        self.same("broadcast", memory, ins[root])

    def all_gather(self, count: int) -> None:
        ins, out = self.inputs(count), np.empty(count * self.size, np.float32)
        self.group.all_gather(ins[self.rank], out)
        self.same("all_gather", out, np.concatenate(ins))

    def reduce_scatter(self, count: int) -> None:
        ins, out = self.inputs(count * self.size), np.empty(count, np.float32)
        self.group.reduce_scatter(ins[self.rank], out)
        own = slice(self.rank * count, (self.rank + 1) * count)
        self.same("reduce_scatter", out, np.sum(ins, axis=0)[own])

    def all_to_all(self, count: int) -> None:
        ins, out = self.inputs(count * self.size), np.empty(count * self.size, np.float32)
        self.group.all_to_all(ins[self.rank], out)
        own = slice(self.rank * count, (self.rank + 1) * count)
        self.same("all_to_all", out, np.concatenate([one[own] for one in ins]))

    def all_to_allv(self, count: int) -> None:
        """Rank a sends count + 3a + b elements to rank b."""
        sizes = [[count + 3 * a + b for b in range(self.size)] for a in range(self.size)]
        ins = [self.inputs(sum(row))[a] for a, row in enumerate(sizes)]
        receives = [row[self.rank] for row in sizes]
        out = np.empty(sum(receives), np.float32)
        self.group.all_to_allv(ins[self.rank], sizes[self.rank], out, receives)
        parts = [ins[a][sum(row[: self.rank]) :][: receives[a]] for a, row in enumerate(sizes)]
        self.same("all_to_allv", out, np.concatenate(parts))

    def gather_scatter(self, count: int) -> None:
        ins, root = self.inputs(count), self.size - 1
        gathered = np.zeros(count * self.size, np.float32)
        self.group.gather(ins[self.rank], gathered, root)
        if self.rank == root:
            self.same("gather", gathered, np.concatenate(ins))
        back = np.zeros(count, np.float32)
        self.group.scatter(gathered, back, root)
        self.same("scatter", back, ins[self.rank])

    def send_recv(self, count: int) -> None:
        """Around the ring, both ways at once."""
        ins, size = self.inputs(count), self.size
        after, before = (self.rank + 1) % size, (self.rank - 1) % size
        there, back = np.empty(count, np.float32), np.empty(count, np.float32)
        works = [
            self.group.recv(there, before, tag=1, wait=False),
            self.group.recv(back, after, tag=2, wait=False),
            self.group.send(ins[self.rank], after, tag=1, wait=False),
            self.group.send(ins[self.rank], before, tag=2, wait=False),
        ]
        for work in works:
            work.wait()
        self.same("ring forwards", there, ins[before])
        self.same("ring backwards", back, ins[after])


KINDS: list[Callable[[Rounds, int], None]] = [
    Rounds.all_reduce, Rounds.reduce, Rounds.broadcast, Rounds.all_gather, Rounds.reduce_scatter,
    Rounds.all_to_all, Rounds.all_to_allv, Rounds.gather_scatter, Rounds.send_recv,
]  # fmt: skip


def main() -> int:
    spec = json.loads(sys.argv[1])
    context = Context(
        secret="vm", datapaths=spec["datapaths"], interfaces=spec.get("interfaces"),
        transport=spec.get("transport"), timeout=spec.get("timeout", 60.0),
        peer_timeout=spec.get("peer_timeout", 10.0),
    )  # fmt: skip
    with context, Communicator.from_environment(context, connect_timeout=120.0) as group:
        print("up", flush=True)
        rounds, began = Rounds(group, spec["seed"]), time.monotonic()
        said: dict[str, Any] = {}
        try:
            for _ in range(spec.get("rounds", 1)):
                for count in spec["sizes"]:
                    for kind in KINDS:
                        kind(rounds, count)
            group.barrier()
        except WeftError as error:
            said = {"error": type(error).__name__, "text": str(error), "rank": error.peer_rank}
        said |= {"compared": rounds.compared, "seconds": time.monotonic() - began}
        said["stats"] = context.stats()
    print(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
