"""A rank of a group in a lab: all-reduces, each checked against what all ranks' inputs must give.

    python innet_rank.py CALLS ELEMENTS [ALGORITHM]
    python innet_rank.py until-back ELEMENTS

The second form goes on until the switch has added up, failed, and added up again (or, if it refused
the group at first, until it has added up), all ranks alike.

Inputs follow from rank and call alone, so every rank knows the answer. Prints a JSON line for each
call, and first one that says what the group would choose. Calls alternate between int32 in place
and float32; the last one is an average.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time

import numpy as np

from weft.collectives import Communicator
from weft.transport import Context

MOST_CALLS = 1000
PAUSE = 0.02


def made(rank: int, call: int, count: int) -> np.ndarray:
    rng = np.random.default_rng([rank, call])
    if call % 2 == 0:
        return rng.integers(-(2**20), 2**20, count, np.int32)
    return rng.standard_normal(count, np.float32)


def wrong(result: np.ndarray, inputs: list[np.ndarray], average: bool) -> str:
    exact = np.sum(inputs, axis=0, dtype=np.float64)
    if average:
        exact /= len(inputs)
    error = float(np.abs(result - exact).max())
    # A block's largest value has 30 - log2(n) bits; float32 itself has 24.
    allowed = 0.0 if result.dtype == np.int32 else 8 * len(inputs) * 2.0**-24
    return f"off by {error}" if error > allowed else ""


def main() -> None:
    until_back = sys.argv[1] == "until-back"
    calls, count = MOST_CALLS if until_back else int(sys.argv[1]), int(sys.argv[2])
    options = {"algorithm": sys.argv[3]} if len(sys.argv) > 3 else {}
    context = Context()
    group = Communicator.from_environment(context, timeout=60, connect_timeout=60)
    first = group.explain("all_reduce", 4 * count)
    print(json.dumps(first), flush=True)
    for call in range(calls):
        inputs = [made(rank, call, count) for rank in range(group.size)]
        average = call == calls - 1 and call % 2 == 1
        mine = inputs[group.rank].copy()
        began = time.monotonic()
        output = mine if call % 2 == 0 else np.empty_like(mine)
        group.all_reduce(mine, output, op="avg" if average else "sum", **options)
        said = group.explain("all_reduce", 4 * count)
        line = {
            "seconds": time.monotonic() - began,
            "chosen": said["chosen"],
            "calls": said.get("innet_calls"),
            "wrong": wrong(output, inputs, average),
            "digest": hashlib.sha256(output.tobytes()).hexdigest(),
        }
        print(json.dumps(line), flush=True)
        if until_back:
            more = said["innet_calls"]["admissions"] > first["innet_calls"]["admissions"]
            came_back = more and said["chosen"] == "innet"
            if group.all_reduce(np.array([came_back], np.int32), op="min", algorithm="ring")[0]:
                break
            time.sleep(PAUSE)  # a step of training
    group.close()
    context.close()


if __name__ == "__main__":
    main()
