"""`weft demo`: what is missing is said first, then it trains, shows and writes."""

from __future__ import annotations

import importlib
import importlib.util
import json as encoder
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from weft.demo.report import Outcome

app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)

NEEDED = {  # module: what installs it
    "torch": "pip install 'weft[torch]'",
    "sklearn": "pip install 'weft[demo]'",
    "matplotlib": "pip install 'weft[demo]'",
}


@app.callback(invoke_without_command=True)
def demo(
    context: typer.Context,
    ranks: Annotated[int, typer.Option(help="Processes on this host.", min=2, max=64)] = 4,
    steps: Annotated[int, typer.Option(help="Steps of SGD.", min=2)] = 200,
    batch: Annotated[int, typer.Option(help="Images per rank and step.", min=1)] = 32,
    seed: Annotated[int, typer.Option(help="Of the weights and the batches.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for the table and the picture.")] = Path(
        "weft-demo"
    ),
    fabric: Annotated[
        bool, typer.Option(help="Afterwards on an emulated fabric, one of whose spines dies.")
    ] = True,
    fabric_steps: Annotated[int, typer.Option(help="Steps there, per backend.", min=4)] = 60,
    deadline: Annotated[
        float, typer.Option(help="Seconds until either half gives up.", min=1)
    ] = 170,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a small model with DDP over weft and over gloo, in turn, on scikit-learn's digits:
    the same loss curve, and the time of a step over each. Then again on an emulated leaf-spine,
    where one of four spines dies in the middle.

    Exit codes: 0 the curves are the same, 1 they are not or something is missing, 2 wrong usage.
    """
    if context.invoked_subcommand is not None:
        return
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
    if fabric:
        _on_fabric(outcome, fabric_steps, deadline)
    picture = report.write(outcome, out)
    if json:
        typer.echo(encoder.dumps({**outcome.record(), "picture": str(picture)}))
    else:
        report.show(outcome, Console())
        typer.echo(f"written: {picture}, table.txt and result.json beside it")
    if not outcome.same or outcome.failed is not None:
        raise typer.Exit(1)


def _on_fabric(outcome: Outcome, steps: int, deadline: float) -> None:
    """The second half, into `outcome`; where there can be no lab, why; what went wrong in it."""
    try:
        from weft.demo import fabric
        from weft.demo.job import JobError
        from weft.emulation.lab import LabError
    except ModuleNotFoundError as error:
        outcome.without = f"{error.name} is not installed: pip install 'weft[lab]'"
        return
    settings = replace(outcome.settings, steps=steps)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} steps"))
    bar = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
    with bar:
        tasks: dict[str, TaskID] = {}

        def tell(name: str, step: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(f"{name} on a fabric of 4 spines", total=steps)
            bar.update(tasks[name], completed=step)

        try:
            outcome.fabric = fabric.run(settings, deadline, tell)
        except LabError as error:
            outcome.without = str(error)
        except JobError as error:
            outcome.failed = str(error)


Out = Annotated[Path, typer.Option(help="Folder for the numbers and the picture.")]


@app.command()
def pruning(
    rows: Annotated[int, typer.Option(help="Rows of the larger table.", min=1000)] = 100_000,
    gbps: Annotated[float, typer.Option(help="Rate of every link.", min=0.1)] = 10.0,
    tpch: Annotated[
        Path | None, typer.Option(help="Folder of tpchgen-cli's Parquet files: adds its queries.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the tables.")] = 1,
    out: Out = Path("weft-demo"),
) -> None:
    """Let a switch drop rows that cannot change a query's answer: one query per operator, with
    the switch and without.

    Exit codes: 0 all answers are the same, 1 one is not or something is missing, 2 wrong usage.
    """
    _needs("pruning", "duckdb", "pyarrow", "sqlglot", "lark", "matplotlib")
    from weft.p4.pruning import demo as queries

    try:
        found = queries.measure(rows, gbps, seed, tpch)
    except FileNotFoundError as problem:
        raise typer.BadParameter(str(problem)) from None
    queries.show(found, Console())
    typer.echo(f"written: {queries.write(found, out)}, pruning.json beside it")
    if not all(m.same for m in found):
        raise typer.Exit(1)


@app.command()
def innet(
    kilobytes: Annotated[int, typer.Option(help="Size of the message.", min=1)] = 1024,
    gbps: Annotated[float, typer.Option(help="Rate of every link.", min=0.1)] = 100.0,
    steps: Annotated[int, typer.Option(help="Steps of the training run.", min=1)] = 150,
    out: Out = Path("weft-demo"),
) -> None:
    """Sum gradients in the switch: an all-reduce over 2 to 32 workers beside ring and
    halving-doubling, and a training run with the switch's arithmetic beside float32."""
    _needs("p4", "lark", "matplotlib", "torch", "sklearn")
    from weft.p4.aggregation import accuracy
    from weft.p4.aggregation import demo as sums

    found = sums.measure(kilobytes, (2, 4, 8, 16, 32), gbps)
    curves = accuracy.train(steps=steps)
    sums.show(found, curves, Console())
    typer.echo(f"written: {sums.write(found, curves, out)}, innet.json beside it")


def _needs(extra: str, *modules: str) -> None:
    """Exit with 1 and the command that mends it, if something is missing."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            mend = f"pip install 'weft[{extra},demo]'"
            typer.echo(f"weft demo needs {module}, which is not installed: {mend}", err=True)
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
