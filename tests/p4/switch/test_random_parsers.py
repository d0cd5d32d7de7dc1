"""Random parsers: the compiled switch against the model that the generator makes of each."""

from __future__ import annotations

import os
import random

import pytest
from random_parsers import Parsers

from weft.p4.compiler import compile_text
from weft.p4.switch import Switch

#: How many programs; more in long runs.
PROGRAMS = int(os.environ.get("WEFT_P4_PROGRAMS", "25"))


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_program(seed: int) -> None:
    source, meaning = Parsers(seed).program()
    rng = random.Random(seed)
    with Switch(compile_text(source, "random.p4")) as switch:
        for _ in range(150):
            size = rng.randrange(14)
            packet = bytes(rng.choice((rng.randrange(256), rng.randrange(4))) for _ in range(size))
            wanted = meaning(packet)
            left = [o.data for o in switch.send(0, packet)]
            assert left == ([] if wanted is None else [wanted]), packet.hex()
