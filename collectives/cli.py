"""`weft explain`: which algorithm would run, and why."""

from __future__ import annotations

import dataclasses
import re
from typing import Annotated

import typer

from weft.collectives.explain import Explanation, explain
from weft.collectives.schedule import CostModel
from weft.transport.errors import WeftError

app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse_size(text: str) -> int:
    """Bytes of "16MB", "64k", "8" (powers of 1024)."""
    found = re.fullmatch(r"(\d+)\s*([KMG]?)(i?B)?", text.strip(), flags=re.IGNORECASE)
    if found is None:
        raise typer.BadParameter(f'"{text}" is not a size; write 8, 64K or 16MB')
    return int(found[1]) * UNITS[found[2].upper()]


@app.command()
def command(
    collective: Annotated[str, typer.Argument(help="e.g. all_reduce")],
    size: Annotated[str, typer.Argument(help="Larger buffer of a rank: 8, 64K, 16MB.")],
    ranks: Annotated[int, typer.Option(min=1, help="Ranks of the group.")] = 4,
    hosts: Annotated[int, typer.Option(min=1, help="Hosts that they are spread over.")] = 1,
    innet: Annotated[
        bool, typer.Option(help="As if a switch that adds up joined the ranks.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Which algorithm would run, what the others would cost, and why."""
    nbytes = parse_size(size)
    per_host = -(-ranks // hosts)
    try:
        model, source = CostModel.of_this_host()
        model = dataclasses.replace(model, innet=innet or model.innet)
        answer = explain(collective, nbytes, [rank // per_host for rank in range(ranks)], model)
    except WeftError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    if json:
        import json as encoder

        typer.echo(encoder.dumps(dataclasses.asdict(answer)))
    else:
        show(answer, hosts, source)


def show(answer: Explanation, hosts: int, source: str) -> None:
    """The answer as a table."""
    from rich.console import Console
    from rich.table import Table

    title = (
        f"{answer.collective} of {answer.nbytes:,} bytes, {answer.size} ranks on {hosts} host(s)"
    )
    table = Table(title=title)
    for name in ("algorithm", "slices", "predicted us", "messages", "bytes sent", "source"):
        table.add_column(name, justify="left" if name in ("algorithm", "source") else "right")
    for candidate in answer.candidates:
        table.add_row(
            candidate.algorithm,
            str(candidate.slices),
            f"{candidate.microseconds:,.1f}",
            str(candidate.messages),
            f"{candidate.sent_bytes:,}",
            candidate.reference,
            style="bold" if candidate.algorithm == answer.chosen else None,
        )
    console = Console()
    console.print(table)
    console.print(f"{answer.chosen}: {answer.reason}", highlight=False)
    console.print(f"Costs of edges and memory: {source}.", highlight=False, soft_wrap=True)
    if hosts == 1 and answer.nbytes <= 32768:
        console.print("On one host, contributions of up to 32 KiB go over boards instead.")
