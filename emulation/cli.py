"""`weft sim`: run scenarios in virtual time."""

from __future__ import annotations

import json as encoder
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from weft.emulation import htsim, report
from weft.emulation.document import Document, ScenarioError, file_of
from weft.emulation.scenario import Scenario
from weft.emulation.simulation import simulate
from weft.emulation.sweep import Axis, Point, scenarios, sweep, sweep_on_ray
from weft.emulation.units import show_time

app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


@app.command()
def sim(
    file: Annotated[Path | None, typer.Argument(help="Scenario file (TOML).")] = None,
    cm: Annotated[
        Path | None, typer.Option(help="htsim connection matrix, instead of a workload.")
    ] = None,
    topo: Annotated[Path | None, typer.Option(help="htsim fat-tree, instead of a fabric.")] = None,
    sweeps: Annotated[
        list[str] | None,
        typer.Option("--sweep", metavar="KEY=A,B,C", help="Vary a key; repeatable."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key; repeatable."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Folder for pictures and report.html.")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of tables.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(help="Runs at a time; default: one per core.", min=1)
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="Runs of a sweep go to the Ray cluster of RAY_ADDRESS.")
    ] = False,
) -> None:
    """Run a scenario in the packet-level simulator and print completion times, the slowdown against
    the ideal bound, and what the network did.

    Exit codes: 0 all messages got through, 1 some did not, 2 the input is wrong.
    """
    try:
        points = _points(file, cm, topo, sweeps or [], changes or [])
        results = _run(points, quiet=json, jobs=jobs, on_ray=ray)
    except ValueError as error:
        typer.echo(f"weft sim: {error}", err=True)
        raise typer.Exit(2) from None
    if json:
        records = [{"values": p.values, **p.result.record()} for p in results]
        typer.echo(
            encoder.dumps(records[0] if len(records) == 1 else {"runs": records}, allow_nan=False)
        )
    elif len(results) == 1:
        report.show(results[0].result, _console())
    else:
        report.show_sweep(results, _console())
    if plot is not None:
        from weft.emulation import html_report

        page = html_report.write(results, plot)
        if not json:
            typer.echo(f"report: {page}")
    if any(point.result.unfinished for point in results):
        raise typer.Exit(1)


def _console() -> Console:
    """The terminal; a file or pipe is as wide as the tables need."""
    console = Console()
    return console if console.is_terminal else Console(width=140)


def _points(
    file: Path | None, cm: Path | None, topo: Path | None, sweeps: list[str], changes: list[str]
) -> list[tuple[dict[str, object], Scenario]]:
    if file is None and (cm is None or topo is None):
        raise ScenarioError("give a scenario file, or both --cm and --topo")
    folder = Path()
    if file is not None:
        source, folder = Document.read(file), file_of(file).parent
    else:
        source = Document.parse(_INTERCHANGE, str(cm))
    if topo is not None:
        source.values["fabric"] = source.values.get("fabric", {}) | {
            "kind": "file",
            "path": str(topo.resolve()),
        }
    if cm is not None:
        source.values["workload"] = [{"pattern": "cm", "path": str(cm.resolve()), "name": cm.stem}]
        _, hosts = htsim.read_cm(cm)
        if topo is not None and htsim.read_topo(topo).hosts < hosts:
            raise ScenarioError(f"{cm}: is made for {hosts} hosts, more than {topo} has")
    fixed = {}
    for change in changes:
        axis = Axis.parse(change)
        fixed[axis.key] = axis.values[0] if len(axis.values) == 1 else list(axis.values)
    for key, value in fixed.items():
        source.override(key, value)
    return scenarios(source, [Axis.parse(text) for text in sweeps], folder)


# What goes with htsim's files, which say nothing of transport and queues: its habits of 128 paths,
# 4 KiB packets without preamble and gap, and the same path choice at random for every packet.
_INTERCHANGE = """
[fabric]
forwarding = "spray"
[transport]
paths = 128
overhead = 46
"""


def _run(
    points: list[tuple[dict[str, object], Scenario]], quiet: bool, jobs: int | None, on_ray: bool
) -> list[Point]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as bar:
        if len(points) == 1 and not on_ray:
            values, scenario = points[0]
            task = bar.add_task("simulating", total=len(scenario.workload), note="")

            def on_progress(done: int, now: float) -> bool:
                bar.update(task, completed=done, note=f"at {show_time(now)}")
                return True

            return [Point(values, simulate(scenario, on_progress))]
        task = bar.add_task("sweeping", total=len(points), note="")
        if on_ray:
            return sweep_on_ray(points, lambda _: bar.advance(task))
        return sweep(points, lambda _: bar.advance(task), jobs)


if __name__ == "__main__":
    app()
