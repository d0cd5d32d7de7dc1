"""How large d (rows) and w (columns) have to be, and what they are expected to prune.

Formulas are those of Tirmazi et al., "Cheetah: Accelerating Database Queries with Switch Pruning"
(SIGMOD 2020), by the theorem that each function names; d counts the rows of all lanes together.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Amounts = npt.NDArray[np.float64]


def distinct_bound(distinct: int, d: int, w: int) -> float:
    """Least expected share of duplicates pruned, rows in random order (theorem 1).

    Valid for distinct > d ln(200 d); with fewer keys the caches hold nearly all.
    """
    return 0.99 * min(w * d / (distinct * math.e), 1.0)


def fingerprint_bits(distinct: int, d: int, delta: float) -> int:
    """Bits that a key's fingerprint needs, so that with 1 - delta no two keys of a row collide.

    (Theorem 4.) `distinct` keys are spread over `d` rows.
    """
    most = math.e * distinct / d
    if distinct <= d * math.log(2 * d / delta):
        most = math.e * math.log(2 * d / delta)
    return math.ceil(math.log2(d * most * most / delta))


def top_n_columns(n: int, d: int, delta: float) -> int:
    """Columns w for which the randomised TOP N is right with probability 1 - delta (theorem 2)."""
    if d < n * math.e / math.log(1 / delta):
        raise ValueError(f"d = {d} rows are too few for the {n} largest at delta = {delta}")
    log = math.log(d / delta)
    return max(1, math.floor(1.3 * log / math.log(d / (n * math.e) * log)))


def top_n_rows(n: int, delta: float) -> int:
    """Rows d for which d times w is least: delta exp(W(n e^2 / delta)), W Lambert's."""
    x = n * math.e**2 / delta
    w = math.log(x) - math.log(math.log(x))
    for _ in range(20):  # Newton's iteration for w e^w = x
        w -= (w - x * math.exp(-w)) / (w + 1)
    return max(1, math.ceil(delta * math.exp(w)))


def top_n_bound(rows: int, d: int, w: int) -> float:
    """Least expected share pruned of `rows` rows in random order (theorem 3)."""
    if rows <= w * d:
        return 0.0
    return max(0.0, 1 - w * d * math.log(rows * math.e / (w * d)) / rows)


def register_bloom_false_positives(keys: int, words: int, hashes: int = 3) -> float:
    """Share of absent keys that a register Bloom filter of 64 bit words lets pass.

    A word gets a Poisson number of keys; each sets `hashes` of its 64 bits.
    """
    if words == 0:
        return 1.0
    load, total = keys / words, 0.0
    probability = math.exp(-load)
    for count in range(int(load + 12 * math.sqrt(load) + 12)):
        total += probability * (1 - (1 - 1 / 64) ** (hashes * count)) ** hashes
        probability *= load / (count + 1)
    return min(1.0, total)


def group_by_expected(rows: int, groups: int, cells: int) -> float:
    """Rough share that GROUP BY MAX prunes when every group fits: all but records of a maximum.

    A group of m rows in random order has H(m) successive maxima (harmonic number).
    """
    per_group = max(rows / max(groups, 1), 1.0)
    records = math.log(per_group) + 0.577 if per_group > 1 else 1.0
    return max(0.0, 1 - groups * records / rows) * min(1.0, cells / max(groups, 1))


def rows_per_packet(keys: float, lanes: int) -> float:
    """How many rows a packet carries when `keys` equally frequent keys choose the lanes.

    A packet per row of the fullest lane, and lanes are as uneven as throws of that many balls: the
    largest of eight normal variates lies 1.42 deviations above their mean.
    """
    uneven = 1.42 * math.sqrt((lanes - 1) / max(keys, 1.0))
    return max(1.0, lanes / (1 + uneven))


def distinct_left(distinct: float, rows: float, left: float) -> float:
    """How many of `distinct` keys are in `left` of `rows` rows, drawn at random (Cardenas 1975)."""
    if left >= rows or rows <= 0 or distinct <= 0:
        return float(distinct)
    return distinct * (1 - math.pow(1 - left / rows, rows / distinct))


def count_min_above(
    rows: Amounts, sums: Amounts, groups: float, cells: int, bound: float, depth: int = 3
) -> float:
    """Share of the rows in groups that a Count-Min sketch takes to be above a bound.

    `rows` and `sums` are those of some of the groups. In a cell of each of `depth` rows a group
    meets a Poisson number of others, taken to be of the average sum; the row with fewest counts.
    """
    if rows.sum() == 0:
        return 1.0
    load, mean = groups / max(cells, 1), max(float(sums.mean()), 1e-300)
    missing = np.maximum(np.floor((bound - sums) / mean) + 1, 0)  # others that make up for it
    others = np.arange(64)
    logs = np.array([math.lgamma(k + 1) for k in others])
    below = np.cumsum(np.exp(others * math.log(max(load, 1e-9)) - load - logs))
    at_least = np.append(1.0, np.maximum(1 - below, 0.0))  # of one row's cell
    chance = at_least[np.minimum(np.nan_to_num(missing, posinf=64), 64).astype(int)] ** depth
    chance = np.where(sums > bound, 1.0, np.where(np.isnan(sums), 1.0, chance))
    return float((rows * chance).sum() / rows.sum())
