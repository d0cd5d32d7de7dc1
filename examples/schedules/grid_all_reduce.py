"""An all_reduce of our own: rings along the rows and columns of a 2-D grid of ranks.

On a torus, or where rows are hosts and columns are rails, a ring over all ranks has 2 (n - 1) steps
in a row; along rows and columns there are 2 (rows + cols - 2), for the same traffic per rank.

    python examples/schedules/grid_all_reduce.py [rows cols]
"""

from __future__ import annotations

import sys

from weft.collectives.schedule import Rank, Schedule, builtin, schedule


def reduce_scatter(me: Rank, ring: list[int], parts: list[slice]) -> None:
    """Afterwards the rank at place k of the ring holds the sum over the ring of parts[k + 1]."""
    n, k = len(ring), ring.index(me.rank)
    for step in range(n - 1):
        me.send(ring[(k + 1) % n], me.output[parts[(k - step) % n]])
        me.recv_reduce(ring[(k - 1) % n], me.output[parts[(k - step - 1) % n]])


def all_gather(me: Rank, ring: list[int], parts: list[slice]) -> None:
    """The reverse: everybody gets all parts."""
    n, k = len(ring), ring.index(me.rank)
    for step in range(n - 1):
        me.send(ring[(k + 1) % n], me.output[parts[(k + 1 - step) % n]])
        me.recv(ring[(k - 1) % n], me.output[parts[(k - step) % n]])


def grid_all_reduce(rows: int, cols: int) -> Schedule:
    """The schedule for ranks numbered row by row."""

    @schedule("all_reduce", size=rows * cols, chunks=rows * cols, name="grid")
    def grid(me: Rank) -> None:
        row, col = divmod(me.rank, cols)
        across = [row * cols + c for c in range(cols)]
        down = [r * cols + col for r in range(rows)]
        wide = [slice(c * rows, (c + 1) * rows) for c in range(cols)]
        first = (col + 1) % cols * rows  # the wide part that is ours after the row's ring
        narrow = [slice(first + r, first + r + 1) for r in range(rows)]
        me.copy(me.output[:], me.input[:])
        reduce_scatter(me, across, wide)
        reduce_scatter(me, down, narrow)
        all_gather(me, down, narrow)
        all_gather(me, across, wide)

    return grid


def main() -> None:
    rows, cols = (int(text) for text in sys.argv[1:3]) if len(sys.argv) > 2 else (4, 4)
    grid = grid_all_reduce(rows, cols)
    grid.verify()
    print(grid.draw(max_ranks=8, max_rounds=4))
    ring = builtin("ring", "all_reduce", grid.size)
    for nbytes in (1 << 10, 1 << 20, 1 << 28):
        times = [each.estimate(nbytes).seconds * 1e6 for each in (grid, ring)]
        print(f"{nbytes:>12} B: grid {times[0]:12.1f} us, ring {times[1]:12.1f} us")


if __name__ == "__main__":
    main()
