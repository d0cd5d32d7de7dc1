"""One rank of `weft bench innet`: the same all_reduce by each algorithm in turn.

    python -m weft.bench.innet_rank ELEMENTS ROUNDS ALGORITHM...

Rank 0 prints one JSON object: seconds of every round, by algorithm; how many sums the switch
missed, and why.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from weft.collectives import Communicator
from weft.transport import Context


def main() -> None:
    count, rounds, names = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    with (
        Context() as context,
        Communicator.from_environment(context, timeout=120, connect_timeout=120) as group,
    ):
        data = np.ones(count, np.float32)
        result = np.empty_like(data)
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(rounds + 1):
            for name in names:
                group.barrier()
                began = time.perf_counter()
                group.all_reduce(data, result, algorithm=name)
                took = time.perf_counter() - began
                if turn > 0:  # the first warms up
                    seconds[name].append(took)
        if not (result == group.size).all():
            raise SystemExit(f"wrong sum: {result[:4]}")
        told = group.explain("all_reduce", 4 * count)
        missed = rounds + 1 - told["innet_calls"]["by_switch"] if "innet" in names else 0
        if group.rank == 0:
            said = {"seconds": seconds, "missed": missed, "innet": told["innet"]}
            print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
