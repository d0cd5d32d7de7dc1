"""Weft: multipath software transport and collective communication for machine learning.

This package is the facade. It has no logic of its own: what `import weft` offers comes from
`weft.transport`, `weft.collectives`, `weft.emulation` and `weft.p4`, and importing it must stay
cheap (no torch, no native library).
"""

__version__ = "0.1.0"
