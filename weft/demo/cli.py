"""`weft demo`: what is missing is said first, then it trains, shows and writes."""

from __future__ import annotations

import importlib
import json as encoder
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)

NEEDED = {  # module: what installs it
    "torch": "pip install 'weft[torch]'",
    "sklearn": "pip install 'weft[demo]'",
    "matplotlib": "pip install 'weft[demo]'",
}


@app.command()
def demo(
    ranks: Annotated[int, typer.Option(help="Processes on this host.", min=2, max=64)] = 4,
    steps: Annotated[int, typer.Option(help="Steps of SGD.", min=2)] = 200,
    batch: Annotated[int, typer.Option(help="Images per rank and step.", min=1)] = 32,
    seed: Annotated[int, typer.Option(help="Of the weights and the batches.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for the table and the picture.")] = Path(
        "weft-demo"
    ),
    deadline: Annotated[float, typer.Option(help="Seconds until it gives up.", min=1)] = 170,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a small model with DDP over weft and over gloo, in turn, on scikit-learn's digits:
    the same loss curve, and the time of a step over each.

    Exit codes: 0 the curves are the same, 1 they are not or something is missing, 2 wrong usage.
    """
    _check_installed()
    from weft.demo import report
    from weft.demo.job import JobError, run
    from weft.demo.training import Settings

    settings = Settings(ranks=ranks, steps=steps, batch=batch, seed=seed)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} steps"))
    bar = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
    try:
        with bar:
            task = bar.add_task(f"{ranks} ranks, weft and gloo in turn", total=steps)
            curves = run(settings, deadline, lambda step: bar.update(task, completed=step))
    except JobError as error:
        typer.echo(f"weft demo: {error}", err=True)
        raise typer.Exit(1) from None
    outcome = report.Outcome(settings, curves)
    picture = report.write(outcome, out)
    if json:
        typer.echo(encoder.dumps({**outcome.record(), "picture": str(picture)}))
    else:
        report.show(outcome, Console())
        typer.echo(f"written: {picture}, table.txt and result.json beside it")
    if not outcome.same:
        raise typer.Exit(1)


def _check_installed() -> None:
    """Exit with 1 and the command that mends it, if something is missing."""
    for module, mend in NEEDED.items():
        try:
            importlib.import_module(module)
        except ModuleNotFoundError:
            typer.echo(f"weft demo needs {module}, which is not installed: {mend}", err=True)
            raise typer.Exit(1) from None
    try:
        importlib.import_module("weft.collectives.torch")
    except (ImportError, FileNotFoundError) as error:
        typer.echo(f"weft demo: {error}", err=True)
        raise typer.Exit(1) from None
