"""The pieces of `weft bench lab`: what leaves comes, in the lab and on Mininet's data paths."""

from __future__ import annotations

import os
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from weft.bench import lab, lab_peers
from weft.bench.lab import Place, Row
from weft.bench.libraries import Unavailable, plain_program

PLACES = {
    "lab": lambda: lab.in_lab(None, trains=False),
    "rootless": lambda: lab.in_lab(True, trains=False),
    "trains": lambda: lab.in_lab(None, trains=True),
    "bridge": lambda: lab.in_peer(lab_peers.bridge),
    "open vswitch": lambda: lab.in_peer(lab_peers.open_vswitch),
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_program("packets.c", tmp_path_factory.mktemp("program"))


@pytest.mark.parametrize("name", PLACES)
def test_what_leaves_comes_through_every_place(name: str, program: Path) -> None:
    opened: AbstractContextManager[Place] = PLACES[name]()
    if name in ("bridge", "open vswitch") and os.geteuid() != 0:
        with pytest.raises(Unavailable, match="need root"), opened:
            pass
        return
    segments = lab.SEGMENTS if name == "trains" else 1
    try:
        with opened as place:
            left, came, sink = lab.carry(place, program, 2000.0 * segments, 0.5, segments)
    except Unavailable as error:
        assert name == "open vswitch" and "openvswitch-switch" in str(error)
        pytest.skip(str(error))
    assert left > 0 and came == pytest.approx(left, rel=0.02)
    assert sink["bytes"] == sink["packets"] * lab.BYTES
    names = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=False).stdout
    assert f"weft-peer-{os.getpid()}" not in names


def test_a_capacity_is_the_highest_rate_that_can_be_believed(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place that carries 100,000 packets a second and drops the rest; another that lies."""
    asked = []

    def carried(place: Place, _program: Path, rate: float, *_: float) -> tuple[float, float, dict]:  # type: ignore[type-arg]
        asked.append(rate)
        return rate, min(rate, 100e3), {}

    monkeypatch.setattr(lab, "carry", carried)

    def opened(faults: list[str]) -> lab.Opener:
        from contextlib import nullcontext

        return lambda: nullcontext(Place([], [], "", lambda: faults))

    found = lab.capacity(opened([]), program, 1.0)
    assert 85e3 < found <= 100e3 and lab.STEPS < len(asked) < lab.STEPS * lab.TRIES
    assert lab.capacity(opened(["late"]), program, 1.0) == 0


def test_tables_say_what_was_not_valid() -> None:
    rows = [
        Row("a", "good", 1.0, "s", "goal", 0.5, "< 2 s", True),
        Row("a", "bad", 3.0, "s", "goal", 1.5, "< 2 s", False),
        Row("b", "unknown", 3.0, "s", note="NOT VALID: late"),
    ]
    (first, _, cells), (second, _, others) = lab.tables(rows)
    assert (first, second) == ("a", "b")
    assert [line[-1] for line in cells] == ["yes", "NO"] and others[0][-1] == "not valid"
