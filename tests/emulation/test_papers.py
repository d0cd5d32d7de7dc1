"""Published results: the files are sound, and on smaller runs every claim holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from weft.emulation.document import ScenarioError
from weft.emulation.papers import FOLDER, Paper, papers, reproduce
from weft.emulation.reproduce_cli import app, page

NAMES = [path.stem for path in sorted(FOLDER.glob("*.toml"))]
PAGE = FOLDER.parent.parent / "docs" / "reproduction.md"

SMALL = """
[paper]
title = "A test"
reference = "none"
setup = "two hosts"
differences = "none"
{extra}
[[paper.variant]]
name = "one path"
paper = 10
set = {{ "transport.paths" = 1 }}
[[paper.variant]]
name = "many paths"
set = {{ "transport.paths" = 32 }}
[[paper.claim]]
text = "many are quicker"
of = "{of}"
to = "many paths"
least = {least}
[fabric]
kind = "leaf_spine"
[fabric.queue]
capacity = "4MB"
[[workload]]
pattern = "tornado"
size = "1MB"
"""


def write(folder: Path, of: str = "one path", least: float = 1.0, extra: str = "") -> Path:
    path = folder / "small.toml"
    path.write_text(SMALL.format(of=of, least=least, extra=extra), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", NAMES)
def test_claims_hold_on_short_runs(name: str) -> None:
    result = reproduce(papers([name])[0], short=True)
    assert result.verdicts
    for verdict in result.verdicts:
        assert verdict.holds, f"{verdict.claim.text}: {verdict.ours}"


def test_every_paper_is_on_the_page_with_its_claims() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for paper in papers():
        assert f"examples/papers/{paper.name}.toml" in text
        assert all(claim.text in text for claim in paper.claims)


def test_a_paper_is_run_and_judged(tmp_path: Path) -> None:
    paper = Paper.load(write(tmp_path))
    result = reproduce(paper)
    assert result.holds
    assert result.verdicts[0].ours == result.ours["one path"] / result.ours["many paths"]
    assert "| one path |" in page([result])
    again = reproduce(Paper.load(write(tmp_path)))
    assert again.ours == result.ours  # the same seed, the same run


def test_the_command_says_when_a_claim_fails(tmp_path: Path) -> None:
    write(tmp_path, least=1000.0)
    outcome = CliRunner().invoke(app, ["--folder", str(tmp_path), "--json"])
    assert outcome.exit_code == 1
    [paper] = json.loads(outcome.stdout)["papers"]
    assert paper["claims"][0]["holds"] is False


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"of": "no such"}, "names 'no such'"),
        ({"extra": 'measure = "speed"'}, "measure"),
        ({"extra": "colour = 1"}, "colour"),
        ({"extra": 'of = "victim"'}, "no workload 'victim'"),
        ({"extra": 'short = { "workload.7.size" = 1 }'}, "no such place: workload.7.size"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, change: dict[str, str], says: str) -> None:
    path = write(tmp_path, **change)  # type: ignore[arg-type]
    with pytest.raises(ScenarioError, match=says):
        reproduce(Paper.load(path), short=True)


def test_unknown_papers_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="no paper 'reeps'"):
        papers(["reeps"])
    assert CliRunner().invoke(app, ["--folder", str(tmp_path)]).exit_code == 2
