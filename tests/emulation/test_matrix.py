"""Scenario files that hold many cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.emulation import Scenario, ScenarioError
from weft.emulation.document import Document

TEXT = """
name = "base"
expect = ["errors == 0"]

[constants]
room = 2
outage = "5ms"

[fabric]
kind = "dumbbell"
left = 1
right = 1

[[workload]]
pattern = "permutation"
size = "1kB"

[transport]
congestion = { name = "swift", base_target_us = 20 }

[matrix.fault.healthy]
[matrix.fault.cut]
events = [{ at = "1ms", link = ["left", "right"], action = "down" }]
expect = ["end <= room * ideal + outage"]
[matrix.carrier.weft]
transport.paths = 3
[matrix.carrier.dctcp]
transport.congestion = { name = "dctcp", gain = 0.5 }
[matrix.carrier.tcp]
lab.carrier = "tcp"
only.fault = ["healthy"]
"""


def file(folder: Path, text: str = TEXT) -> Path:
    path = folder / "many.toml"
    path.write_text(text)
    return path


def test_every_combination_is_a_case(tmp_path: Path) -> None:
    path = file(tmp_path)
    cases = Document.cases(path)
    assert [case.case for case in cases] == [
        "healthy/weft", "healthy/dctcp", "healthy/tcp", "cut/weft", "cut/dctcp",
    ]  # fmt: skip
    read = {case.case: Scenario.of(case) for case in cases}
    assert read["cut/weft"].name == "base: cut, weft"
    assert [len(s.events) for s in read.values()] == [0, 0, 0, 1, 1]
    assert [len(s.expect) for s in read.values()] == [1, 1, 1, 2, 2]  # they grow
    assert read["healthy/weft"].transport.paths == 3
    assert read["healthy/weft"].transport.congestion.parameters == {"base_target_us": 20}
    # Another policy does not inherit parameters that it has not got.
    assert read["healthy/dctcp"].transport.congestion.parameters == {"gain": 0.5}
    assert read["healthy/dctcp"].transport.paths == 32
    assert read["healthy/tcp"].lab.carrier == "tcp"
    assert read["cut/weft"].constants == {"room": 2.0, "outage": 0.005}


def test_one_case_is_read_by_name(tmp_path: Path) -> None:
    path = file(tmp_path)
    assert Scenario.load(Path(f"{path}#cut/dctcp")).name == "base: cut, dctcp"
    with pytest.raises(ScenarioError, match=r"matrix: these are 5 cases: name one, as in .*many"):
        Scenario.load(path)
    with pytest.raises(ScenarioError, match=r"no case 'cut/dctp', as in .*many\.toml#cut/dctcp"):
        Scenario.load(Path(f"{path}#cut/dctp"))
    (tmp_path / "trace.csv").write_text("source,destination,size\n0,1,99\n")
    traced = TEXT.replace(
        'pattern = "permutation"\nsize = "1kB"', 'pattern = "trace"\npath = "trace.csv"'
    )
    found = Scenario.load(Path(f"{file(tmp_path, traced)}#cut/weft"))  # beside the file
    assert found.workload.size == [99]
    plain = file(tmp_path, TEXT[: TEXT.index("[matrix")])
    assert Scenario.load(plain).name == "base" and len(Document.cases(plain)) == 1
    with pytest.raises(ScenarioError, match="has no matrix, and so no case 'cut'"):
        Scenario.load(Path(f"{plain}#cut"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("transport.paths = 3", "transport.pahts = 3", r":26: transport\.pahts: .*mean 'paths'"),
        ('only.fault = ["healthy"]', 'only.fault = ["heathy"]', r":31: .*'heathy' is no variant"),
        ('only.fault = ["healthy"]', 'only.flaut = ["healthy"]', r"flaut: is no axis; there is"),
        ("[matrix.fault.healthy]", "[matrix]\nfault = 3", r"must be tables"),
        ("room * ideal", "roon * ideal", r"there is no metric 'roon'"),
        ("room = 2", "ideal = 2", r"constants\.ideal: is the name of a metric"),
    ],
)
def test_mistakes_name_the_variants_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = TEXT.replace(old, new)
    if new.startswith("[matrix]"):
        text = text[: text.index("[matrix.fault.cut]")]
    with pytest.raises(ScenarioError, match=message):
        for case in Document.cases(file(tmp_path, text)):
            Scenario.of(case)
