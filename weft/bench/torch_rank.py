"""One rank of the benchmark through torch.distributed, for any backend.

    python -m weft.bench.torch_rank BACKEND STORE_FILE COLLECTIVE BYTES,BYTES,... MILLISECONDS
    python -m weft.bench.torch_rank BACKEND STORE_FILE idle SECONDS

Rank and size come from RANK and WORLD_SIZE. Measures and prints what benchmarks/c/collectives.c
does, and checks results against the same small integers, whose sums are exact in float32.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist

Run = Callable[[], object]


def value(rank: int, index: torch.Tensor) -> torch.Tensor:
    return ((rank + 1) * (index % 7 + 1)).float()


def case(
    collective: str, size: int, rank: int, ranks: int
) -> tuple[Run, torch.Tensor, torch.Tensor, int]:
    """A collective over `size` bytes: what runs it, its output, what that must be, the count."""
    blocks = 1 if collective in ("all_reduce", "broadcast") else ranks
    count = max(1, size // 4 // blocks)
    index = torch.arange(count * blocks)
    whole = value(rank, index)
    mine = slice(rank * count, (rank + 1) * count)
    every = sum(value(other, index) for other in range(ranks))
    assert isinstance(every, torch.Tensor)
    match collective:
        case "all_reduce":
            # In place, as torch has it: a first run is checked, zeros stay zeros in the others.
            zeros = torch.zeros_like(whole)
            first = whole.clone()
            dist.all_reduce(first)
            return (lambda: dist.all_reduce(zeros)), first, every, count
        case "reduce_scatter":
            out = torch.zeros(count)
            return (lambda: dist.reduce_scatter_tensor(out, whole)), out, every[mine], count
        case "all_gather":
            out = torch.zeros(count * ranks)
            own = value(rank, torch.arange(count))
            wanted = torch.cat([value(other, torch.arange(count)) for other in range(ranks)])
            return (lambda: dist.all_gather_into_tensor(out, own)), out, wanted, count
        case "all_to_all":
            out = torch.zeros_like(whole)
            wanted = torch.cat([value(other, index)[mine] for other in range(ranks)])
            return (lambda: dist.all_to_all_single(out, whole)), out, wanted, count
        case "broadcast":
            return (lambda: dist.broadcast(whole, 0)), whole, value(0, index), count
    raise SystemExit(f'torch_rank: no collective "{collective}"')


def measure(backend: str, collective: str, size: int, budget: float, rank: int, ranks: int) -> None:
    """Run for about `budget` seconds and print a line on rank 0, or where results are wrong."""
    run, output, wanted, count = case(collective, size, rank, ranks)
    run()
    dist.barrier()
    began = time.perf_counter()
    for _ in range(3):
        run()
    each = (time.perf_counter() - began) / 3
    told = torch.tensor([min(100_000, max(5, int(budget / (each + 1e-8))))])
    dist.broadcast(told, 0)
    iterations = int(told.item())
    dist.barrier()
    cpu, began = time.process_time(), time.perf_counter()
    for _ in range(iterations):
        run()
    seconds = (time.perf_counter() - began) / iterations
    dist.barrier()
    cpu = (time.process_time() - cpu) / iterations
    wrong = int((output != wanted).sum())
    divided = collective not in ("all_reduce", "broadcast")
    total = count * 4 * (ranks if divided else 1)
    factor = (ranks - 1) / ranks * (2 if collective == "all_reduce" else 1)
    if rank == 0 or wrong > 0:
        bandwidth = total / seconds * 1e-9
        line = {
            "library": backend,
            "collective": collective,
            "ranks": ranks,
            "rank": rank,
            "size": total,
            "count": count,
            "type": "float",
            "time": seconds * 1e6,
            "alg_bw": bandwidth,
            "bus_bw": bandwidth * (1 if collective == "broadcast" else factor),
            "nwrong": wrong,
            "iterations": iterations,
            "cpu_s_per_gb": cpu / (total * 1e-9),
        }
        print(json.dumps(line), flush=True)


def measure_idle(backend: str, seconds: float, rank: int) -> None:
    """Print the share of a core that the open group costs while nothing happens."""
    dist.barrier()
    time.sleep(1)  # adaptive spinning has ended by then
    cpu, began = time.process_time(), time.perf_counter()
    time.sleep(seconds)
    share = (time.process_time() - cpu) / (time.perf_counter() - began)
    if rank == 0:
        print(json.dumps({"library": backend, "collective": "idle", "core_share": share}))
    dist.barrier()


def main() -> None:
    backend, store, what, first, *rest = sys.argv[1:]
    if backend == "weft":
        import weft.collectives.torch  # noqa: F401  (registers the backend)
    torch.set_num_threads(1)
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    dist.init_process_group(
        backend,
        init_method=f"file://{store}",
        rank=rank,
        world_size=ranks,
        timeout=timedelta(seconds=60),
    )
    if what == "idle":
        measure_idle(backend, float(first), rank)
    else:
        for size in first.split(","):
            measure(backend, what, int(size), float(rest[0]) / 1e3, rank, ranks)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
