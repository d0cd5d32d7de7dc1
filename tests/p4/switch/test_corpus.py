"""The STF corpus: each program by hand, with strict rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.p4.switch import Switch
from weft.p4.switch.stf import run_file

CORPUS = Path(__file__).parents[1] / "corpus"
FRAME = {"types", "frame"}


@pytest.mark.parametrize("name", sorted(p.stem for p in CORPUS.glob("*.stf")))
def test_program(name: str) -> None:
    with Switch.load(CORPUS / f"{name}.p4") as switch:
        result = run_file(switch, CORPUS / f"{name}.stf")
    assert result.failures == []
    assert result.checks > 0


def test_every_program_has_a_test() -> None:
    programs = {p.stem for p in CORPUS.glob("*.p4")} - FRAME
    assert programs == {p.stem for p in CORPUS.glob("*.stf")}
