"""`weft p4 pruning`: what the commands measure and print, on small tables."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from typer.testing import CliRunner

from weft.emulation.lab import LabError
from weft.p4.pruning import report
from weft.p4.pruning.cli import app
from weft.p4.pruning.engine import DuckDB


def test_every_operator_in_the_lab_both_ways(tmp_path: Path) -> None:
    """Answers are the same, and the master's link carries less of what was pushed."""
    engines = {"duckdb": DuckDB(), "the same": DuckDB()}
    try:
        bench = report.Bench(100.0, engines, workers=2)
        found = list(bench.measure([report.big_data(4000)], [10.0]))
    except LabError as problem:
        if "refused" in str(problem) or "unshare" in str(problem):
            pytest.skip(f"no lab on this machine: {problem}")
        raise
    names = ["DISTINCT", "TOP N", "GROUP BY MAX", "HAVING SUM", "JOIN", "SKYLINE"]
    assert [(o.query, o.engine) for o in found] == [(n, e) for n in names for e in engines]
    for o in found:
        assert o.same, o.query
        assert o.with_.network > 0 and o.without.network > 0
        assert o.expected > (1.0 if o.pushed else 0.0)  # any of these could be pushed
        if not o.pushed:
            assert o.survivors == o.rows
            assert o.with_ == o.without and o.faster == 1.0
    text = report.page(found, 100.0, "weft p4 pruning report")
    assert text.count("\n| ") == 1 + len(found)
    assert "12 of 12 cases" in text

    record = report.Record(tmp_path / "outcomes.jsonl", "100")
    for o in found[:-1]:
        record.add(o)
    assert record.read() == found[:-1]
    assert report.Record(tmp_path / "outcomes.jsonl", "200").read() == []
    assert list(bench.measure([report.big_data(4000)], [10.0], found)) == []


def test_ctrl_c_ends_all_processes_and_nobody_shows_a_traceback() -> None:
    """A terminal's Ctrl-C is for the whole group of processes."""
    program = """
        import signal
        from weft.cli import app
        # A shell starts its background jobs with SIGINT ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        app("p4 pruning report --rows 4000 --scale 0.01 --gbps 10 --dilation 100".split())
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as victim:  # fmt: skip
        assert victim.stderr is not None
        said = ""
        for line in victim.stderr:
            said += line
            if said.count("comes up") == 2:  # one lab is there, the other half
                os.killpg(victim.pid, signal.SIGINT)
                break
        said += victim.communicate(timeout=60)[1]
    if "refused" in said or "unshare" in said:
        pytest.skip(f"no lab on this machine: {said}")
    assert victim.returncode == 130, said
    assert "Traceback" not in said


def test_wrong_engines_and_scales_are_named() -> None:
    outcome = CliRunner().invoke(app, ["report", "--engine", "sparc"])
    assert outcome.exit_code == 2
    assert "engines are duckdb and spark, not sparc" in " ".join(outcome.output.split())


def test_rates_are_printed_for_every_case(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from weft.p4.pruning import rates

    few = [c for c in rates.cases(10_000) if c.name.startswith("GROUP BY")]
    monkeypatch.setattr(rates, "cases", lambda rows: few)
    page = tmp_path / "page.md"
    outcome = CliRunner().invoke(app, ["rates", "--rows", "10000", "--json", "--write", str(page)])
    assert outcome.exit_code == 0, outcome.output
    listed = json.loads(outcome.stdout.splitlines()[-1])
    assert [c["case"] for c in listed] == [c.name for c in few]
    assert all(0 <= c["ours"] <= 1 for c in listed)
    assert page.read_text().count("| GROUP BY MAX") == len(few)
