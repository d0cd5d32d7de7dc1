"""A second fabric for labs, of kernel parts: see fabric.py."""

HONEST_RATE = 200e6
"""Bit/s per shaped link above which the sender's softirq hides congestion, unless it is moved."""
