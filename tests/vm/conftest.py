"""The machines: a leaf-spine with two leaves, four spines and four hosts, brought up once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import rack

from weft.emulation.lab import Lab


@pytest.fixture(scope="session")
def _shared() -> Iterator[Lab]:
    with ExitStack() as stack:
        yield rack.up(stack, rack.leaf_spine(), name="rdma")


@pytest.fixture
def lab(_shared: Lab) -> Iterator[Lab]:
    """The shared lab, whole again after every test."""
    yield _shared
    rack.mend(_shared)


@pytest.fixture
def make_lab() -> Iterator[Callable[..., Lab]]:
    """For tests that break machines: `make_lab(rack.leaf_spine(1))` is a lab of their own."""
    with ExitStack() as stack:
        yield lambda topology, **options: rack.up(stack, topology, **options)
