"""`weft explain` as a user calls it."""

from __future__ import annotations

import json

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


def test_table() -> None:
    result = runner.invoke(app, ["explain", "all_to_all", "64K", "--hosts", "2"])
    assert result.exit_code == 0, result.output
    assert "predicted us" in result.output and "pairwise" in result.output


@pytest.mark.parametrize("arguments", [["all_reduce", "huge"], ["all_devour", "8"]])
def test_wrong_usage(arguments: list[str]) -> None:
    result = runner.invoke(app, ["explain", *arguments])
    assert result.exit_code == 2
    assert "huge" in result.output or "there are" in result.output
