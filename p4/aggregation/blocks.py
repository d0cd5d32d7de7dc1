"""Block floating point: floats as 32 bit integers that share one exponent per block.

All workers of a block use the largest exponent e among them (the switch finds it one round ahead),
so that every |x| < 2^e, and send round(x 2^(b - e)) with b = 30 - ceil(log2 workers) fraction bits:
sums of all workers fit 31 bits. The absolute error of a sum of n values is at most n 2^(e - b - 1),
half a step each.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from weft.p4.aggregation.wire import VALUES, Values

#: Exponent of a block with a NaN or an infinity: the sum of the whole block is NaN.
NOT_FINITE = 127
#: Exponents reach from LEAST (all zero, or smaller than any sum could show) to NOT_FINITE - 1.
LEAST = -128
_ZERO = LEAST

Floats = npt.NDArray[np.float32]


def fraction_bits(workers: int) -> int:
    return 30 - math.ceil(math.log2(max(workers, 1)))


def blocks(values: npt.NDArray[Any], type_: type) -> npt.NDArray[Any]:
    """Flat values as rows of VALUES, the last one filled with zeros."""
    count = -(-values.size // VALUES)
    padded: npt.NDArray[Any] = np.zeros(count * VALUES, type_)
    padded[: values.size] = values.reshape(-1)
    return padded.reshape(count, VALUES)


def exponents(block: Floats) -> npt.NDArray[np.int8]:
    """Per row the least e with |x| < 2^e for all x, clamped to -127..126; see NOT_FINITE."""
    largest = np.abs(block).max(axis=1)
    _, e = np.frexp(np.where(np.isfinite(largest), largest, 1.0))
    clamped = np.where(largest == 0, _ZERO, np.clip(e, LEAST + 1, NOT_FINITE - 1))
    # 2^127 <= |x| has e = 128, beyond what is sent: such a block counts as not finite.
    odd = ~np.isfinite(largest) | (e > NOT_FINITE - 1)
    return np.where(odd, NOT_FINITE, clamped).astype(np.int8)


def to_integers(row: Floats, exponent: int, workers: int) -> Values:
    """One block for the switch; zeros where the exponent says that nothing can be added."""
    if exponent in (NOT_FINITE, _ZERO):
        return np.zeros(VALUES, np.int32)
    scaled = np.ldexp(row.astype(np.float64), fraction_bits(workers) - exponent)
    return np.rint(scaled).astype(np.int32)


def to_floats(total: Values, exponent: int, workers: int) -> Floats:
    """The sum that the integers stand for."""
    if exponent == NOT_FINITE:
        return np.full(VALUES, np.nan, np.float32)
    if exponent == _ZERO:
        return np.zeros(VALUES, np.float32)
    scaled = np.ldexp(total.astype(np.float64), exponent - fraction_bits(workers))
    return scaled.astype(np.float32)
