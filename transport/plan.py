"""The flow planner: which bytes of which flow take which path, decided before anything is sent.

from weft.transport import plan
made = plan([1 << 20] * 15, 16, "wrap_around")
print(len(made.pieces), made.ratio)         # 30 pieces, every path equally loaded

Flows of known sizes leave one source for destinations behind one set of equally long paths (in a
leaf-spine fabric: one rack). The strategies:

whole        no flow is cut; longest first (Graham 1969).
ethereal     equal flows on equal paths; what is left over is cut into equal parts (Addanki et al.,
             arXiv 2407.00550): n - r + r * s / gcd(r, s) pieces with r = n mod s.
wrap_around  any sizes and weights (McNaughton 1959): at most n + s - 1 pieces, n + s - gcd(n, s)
             when all are equal; no plan has a lower maximum load.
spray        every flow over all paths, whatever the others do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import weft._native._core as _core

_planner = _core.planner

STRATEGIES: tuple[str, ...] = tuple(_planner.strategies())


@dataclass(frozen=True)
class Piece:
    """Bytes [offset, offset + size) of flow number `flow`, on path number `path`."""

    flow: int
    path: int
    offset: int
    size: int


@dataclass(frozen=True)
class Plan:
    """The pieces of all flows, and what they do to the paths. Sizes in bytes."""

    strategy: str
    pieces: tuple[Piece, ...]
    """By flow, then by offset; together they cover every flow exactly."""
    load: tuple[int, ...]
    """Bytes on each path."""
    max_load: float
    """Of the path that ends last: bytes per unit of weight (of equal paths: bytes)."""
    ideal_load: float
    """The same if all paths ended together: no plan can go below."""

    @property
    def ratio(self) -> float:
        """How much later than ideally the last path ends; 1 is perfect."""
        return self.max_load / self.ideal_load if self.ideal_load > 0 else 1.0

    @property
    def most_pieces(self) -> int:
        """Pieces of the flow that has the most: queue pairs that it needs."""
        counts = np.bincount([piece.flow for piece in self.pieces]) if self.pieces else [0]
        return int(max(counts))


def plan(
    flows: Sequence[int],
    paths: int | Sequence[float],
    strategy: str = "wrap_around",
    *,
    minimum_piece: int = 1,
    granularity: int = 1,
    first_path: int = 0,
) -> Plan:
    """Plan `flows` (sizes in bytes, 0 .. 2^63) over `paths`: their number, or the capacity of each
    in any one unit (0: the path has failed).

    minimum_piece: bytes below which a piece is not worth its overhead; the plan is then as even as
    that allows. granularity: pieces begin at multiples of it. first_path: where the round of paths
    begins; sources that plan independently should begin at different ones.

    Raises ValueError: an unknown strategy, no usable path, a negative size or weight, unequal flows
    or weights for "ethereal".
    """
    weights = _weights(paths)
    for flow, size in enumerate(flows):
        if not 0 <= size < 1 << 63:
            raise ValueError(f"plan: flow {flow} has {size} bytes; sizes lie in 0 .. 2^63")
    for name, value in (("minimum_piece", minimum_piece), ("granularity", granularity)):
        if value < 1:
            raise ValueError(f"plan: {name} must be at least 1 byte, not {value}")
    made = _planner.plan(
        strategy,
        np.asarray(flows, np.uint64),
        weights,
        minimum_piece=minimum_piece,
        granularity=granularity,
        first_path=first_path % max(1, len(weights)),
    )
    columns = (made.flow.tolist(), made.path.tolist(), made.offset.tolist(), made.size.tolist())
    # The planner counts in integral weights; plain equal paths keep bytes as the unit.
    unit = 1.0 if isinstance(paths, int) else float(max(weights)) / max(paths)
    return Plan(
        strategy=strategy,
        pieces=tuple(Piece(*row) for row in zip(*columns, strict=True)),
        load=tuple(made.load.tolist()),
        max_load=made.worst * unit,
        ideal_load=made.ideal * unit,
    )


def _weights(paths: int | Sequence[float]) -> NDArray[np.uint64]:
    """Integral weights: counts as they are, fractions on a scale of 2^20 for the largest."""
    if isinstance(paths, int):
        if paths < 1:
            raise ValueError(f"plan: there must be at least one path, not {paths}")
        return np.ones(paths, np.uint64)
    given = np.asarray(paths, float)
    if given.ndim != 1 or not len(given) or not np.isfinite(given).all() or (given < 0).any():
        raise ValueError(f"plan: weights must be finite numbers from 0 on, not {list(paths)}")
    if (given == np.round(given)).all() and given.max() < 1 << 32:
        return given.astype(np.uint64)
    scaled: NDArray[np.uint64] = np.rint(given / given.max() * (1 << 20)).astype(np.uint64)
    return scaled
