"""`weft plan`: what each strategy of the flow planner would do with some flows."""

from __future__ import annotations

import json as encoder
import re
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from weft.transport.plan import STRATEGIES, Plan, plan

app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)
_UNITS = {"": 1, "k": 1000, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}


def parse_size(text: str) -> int:
    """Bytes of "2MB", "64KiB", "1048576". Raises typer.BadParameter."""
    found = re.fullmatch(r"(\d+)\s*([kmg]i?)?b?", text.strip(), flags=re.IGNORECASE)
    if found is None:
        raise typer.BadParameter(f'"{text}" is not a size; write 4096, 64KiB or 2MB')
    return int(found[1]) * _UNITS[(found[2] or "").lower()]


@app.command()
def command(
    flows: Annotated[
        str, typer.Argument(help="Sizes, each maybe with a count: 15x1MiB, or 4MB,2MB,3x64KiB.")
    ],
    paths: Annotated[int, typer.Option(help="Number of equal paths.", min=1, max=4096)] = 16,
    weights: Annotated[
        str | None, typer.Option(help="Instead: capacity of each path, e.g. 1,1,0.5,0.")
    ] = None,
    failed: Annotated[str, typer.Option(help="Numbers of paths that have failed.")] = "",
    strategy: Annotated[
        str, typer.Option(help=f"One of {', '.join(STRATEGIES)}; default: all.")
    ] = "",
    minimum: Annotated[str, typer.Option(help="No piece is smaller, e.g. 64KiB.")] = "1",
    pieces: Annotated[bool, typer.Option("--pieces", help="List every piece, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Plan flows from one source over its paths: pieces, the most loaded path, and how far that is
    from the ideal.

    Exit codes: 0 all is well, 2 the input is wrong.
    """
    try:
        sizes = _sizes(flows)
        capacity = _capacity(paths, weights, failed)
        least = parse_size(minimum)
        names = [strategy] if strategy else list(STRATEGIES)
        plans, refusals = _plans(sizes, capacity, names, least)
    except ValueError as error:
        typer.echo(f"weft plan: {error}", err=True)
        raise typer.Exit(2) from None
    if json:
        typer.echo(encoder.dumps(_record(plans, refusals, pieces)))
        return
    console = Console()
    usable = sum(weight > 0 for weight in capacity)
    console.print(f"{len(sizes)} flows, {sum(sizes):,} bytes, over {usable} paths", highlight=False)
    console.print(_table(plans))
    for text in refusals.values():
        console.print(text, highlight=False, style="dim")
    for made in plans if pieces else ():
        for piece in made.pieces:
            end = piece.offset + piece.size
            typer.echo(
                f"{made.strategy}: flow {piece.flow} [{piece.offset}, {end}) on {piece.path}"
            )


def _sizes(text: str) -> list[int]:
    sizes: list[int] = []
    for item in text.split(","):
        count, times, size = item.rpartition("x")
        if times and not count.strip().isdigit():
            raise ValueError(f'"{item}": write COUNTxSIZE, e.g. 15x1MiB')
        sizes += [parse_size(size)] * (int(count) if times else 1)
        if len(sizes) > 1_000_000:
            raise ValueError("more than a million flows")
    return sizes


def _capacity(paths: int, weights: str | None, failed: str) -> list[float]:
    try:
        capacity = [float(w) for w in weights.split(",")] if weights else [1.0] * paths
        gone = [int(path) for path in failed.split(",") if path]
    except ValueError:
        raise ValueError("--weights and --failed take numbers with commas between them") from None
    for path in gone:
        if not 0 <= path < len(capacity):
            raise ValueError(f"--failed {path}: there are only paths 0 .. {len(capacity) - 1}")
        capacity[path] = 0.0
    return capacity


def _plans(
    sizes: list[int], capacity: list[float], names: list[str], least: int
) -> tuple[list[Plan], dict[str, str]]:
    """The plans, and why others cannot be. Raises ValueError if none can."""
    plans, refusals = [], {}
    for name in names:
        try:
            plans.append(plan(sizes, capacity, name, minimum_piece=least))
        except ValueError as error:
            if len(names) == 1 or name != "ethereal":
                raise
            refusals[name] = str(error)
    return plans, refusals


def _table(plans: list[Plan]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("strategy", "pieces", "most of a flow", "smallest", "most loaded path", "ideal"):
        table.add_column(name, justify="left" if name == "strategy" else "right")
    table.add_column("ratio", justify="right", style="bold")
    for made in plans:
        smallest = min((piece.size for piece in made.pieces), default=0)
        table.add_row(
            made.strategy,
            f"{len(made.pieces):,}",
            str(made.most_pieces),
            f"{smallest:,}",
            f"{made.max_load:,.0f}",
            f"{made.ideal_load:,.0f}",
            f"{made.ratio:.4f}",
        )
    return table


def _record(plans: list[Plan], refusals: dict[str, str], pieces: bool) -> dict[str, object]:
    rows = []
    for made in plans:
        row: dict[str, object] = {
            "strategy": made.strategy,
            "pieces": len(made.pieces),
            "most_pieces_of_a_flow": made.most_pieces,
            "max_load": made.max_load,
            "ideal_load": made.ideal_load,
            "ratio": made.ratio,
            "load": list(made.load),
        }
        if pieces:
            row["piece_list"] = [[p.flow, p.path, p.offset, p.size] for p in made.pieces]
        rows.append(row)
    return {"plans": rows, "refused": refusals}


if __name__ == "__main__":
    app()
