"""One rank of the demo on an emulated fabric: a program like any other, on a host of its own.

`python -m weft.demo.fabric_rank FD`: (rank, folder, settings) comes in, "ready" goes out. For each
backend that comes in, it trains from the start: rank 0 tells the number of every step that it has
done, and everybody sends its Curve in the end, or what went wrong as a string. None ends it.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection
from pathlib import Path

import torch.distributed as dist

from weft.demo.training import Curve, Images, Learner, Settings, groups


def main() -> int:
    connection = Connection(int(sys.argv[1]))
    rank: int
    folder: str
    settings: Settings
    rank, folder, settings = connection.recv()
    with groups(rank, Path(folder), settings) as made:
        connection.send("ready")
        while (backend := connection.recv()) is not None:
            try:
                connection.send(_train(rank, made[backend], settings, connection))
            except Exception as error:  # a backend may give up where the fabric fails
                connection.send(f"{type(error).__name__}: {error}")
    return 0


def _train(
    rank: int, group: dist.ProcessGroup, settings: Settings, connection: Connection
) -> Curve:
    learner, images = Learner(group, settings), Images(settings)
    for step, batch in enumerate(images.batches(rank)):
        learner.step(*batch)
        if rank == 0:
            connection.send(step + 1)
    return learner.finish(*images.unseen)


if __name__ == "__main__":
    sys.exit(main())
