"""How much each operator prunes, beside the theorems' bounds and an independent simulation.

Rows run through the operators' own P4 programs, eight per packet, each lane with registers of its
own; d counts the rows of all lanes together. The reference figures are those of a simulation of the
paper's algorithms (Tirmazi et al., SIGMOD 2020) that shares no code with this one: one seed, one or
two million rows, fractions of the rows that the operator might prune.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from weft.p4.pruning import codes, sizing, wire
from weft.p4.pruning.control import CASTAGNOLI, PROGRAMS, Station, admission
from weft.p4.switch import Switch

U64 = npt.NDArray[np.uint64]
WORKER, MASTER = wire.Address(1), wire.Address(100)
FULL = 1_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """`run` measures the share of rows pruned; for HAVING the number of keys reported, of 100,000
    by a Zipf law of power 1.1, of which 85 are above the bound of 0.1 % of the rows.

    `bound`: the least by a theorem of the paper.
    """

    name: str
    rows: int
    run: Callable[[], float]
    bound: float | None
    reference: float | None


class Runner:
    """One program, one query; `prune` says of which rows nothing came through."""

    def __init__(self, program: str, action: str, seed: int = 1, **defines: int) -> None:
        given = {name: str(value) for name, value in defines.items()}
        self.switch = Switch.load(PROGRAMS / f"{program}.p4", defines=given, seed=seed)
        self.switch.custom_crc(32, *CASTAGNOLI)
        self._action = action
        for port, station in ((1, WORKER), (9, MASTER)):
            routes = self.switch.table("ingress.routes")
            routes.insert([(str(station), 32)], "ingress.forward", [port])

    def install(self, arguments: Sequence[int], phase: int = 0) -> None:
        key = admission(1, 1, phase, phase, Station(1, WORKER))
        self.switch.table("ingress.queries").insert(key, f"ingress.{self._action}", arguments)

    def prune(
        self, rows: wire.Codes, lanes: npt.NDArray[np.uint8] | None = None, phase: int = 0
    ) -> npt.NDArray[np.bool_]:
        """Rows are the a, b, c codes (n, 3), in their order; lanes in turn unless given."""
        if lanes is None:
            lanes = (np.arange(len(rows)) % wire.LANES).astype(np.uint8)
        stream = wire.Stream(WORKER, MASTER, 1, 1, phase, phase)
        bodies = wire.lay_out(np.arange(len(rows), dtype=np.uint32), rows, lanes)
        pruned = np.ones(len(rows), bool)
        for sequence, (present, body) in enumerate(bodies, 1):
            frame = wire.encode(stream, wire.DATA, sequence, present, body)
            for output in self.switch.send(1, frame):
                if output.port == 9:
                    pruned[list(wire.decode(output.data)[1].ids)] = False
        return pruned

    def close(self) -> None:
        self.switch.close()


def keyed(keys: U64, values: npt.ArrayLike = 0) -> tuple[wire.Codes, npt.NDArray[np.uint8]]:
    """Codes and lanes of small integer keys, each spread over 64 bits first."""
    spread = codes.mix(keys)
    made = np.zeros((len(keys), 3), np.uint32)
    made[:, 0], made[:, 1] = spread >> np.uint64(32), spread & np.uint64(0xFFFFFFFF)
    made[:, 2] = values
    return made, codes.lanes(spread, wire.LANES)


def zipf(rng: np.random.Generator, keys: int, rows: int, power: float = 1.1) -> U64:
    """Keys 1..`keys` with probabilities proportional to rank to the minus `power`."""
    weights = np.cumsum(np.arange(1, keys + 1, dtype=float) ** -power)
    ranks = np.searchsorted(weights, rng.random(rows) * weights[-1]) + 1
    return np.asarray(ranks, np.uint64)


def _one_lane(rows: wire.Codes) -> npt.NDArray[np.uint8]:
    """For operators that learn from every row: lanes would each learn from an eighth of them."""
    return np.zeros(len(rows), np.uint8)


def distinct(rows: int, keys: int, d: int, w: int, fifo: bool, skewed: bool) -> float:
    """Share of the duplicates that is pruned."""
    rng = np.random.default_rng(1)
    drawn = zipf(rng, keys, rows) if skewed else rng.integers(1, keys + 1, rows).astype(np.uint64)
    runner = Runner("distinct_fifo" if fifo else "distinct_lru", "distinct", COLUMNS=w)
    runner.install([0, d // wire.LANES])
    pruned = runner.prune(*keyed(drawn))
    runner.close()
    return float(pruned.sum()) / (rows - len(np.unique(drawn)))


def top_n_random(rows: int, d: int, w: int) -> float:
    rng = np.random.default_rng(2)
    runner = Runner("top_n_random", "top_n_random", COLUMNS=w)
    runner.install([0, d // wire.LANES, 1])
    made = np.zeros((rows, 3), np.uint32)
    made[:, 0] = rng.integers(1, 1 << 32, rows, dtype=np.uint64)
    pruned = runner.prune(made)
    runner.close()
    return float(pruned.mean())


def top_n_deterministic(rows: int, n: int, w: int, skewed: bool) -> float:
    """The mean over three seeds: the least of the first N decides much."""
    shares = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        runner = Runner("top_n_deterministic", "top_n_deterministic", COLUMNS=w)
        runner.install([0, n])
        made = np.zeros((rows // 3, 3), np.uint32)
        drawn = 1000 * (1 + rng.pareto(1.2, len(made))) if skewed else rng.random(len(made)) * 2**32
        made[:, 0] = np.clip(drawn, 1, 2**32 - 1)
        shares.append(float(runner.prune(made, _one_lane(made)).mean()))
        runner.close()
    return float(np.mean(shares))


def group_by(rows: int, keys: int, d: int, w: int) -> float:
    rng = np.random.default_rng(3)
    runner = Runner("group_by", "group_by", COLUMNS=w)
    runner.install([0, d // wire.LANES, 1])
    drawn = rng.integers(1, keys + 1, rows).astype(np.uint64)
    values = rng.integers(1, 1 << 32, rows, dtype=np.uint64)
    pruned = runner.prune(*keyed(drawn, values))
    runner.close()
    return float(pruned.mean())


def join(keys: int, octets: int) -> float:
    """Bloom filters of three hashes; the share of rows without a match that is pruned."""
    cells = octets * 8 // 3 // wire.LANES
    runner = Runner("join_bloom", "join", FILTER_CELLS=1 << (cells - 1).bit_length())
    runner.install([0, cells, 0, 1, 0, 1], phase=0)
    runner.install([0, cells, 1, 0, 1, 0], phase=1)
    runner.prune(*keyed(np.arange(1, keys + 1, dtype=np.uint64)), phase=0)
    asked = np.arange(1 << 40, (1 << 40) + 40_000, dtype=np.uint64)
    pruned = runner.prune(*keyed(asked), phase=1)
    runner.close()
    return float(pruned.mean())


def having(rows: int, keys: int, cells: int) -> float:
    """How many keys are reported as above 0.1 % of the rows."""
    rng = np.random.default_rng(4)
    drawn = zipf(rng, keys, rows)
    runner = Runner("having", "having", COLUMNS=2, SKETCH_CELLS=4096)
    runner.install([0, cells // wire.LANES, 0, 4096, rows // 1000])
    pruned = runner.prune(*keyed(drawn, 1))
    runner.close()
    return float(len(np.unique(drawn[~pruned])))


def skyline(rows: int, dimensions: int, w: int) -> float:
    rng = np.random.default_rng(5)
    runner = Runner("skyline_sum", "skyline", COLUMNS=w)
    runner.install([0, 0, 0, 0])
    made = np.zeros((rows, 3), np.uint32)
    made[:, :dimensions] = rng.integers(1, 1 << 30, (rows, dimensions))
    pruned = runner.prune(made, _one_lane(made))
    runner.close()
    return float(pruned.mean())


def cases(rows: int = FULL) -> list[Case]:
    """The reference's cases, each over so many rows (DISTINCT and HAVING twice as many, as there);
    JOIN keeps the reference's keys per bit."""
    found: list[Case] = []

    def case(name: str, bound: float | None, reference: float | None, run: Callable[[], float]
             ) -> None:  # fmt: skip
        found.append(Case(name, rows, run, bound, reference))

    for keys, d, w, fifo, lru, zipf_fifo, zipf_lru in (
        (15_000, 1000, 24, 0.9973, 0.9972, 0.9997, 0.9998),
        (15_000, 4096, 2, 0.508, None, 0.916, 0.924),
        (15_000, 4096, 4, 0.839, None, 0.978, 0.983),
        (100_000, 4096, 2, 0.086, None, 0.828, 0.842),
        (100_000, 4096, 8, 0.341, None, 0.940, 0.955),
    ):
        bound, size = sizing.distinct_bound(keys, d, w), f"D={keys} d={d} w={w}"
        for kind, uniform, skewed in (("FIFO", fifo, zipf_fifo), ("LRU", lru, zipf_lru)):
            run = partial(distinct, 2 * rows, keys, d, w, kind == "FIFO")
            case(f"DISTINCT {kind} {size}", bound, uniform, partial(run, False))
            case(f"DISTINCT {kind} {size}, Zipf 1.1", None, skewed, partial(run, True))
    for n, d, w, reference in ((250, 4096, 4, 0.9181), (1000, 480, 19, 0.9483)):
        case(f"TOP {n} randomised d={d} w={w}", sizing.top_n_bound(rows, d, w),
             reference if rows == FULL else None, partial(top_n_random, rows, d, w))  # fmt: skip
    # The program counts the first N's least as a threshold; the reference's w do not.
    for w, uniform, skewed in ((1, 0.009, 0.570), (4, 0.238, 0.963)):
        run = partial(top_n_deterministic, rows, 250, w + 1)
        case(f"TOP 250 thresholds w={w}", None, uniform, partial(run, False))
        case(f"TOP 250 thresholds w={w}, Pareto 1.2", None, skewed, partial(run, True))
    for keys, d, w, reference in ((1000, 4096, 8, 0.996), (100_000, 4096, 8, 0.177),
                                  (1000, 64, 2, 0.066)):  # fmt: skip
        case(f"GROUP BY MAX K={keys} d={d} w={w}", None, reference,
             partial(group_by, rows, keys, d, w))  # fmt: skip
    for kilobytes, reference in ((256, 0.312), (1024, 0.929), (4096, 0.998)):
        octets = kilobytes * 1024 * (rows // 8) // 1_500_000
        case(f"JOIN Bloom, 1.5 M keys in {kilobytes} kB, rows without a match", None, reference,
             partial(join, rows // 8, octets))  # fmt: skip
    for dimensions, figures in ((2, (0.9980, 0.9994, 0.9996, 0.9998)),
                                (3, (0.974, 0.989, 0.992, 0.996))):  # fmt: skip
        for w, reference in zip((1, 5, 10, 20), figures, strict=True):
            case(f"SKYLINE {dimensions}-D SUM w={w}", None, reference,
                 partial(skyline, rows, dimensions, w))  # fmt: skip
    for cells, reference in ((64, 82_601), (256, 74_321), (1024, 317), (4096, 92)):
        case(f"HAVING Count-Min 3 x {cells}, keys reported", None, reference,
             partial(having, 2 * rows, 100_000, cells))  # fmt: skip
    return found
