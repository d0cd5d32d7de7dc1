"""The pytest plugin: tests of users' own programs on emulated fabrics.

    def test_my_service(lab):
        net = lab(Topology.leaf_spine(leaves=2, spines=2, hosts_per_leaf=2))
        server = net["h0"].popen(["./server"])
        assert net["h3"].run(["./client", net["h0"].ip]).stdout == "hello"

Every lab ends with its test, and everything in it. A lab cannot be: the test is skipped with the
reason, or fails where WEFT_LAB_REQUIRED is set, as continuous integration should.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from weft.emulation import Topology
    from weft.emulation.lab import Lab


@pytest.fixture(name="weft_lab")
def make_lab(request: pytest.FixtureRequest) -> Iterator[Callable[..., Lab]]:
    """A function that brings a Topology up as a Lab, with Lab's options."""
    from weft.emulation.lab import Lab, LabError

    with ExitStack() as labs:

        def make(topology: Topology, **options: Any) -> Lab:
            options.setdefault("name", request.node.name)
            lab = Lab(topology, **options)
            try:
                labs.enter_context(lab)
            except LabError as error:
                if os.environ.get("WEFT_LAB_REQUIRED"):
                    raise
                pytest.skip(str(error))
            return lab

        yield make


@pytest.fixture
def lab(weft_lab: Callable[..., Lab]) -> Callable[..., Lab]:
    """The same under its short name; a project with a `lab` of its own uses `weft_lab`."""
    return weft_lab
