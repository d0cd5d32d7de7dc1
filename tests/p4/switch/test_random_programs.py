"""Random programs: the compiled switch against what the generator says that they mean."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from random_programs import Programs

from weft.p4.compiler import compile_text
from weft.p4.switch import Switch

CORPUS = Path(__file__).parents[1] / "corpus"
#: How many programs; more in long runs.
PROGRAMS = int(os.environ.get("WEFT_P4_PROGRAMS", "40"))


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_program(seed: int) -> None:
    text, meaning = Programs(seed).program()
    source = f'#include "types.p4"\n{text}#include "frame.p4"\n'
    rng = random.Random(seed)
    with Switch(compile_text(source, "random.p4", include_dirs=[CORPUS])) as switch:
        for _ in range(60):
            size = 12 + rng.randrange(3)
            packet = bytes(rng.choice((rng.randrange(256), rng.randrange(4))) for _ in range(size))
            assert [o.data for o in switch.send(0, packet)] == [meaning(packet)], packet.hex()
