"""`weft reproduce`: published results, ours beside the paper's."""

from __future__ import annotations

import json as encoder
import math
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from weft.emulation import generated
from weft.emulation.papers import FOLDER, MEASURES, Paper, Reproduction, papers, reproduce

app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


@app.command()
def command(
    names: Annotated[
        list[str] | None, typer.Argument(help="Papers, by file name; default: all.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where the paper files are.")] = FOLDER,
    short: Annotated[
        bool, typer.Option("--short", help="Smaller runs, one seed: seconds, not minutes.")
    ] = False,
    listing: Annotated[bool, typer.Option("--list", help="Only say what there is.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    write: Annotated[
        Path | None, typer.Option(help="Write the page, e.g. docs/reproduction.md.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Runs at a time.", min=1)] = None,
) -> None:
    """Run published experiments in the simulator and print ours beside the paper's.

    Exit codes: 0 every claim held, 1 one did not, 2 the input is wrong.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        chosen = papers(names or [], folder)
        total = sum(len(p.variants) * (1 if short else len(p.seeds)) for p in chosen)
    except ValueError as error:
        typer.echo(f"weft reproduce: {error}", err=True)
        raise typer.Exit(2) from None
    if listing:
        for paper in chosen:
            typer.echo(f"{paper.name:28} {paper.title} ({paper.reference})")
        return
    results = _run(chosen, short, total, jobs)
    if json:
        typer.echo(encoder.dumps({"papers": [r.record() for r in results]}, allow_nan=False))
    else:
        console = Console()
        for result in results:
            _show(result, console if console.is_terminal else Console(width=140))
    if write is not None:
        others = generated.parts(write)
        text = page(results) + (f"\n{others}\n" if others else "")
        write.write_text(text, encoding="utf-8")
    if not all(result.holds for result in results):
        raise typer.Exit(1)


def _run(chosen: list[Paper], short: bool, total: int, jobs: int | None) -> list[Reproduction]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        results = []
        for paper in chosen:
            bar.update(task, description=paper.name)
            results.append(reproduce(paper, short, lambda _: bar.advance(task), jobs))
        return results


def _value(value: float | None) -> str:
    if value is None:
        return "-"
    if math.isinf(value):
        return "never ends"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _rows(result: Reproduction) -> list[tuple[str, ...]]:
    """(variant, ours, over the seeds, paper, ours / paper)"""
    rows: list[tuple[str, ...]] = []
    for variant in result.paper.variants:
        ours = result.ours[variant.name]
        low, high = result.spread[variant.name]
        spread = "" if low == high else f"{_value(low)} .. {_value(high)}"
        paper = None if result.short else variant.paper  # of a smaller run it says nothing
        ratio = "-" if not paper else f"{ours / paper:.2f}"
        rows.append((variant.name, _value(ours), spread, _value(paper), ratio))
    return rows


def _claims(result: Reproduction) -> list[tuple[str, ...]]:
    """(claim, ours, paper, must lie in, holds)"""
    rows: list[tuple[str, ...]] = []
    for verdict in result.verdicts:
        claim = verdict.claim
        low, high = f"{claim.least:g}", "" if claim.most >= 1e9 else f"{claim.most:g}"
        bounds = f"{low} .. {high}" if high else f"from {low}"
        ours = "infinite" if math.isinf(verdict.ours) else f"{verdict.ours:.3g}"
        paper = "-" if claim.paper is None else f"{claim.paper:.3g}"
        text = f"{claim.text} ({claim.of} / {claim.to})"
        rows.append((text, ours, paper, bounds, "yes" if verdict.holds else "NO"))
    return rows


def _heads(result: Reproduction) -> tuple[tuple[str, ...], tuple[str, ...]]:
    measure = result.paper.measure.replace("_", " ")
    if result.paper.part:
        measure += f" of {result.paper.part}"
    unit = MEASURES[result.paper.measure][0]
    return (
        (f"{measure}, {unit}", "ours", "over the seeds", "paper", "ours / paper"),
        ("claim", "ours", "paper", "must lie in", "holds"),
    )


def _show(result: Reproduction, console: Console) -> None:
    paper = result.paper
    note = ", short run" if result.short else ""
    console.print(f"[bold]{paper.title}[/bold] ({paper.reference}){note}", highlight=False)
    for head, rows in zip(_heads(result), (_rows(result), _claims(result)), strict=True):
        table = Table(box=None, pad_edge=False)
        for name in head:
            table.add_column(name, justify="left" if name == head[0] else "right")
        for row in rows:
            table.add_row(*row, style="bold red" if row[-1] == "NO" else None)
        console.print(table)
    console.print()


_PREFACE = """# Published results, reproduced

Made by `weft reproduce{arguments} --write docs/reproduction.md` from the scenario files in
`examples/papers`; do not edit. Each section runs one published experiment with Weft's own
connections at both ends of every flow, and puts our figures beside the paper's. They need not be
equal: fabrics, congestion controls and packet formats differ, and each section says how. What must
hold are the claims, which are ratios; `weft reproduce --short` checks them on smaller runs, and a
test does so on every change. Where several seeds were run, medians are compared. A figure that we
do not have from the paper is a dash. Parts between marks are made by the commands that the marks
name.
"""


def page(results: list[Reproduction]) -> str:
    """docs/reproduction.md."""
    arguments = " --short" if any(result.short for result in results) else ""
    parts = [_PREFACE.format(arguments=arguments)]
    for result in results:
        paper = result.paper
        parts.append(
            f"\n## {paper.title}\n\n{paper.reference}; `examples/papers/{paper.name}.toml`."
        )
        parts.append(f" {' '.join(paper.setup.split())}\n")
        for head, rows in zip(_heads(result), (_rows(result), _claims(result)), strict=True):
            if rows:
                parts.append(_markdown(head, rows))
        parts.append(f"\n{paper.differences.strip()}\n")
    return "".join(parts)


def _markdown(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    app()
