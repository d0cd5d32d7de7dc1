"""Communicators, custom schedules, explanations and membership, over the native collectives."""

from weft.collectives.communicator import ANY_SOURCE, REDUCTIONS, Communicator

__all__ = ["ANY_SOURCE", "REDUCTIONS", "Communicator"]
