"""One rank of `weft bench multipath`: a collective again and again, with the time of each.

    python -m weft.bench.multipath_rank COLLECTIVE BYTES SECONDS [FILE]

Prints, as JSON lines, when each call began and ended (seconds of the monotonic clock, which all
namespaces share), and whether its result was right. FILE appears after rank 0's first call.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from weft.collectives import Communicator
from weft.transport import Context


def main(collective: str, size: int, seconds: float, begun: Path | None) -> None:
    with Context(timeout=20) as context, Communicator.from_environment(context) as group:
        rank, ranks = group.rank, group.size
        count = size // 4 // ranks * ranks
        mine = np.full(count, rank + 1, np.float32)
        output = np.zeros(count, np.float32)
        if collective == "all_reduce":
            expected = np.full(count, ranks * (ranks + 1) / 2, np.float32)
        else:
            expected = np.repeat(np.arange(1, ranks + 1, dtype=np.float32), count // ranks)
        run = group.all_reduce if collective == "all_reduce" else group.all_to_all
        more = np.ones(1, np.float32)
        began = time.monotonic()
        while True:
            start = time.monotonic()
            run(mine, output)
            end = time.monotonic()
            # Compared with care: a check of every byte would cost as much as the network.
            right = bool((output[::1021] == expected[::1021]).all())
            print(json.dumps({"start": start, "end": end, "right": right}), flush=True)
            if begun is not None and rank == 0:
                begun.touch()
            more[0] = end - began < seconds
            group.broadcast(more, root=0)
            if not more[0]:
                break


if __name__ == "__main__":
    main(
        sys.argv[1],
        int(sys.argv[2]),
        float(sys.argv[3]),
        Path(sys.argv[4]) if len(sys.argv) > 4 else None,
    )
