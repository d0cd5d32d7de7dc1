"""What can go wrong in a lab."""

from __future__ import annotations


class LabError(RuntimeError):
    """A lab cannot be made, or cannot do what it was asked; the text says what would mend it."""


class FabricDied(LabError):
    """The fabric process has ended without being asked to: nothing measured since can be used."""
