"""`weft demo` from end to end, small: real ranks, both backends, what it prints and writes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from weft.demo.cli import app


@pytest.fixture
def installed() -> None:
    for module in ("torch", "sklearn", "matplotlib"):
        pytest.importorskip(module, reason=f"the demo needs {module}")


@pytest.mark.usefixtures("installed")
def test_two_ranks_draw_the_same_curve(tmp_path: Path) -> None:
    arguments = ["--ranks", "2", "--steps", "8", "--no-fabric", "--deadline", "100", "--json"]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["same"] and result["max_loss_difference"] <= result["tolerance"]
    for name in ("weft", "gloo"):
        losses = result["backends"][name]["losses"]
        assert len(losses) == 8
        assert losses[-1] < losses[0], "the model learns nothing"
        assert result["backends"][name]["step_ms_median"] > 0
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "result.json").read_text())["same"]
    assert "gloo" in (tmp_path / "table.txt").read_text()


@pytest.mark.usefixtures("installed")
def test_training_goes_on_when_a_spine_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from weft.demo import fabric, report
    from weft.demo.training import Curve, Settings
    from weft.emulation.lab import LabError

    monkeypatch.setattr(fabric, "NOTICED_AFTER", 1.0)
    settings = Settings(ranks=2, steps=10)
    told: list[tuple[str, int]] = []
    try:
        there = fabric.run(settings, 250, lambda name, step: told.append((name, step)))
    except LabError as error:
        pytest.skip(f"no lab here: {error}")
    assert told == [(name, step) for name in ("weft", "gloo") for step in range(1, 11)]
    for run in there.runs.values():
        assert run.error is None and run.curve is not None and len(run.curve.losses) == 10
        assert run.spine.startswith("spine")
        assert run.times()[4] <= 0 < run.times()[5] or run.times()[5] <= 0 < run.times()[6]
        assert run.longest > 0
    outcome = report.Outcome(settings, {n: Curve([1.0], [0.1]) for n in ("gloo", "weft")}, there)
    assert outcome.same, outcome.difference
    report.write(outcome, tmp_path)
    assert "busiest spine dies" in (tmp_path / "table.txt").read_text()
    record = json.loads((tmp_path / "result.json").read_text())
    assert record["fabric"]["backends"]["gloo"]["step_ends"][-1] > 0
    there.runs["gloo"].curve.losses[9] += 1.0  # type: ignore[union-attr]
    assert not outcome.same


@pytest.mark.usefixtures("installed")
def test_without_a_lab_the_demo_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from weft.demo import fabric, job
    from weft.demo.training import Curve
    from weft.emulation.lab import LabError

    curves = {name: Curve([2.0, 1.0], [0.1, 0.1], 0.5) for name in ("gloo", "weft")}
    monkeypatch.setattr(job, "run", lambda *_: curves)

    def refuse(*_: object) -> None:
        raise LabError("demo: user namespaces are refused here")

    monkeypatch.setattr(fabric, "run", refuse)
    arguments = ["--ranks", "2", "--steps", "2", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "no emulated fabric here, so no dead spine: demo: user namespaces are refused" in said

    def fail(*_: object) -> None:
        raise job.JobError("on the fabric: the process of rank 2 has ended")

    monkeypatch.setattr(fabric, "run", fail)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1 and "gloo" in done.output  # the first half is not lost
    said = " ".join(done.output.split())
    assert "the second half failed: on the fabric: the process of rank 2 has ended" in said


@pytest.mark.usefixtures("installed")
def test_another_curve_is_noticed() -> None:
    from weft.demo import report
    from weft.demo.training import Curve, Settings

    curves = {
        "gloo": Curve([2.0, 1.0, 0.5], [0.1] * 3, 0.9),
        "weft": Curve([2.0, 1.0 + 2 * report.TOLERANCE, 0.5], [0.1] * 3, 0.9),
    }
    assert not report.Outcome(Settings(), curves).same
    curves["weft"].losses[1] = 1.0 + report.TOLERANCE / 2
    assert report.Outcome(Settings(), curves).same


@pytest.mark.usefixtures("installed")
def test_a_deadline_ends_the_job_with_a_message(tmp_path: Path) -> None:
    arguments = ["--ranks", "2", "--steps", "1000000", "--deadline", "1", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert "not done after 1 s" in done.stderr


@pytest.mark.usefixtures("installed")
def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    done = CliRunner().invoke(app, [])
    assert done.exit_code == 1
    assert "weft demo needs sklearn" in done.stderr
    assert "pip install 'weft[demo]'" in done.stderr
