"""`weft p4 pruning`: measurements of pruned queries."""

from __future__ import annotations

import json as encoder
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    help="Queries through a pruning switch: measurements.", no_args_is_help=True,
    add_completion=False, pretty_exceptions_show_locals=False,
)  # fmt: skip

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Write = Annotated[Path | None, typer.Option(help="Replace this command's section of a page.")]


@app.command()
def report(
    rows: Annotated[int, typer.Option(help="Visits of the Big Data tables.", min=1000)] = 1_000_000,
    scale: Annotated[list[float] | None, typer.Option(help="Of TPC-H; repeatable.")] = None,
    gbps: Annotated[list[float] | None, typer.Option(help="Of every link; repeatable.")] = None,
    dilation: Annotated[
        float, typer.Option(help="How much slower the lab is at 10 Gbit/s.", min=1)
    ] = 1000.0,
    engine: Annotated[list[str] | None, typer.Option(help="duckdb, spark; repeatable.")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Keep outcomes in this file; take what it has as measured.")
    ] = None,
    write: Write = None,
    json: Json = False,
) -> None:
    """Every operator's query between processes in a lab, with the switch and without.

    Exit codes: 0 all answers are the same, 1 one is not, 2 wrong usage.
    """
    from weft.emulation import generated
    from weft.p4.pruning import report as reports

    console = Console(stderr=True)
    rates, names = gbps or [10.0, 20.0], engine or ["duckdb"]
    scales = [0.1] if scale is None else scale
    try:
        engines = {name: reports.engine_of(name) for name in names}
        given = [reports.big_data(rows), *(reports.tpch(s) for s in scales)]
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from None
    record = reports.Record(resume, f"{dilation:g}") if resume else None
    found = record.read() if record else []
    bench = reports.Bench(dilation, engines, progress=progress_on(console))
    for outcome in bench.measure(given, rates, found):
        found.append(outcome)
        if record:
            record.add(outcome)
    asked = [
        (title, name, rate, engine)
        for title, _, queries in given for rate in rates for name in queries for engine in names
    ]  # fmt: skip
    found = sorted((o for o in found if o.name in asked), key=lambda o: asked.index(o.name))
    command = "weft p4 pruning report " + " ".join(
        [f"--rows {rows}", f"--dilation {dilation:g}", *(f"--scale {s:g}" for s in scales),
         *(f"--gbps {r:g}" for r in rates), *(f"--engine {n}" for n in names)]
    )  # fmt: skip
    text = reports.page(found, dilation, command)
    if json:
        typer.echo(encoder.dumps({"queries": [asdict(o) for o in found]}))
    else:
        typer.echo(text)
    if write is not None:
        generated.replace(write, "weft p4 pruning report", text)
    if not all(o.same for o in found):
        raise typer.Exit(1)


def progress_on(console: Console) -> Callable[[str], None]:
    """Says what begins, and when, in seconds since the start."""
    start = time.monotonic()
    return lambda text: console.print(f"{time.monotonic() - start:6.1f} s  {text}", highlight=False)


@app.command()
def rates(
    rows: Annotated[int, typer.Option(help="Rows of each case.", min=10_000)] = 1_000_000,
    write: Write = None,
    json: Json = False,
) -> None:
    """How much each operator prunes, beside the paper's bounds and an independent simulation."""
    from weft.emulation import generated
    from weft.p4.pruning.rates import cases

    console = Console(stderr=True)
    found = []
    for case in cases(rows):
        console.print(case.name)
        found.append((case, case.run()))

    def shown(value: float | None) -> str:
        return "" if value is None else f"{value:,.0f}" if value > 1 else f"{value:.4f}"

    head = ("case", "ours", "the paper's bound", "independent simulation")
    lines = [(c.name, shown(ours), shown(c.bound), shown(c.reference)) for c, ours in found]
    if json:
        typer.echo(encoder.dumps(
            [{"case": c.name, "ours": o, "bound": c.bound, "reference": c.reference}
             for c, o in found]
        ))  # fmt: skip
    else:
        table = Table(*head, box=None)
        for line in lines:
            table.add_row(*line)
        Console().print(table)
    if write is not None:
        text = "\n".join(
            [f"| {' | '.join(head)} |", "|---|---:|---:|---:|"]
            + [f"| {' | '.join(line)} |" for line in lines]
        )
        generated.replace(write, "weft p4 pruning rates", text)


if __name__ == "__main__":
    app()
