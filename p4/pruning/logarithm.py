"""The two tables by which the switch approximates log2 (`programs/pruning/include/skyline.p4`).

log2 x is the place of the highest bit plus the logarithm of what follows it, of which eight bits
count. Results are rounded down in steps of 2^-20, so they never fall when x grows: all that SKYLINE
asks.
"""

from __future__ import annotations

import math

from weft.p4.switch import Switch

LOG_BITS = 8
_ONE = 1 << 20


def install_logarithm(switch: Switch, path: str) -> None:
    """Fills the tables of the `Logarithm` at `path` of the control plane's names."""
    highest = switch.table(f"{path}.highest_bit")
    for bit in range(32):
        down, up = max(0, bit - LOG_BITS), max(0, LOG_BITS - bit)
        mask = 0xFFFFFFFF ^ ((1 << bit) - 1)
        highest.insert([(1 << bit, mask)], f"{path}.highest", [bit * _ONE, down, up], priority=1)
    fractions = switch.table(f"{path}.fractions")
    for rest in range(1 << LOG_BITS):
        value = math.floor(math.log2(1 + rest / (1 << LOG_BITS)) * _ONE)
        fractions.insert([rest], f"{path}.fraction", [value])
