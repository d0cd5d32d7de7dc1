"""`weft sim` as users call it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from weft.emulation.cli import app
from weft.emulation.sweep import Axis

SCENARIO = """\
name = "small"
[fabric]
kind = "leaf_spine"
leaves = 2
spines = 2
hosts_per_leaf = 2
[[workload]]
pattern = "permutation"
size = "200kB"
[[events]]
at = "5us"
link = ["leaf0", "spine0"]
action = "down"
for = "20us"
[metrics]
sample_interval = "2us"
traced_connections = 4
"""

run = CliRunner().invoke


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SCENARIO)
    return path


def test_the_table_says_completion_and_slowdown(scenario: Path) -> None:
    result = run(app, [str(scenario)])
    assert result.exit_code == 0, result.output
    assert "permutation" in result.output
    assert re.search(r"ideal bound .*: \d+\.\d+x", result.output)


def test_json_is_one_object(scenario: Path) -> None:
    result = run(app, [str(scenario), "--json"])
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    assert record["messages"] == 4
    assert record["completion"]["max"] >= record["completion"]["p50"] > 0
    assert record["slowdown"] >= 1
    assert record["evidence"]["seed"] == 1


def test_a_sweep_runs_every_combination(scenario: Path) -> None:
    sweeps = ["--sweep", "transport.paths=1,8", "--sweep", "seed=1,2,3"]
    result = run(app, [str(scenario), *sweeps, "--json"])
    assert result.exit_code == 0, result.output
    runs = json.loads(result.stdout)["runs"]
    assert [r["values"]["seed"] for r in runs] == [1, 2, 3] * 2
    assert runs[0]["values"]["transport.paths"] == 1
    table = run(app, [str(scenario), *sweeps])
    assert table.exit_code == 0
    assert table.output.count("\n") >= 7


def test_the_report_is_self_contained(scenario: Path, tmp_path: Path) -> None:
    result = run(app, [str(scenario), "--plot", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"report.html", "completion.png", "links.png", "queues.png", "paths.png"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "<script" not in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a scenario file, or both --cm and --topo"),
        (["missing.toml"], "missing.toml: cannot be read"),
        (["FILE", "--sweep", "transport.paths"], "write it as KEY=A,B,C"),
        (
            ["FILE", "--sweep", "transport.paths=0,4"],
            "transport.paths: must lie in 1 .. 4096, not 0",
        ),
        (["FILE", "--set", "fabric.kind=donut"], "fabric.kind: 'donut' is not known"),
        (["FILE", "--sweep", "workload.7.size=1,2"], "no such place in the scenario"),
        (["FILE", "--set", "transport.congestion.nme=3"], "has no parameter 'nme'"),
    ],
)
def test_bad_input_ends_with_2_and_a_reason(
    arguments: list[str], message: str, scenario: Path
) -> None:
    result = run(app, [str(scenario) if a == "FILE" else a for a in arguments])
    assert result.exit_code == 2
    assert message in result.stderr


def test_messages_that_do_not_get_through_end_with_1(scenario: Path) -> None:
    result = run(app, [str(scenario), "--set", "run.limit=10us"])
    assert result.exit_code == 1
    assert "did not get through" in result.output


def test_axes_split_at_outer_commas_only() -> None:
    axis = Axis.parse('transport.congestion={name="swift", beta=0.5},"none"')
    assert axis.values == ({"name": "swift", "beta": 0.5}, "none")
    assert Axis.parse("a.b=1,2.5,true,text").values == (1, 2.5, True, "text")
