"""`weft explain` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from weft.cli import app

runner = CliRunner()


def test_names_the_choice_and_why() -> None:
    result = runner.invoke(app, ["explain", "all_reduce", "16MB", "--ranks", "4", "--json"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.output)
    assert answer["nbytes"] == 16 << 20 and answer["size"] == 4
    assert answer["chosen"] in {each["algorithm"] for each in answer["candidates"]}
    assert answer["reason"]


def test_says_why_the_switch_is_or_is_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {}
    for name, per_packet in (("cheap", "1e-7"), ("dear", "1e-3")):
        path = tmp_path / name
        path.write_text(f"weft costs 1\nudp 1e-5 1e-9\ninnet 4e-5 {per_packet}\n")
        monkeypatch.setenv("WEFT_COSTS", str(path))
        arguments = ["explain", "all_reduce", "16MB", "--ranks", "8", "--hosts", "8", "--json"]
        said[name] = json.loads(runner.invoke(app, arguments).output)
    assert said["cheap"]["chosen"] == "innet"
    assert "each rank sends its part once" in said["cheap"]["reason"]
    assert said["dear"]["chosen"] != "innet"
    assert (
        "innet is bound by its 24576 packets of 256 values, 1000.00 us each"
        in (said["dear"]["reason"])
    )
    assert "innet" in {each["algorithm"] for each in said["dear"]["candidates"]}


def test_a_switch_can_be_supposed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_COSTS", "default")
    for option in (["--innet"], []):
        result = runner.invoke(app, ["explain", "all_reduce", "16MB", "--hosts", "4", *option])
        assert ("innet is bound by" in " ".join(result.output.split())) == bool(option)


def test_table() -> None:
    result = runner.invoke(app, ["explain", "all_to_all", "64K", "--hosts", "2"])
    assert result.exit_code == 0, result.output
    assert "predicted us" in result.output and "pairwise" in result.output


@pytest.mark.parametrize("arguments", [["all_reduce", "huge"], ["all_devour", "8"]])
def test_wrong_usage(arguments: list[str]) -> None:
    result = runner.invoke(app, ["explain", *arguments])
    assert result.exit_code == 2
    assert "huge" in result.output or "there are" in result.output
