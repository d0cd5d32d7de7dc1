"""Runs every scenario of a folder, in the lab or in the simulator, and judges it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from weft.emulation.document import Document, ScenarioError
from weft.emulation.expectations import Expectation, Verdict
from weft.emulation.lab.errors import LabError
from weft.emulation.lab.fidelity import Fidelity
from weft.emulation.lab.run import run
from weft.emulation.scenario import Scenario
from weft.emulation.simulation import Result, simulate

DEFAULT = "errors == 0"
"""What a scenario without expectations promises."""


@dataclass
class Case:
    """One scenario and what became of it."""

    name: str
    file: Path
    case: str = ""
    """Which of the file's matrix; empty: it has none."""
    seconds: float = 0.0
    result: Result | None = None
    fidelity: Fidelity | None = None
    verdicts: list[Verdict] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """Why it could not be run, and what hosts complained of."""
    skipped: str = ""
    """Why it was left out; empty: it was not."""

    @property
    def failures(self) -> list[str]:
        """Promises that were not kept, errors, and doubts about the run; empty: it passed."""
        broken = [f"{v.text} does not hold: {v.detail}" for v in self.verdicts if not v.holds]
        found = broken + self.errors
        if self.fidelity is not None:
            # Programs without a CPU break promises, but none that was kept.
            doubts = self.fidelity.faults + (self.fidelity.doubts if found else [])
            found += [f"not valid: {doubt}" for doubt in doubts]
        return found

    @property
    def passed(self) -> bool:
        return not self.failures


def scenario_files(folder: Path) -> list[Path]:
    """The TOML files of a folder (or the one file), by name. Raises ScenarioError if none."""
    files = [folder] if folder.is_file() else sorted(folder.glob("*.toml"))
    if not files:
        raise ScenarioError(f"{folder}: there are no scenarios (*.toml)")
    return files


def names(files: Sequence[Path], only: str = "") -> list[str]:
    """What `weft lab run` and others take for each scenario: FILE.toml, or FILE.toml#CASE."""
    return [f"{file}#{case.case}" if case.case else str(file) for file in files
            for case in Document.cases(file) if _chosen(file, case.case, only)]  # fmt: skip


def run_suite(
    files: Sequence[Path],
    *,
    only: str = "",
    simulated: bool = False,
    seed: int | None = None,
    jobs: int = 1,
    retries: int = 1,
    done: Callable[[Case], None] = lambda case: None,
) -> list[Case]:
    """Run the scenarios, `jobs` at a time, and call `done` for each as it ends. A file with a
    matrix holds many; `only`: "A/B" picks those in whose file or case both A and B occur.

    In the lab a run that is not valid, because the machine was busy, is made again up to `retries`
    times. In virtual time what only sockets have (TCP, gloo) is left out.
    Raises ScenarioError for the first file that is wrong, before anything runs.
    """
    found = [(file, Scenario.of(case, file.parent), case.case) for file in files
             for case in Document.cases(file)]  # fmt: skip
    scenarios = [place for place in found if _chosen(place[0], place[2], only)]
    if not scenarios:
        raise ScenarioError(f"no scenario is called like {only!r}")

    def one(place: tuple[Path, Scenario, str]) -> Case:
        scenario = place[1]
        if seed is not None:
            scenario.seed = seed
        for _ in range(retries + 1):
            case = _run(*place, simulated)
            if not any(failure.startswith("not valid") for failure in case.failures):
                break
        done(case)
        return case

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, scenarios))


def _chosen(file: Path, case: str, only: str) -> bool:
    parts = [file.name, *case.split("/")]
    return all(any(wanted in part for part in parts) for wanted in only.split("/"))


def _run(file: Path, scenario: Scenario, variants: str, simulated: bool) -> Case:
    case = Case(scenario.name, file, variants)
    if simulated and scenario.lab.carrier != "weft":
        case.skipped = f"the simulator has no {scenario.lab.carrier}"
        return case
    began = time.monotonic()
    try:
        if simulated:
            case.result = simulate(scenario)
            metrics = case.result.metrics()
        else:
            outcome = run(scenario)
            case.result, case.fidelity, case.errors = (
                outcome.result, outcome.fidelity, outcome.errors,
            )  # fmt: skip
            metrics = outcome.result.metrics()
            metrics["errors"] += len(outcome.errors)
    except (LabError, ValueError) as error:
        case.errors.append(str(error))
    else:
        promised = scenario.expect or [Expectation.parse(DEFAULT, metrics)]
        known = metrics | scenario.constants
        case.verdicts = [expectation.check(known) for expectation in promised]
    case.seconds = time.monotonic() - began
    return case
