"""A rank of three groups at once, all of which would sum in one switch: everybody, and both halves.

    python innet_jobs.py ELEMENTS

Prints one JSON object: what each of the rank's two groups says of the switch, how many calls went
through it, and what was wrong with which sum. Values are small integers, so that every type has
exact sums.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import torch

from weft.collectives import Communicator
from weft.transport import Context

TYPES = (torch.int32, torch.float32, torch.bfloat16)


def made(rank: int, turn: int, count: int, dtype: torch.dtype) -> torch.Tensor:
    rng = np.random.default_rng([rank, turn])
    return torch.from_numpy(rng.integers(-60, 60, count, np.int32)).to(dtype)


def main() -> None:
    count = int(sys.argv[1])
    context = Context()
    everybody = Communicator.from_environment(context, timeout=60, connect_timeout=60)
    half = everybody.split(everybody.rank % 2)
    assert half is not None
    members = {"all": range(everybody.size), "half": range(everybody.rank % 2, everybody.size, 2)}
    groups = {"all": everybody, "half": half}
    wrong: list[str] = []
    for turn in range(4):
        for name, group in groups.items():
            for dtype in TYPES:
                mine = made(everybody.rank, turn, count, dtype)
                group.all_reduce(mine)
                parts = [made(rank, turn, count, dtype) for rank in members[name]]
                if not torch.equal(mine, torch.stack(parts).double().sum(0).to(dtype)):
                    wrong.append(f"{name}, turn {turn}, {dtype}")
    said: dict[str, Any] = {"wrong": wrong}
    for name, group in groups.items():
        told = group.explain("all_reduce", 4 * count)
        said[name] = {"innet": told["innet"], "calls": told["innet_calls"]}
    print(json.dumps(said), flush=True)
    half.close()
    everybody.close()
    context.close()


if __name__ == "__main__":
    main()
