"""`weft compare`: one scenario by both clocks, and how far they are apart."""

from __future__ import annotations

import json as encoder
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from weft.emulation.lab.cli import Rootless, fail, load, show_fidelity
from weft.emulation.lab.errors import LabError
from weft.emulation.lab.run import Outcome, run
from weft.emulation.lab.sockets import as_on_sockets
from weft.emulation.scenario import Scenario
from weft.emulation.simulation import Result, simulate
from weft.emulation.units import show_time

COMPARED = ("end", "mean", "p50", "p99", "slowdown", "retransmitted", "dropped")
TIMES = ("end", "mean", "p50", "p99")
ONE_WAY = (
    "of this carrier the simulator knows the packets only: a TCP flow's one way through the fabric "
    "hangs on a port that the kernel draws"
)

app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


@dataclass
class Comparison:
    """The same scenario simulated and emulated."""

    simulated: Result
    emulated: Outcome

    def rows(self) -> list[tuple[str, float, float, float]]:
        """(metric, simulated, emulated, difference as a share of the simulated value)."""
        ours, theirs = self.simulated.metrics(), self.emulated.result.metrics()
        return [
            (name, ours[name], theirs[name], (theirs[name] - ours[name]) / ours[name]
             if ours[name] else 0.0)
            for name in COMPARED
        ]  # fmt: skip

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "metrics": {
                name: {"simulated": a, "emulated": b, "difference": d}
                for name, a, b, d in self.rows()
            },
            "fidelity": self.emulated.fidelity.record(),
            "errors": self.emulated.errors,
        }


def compare(scenario: Scenario, rootless: bool | None = None) -> Comparison:
    """Simulate a scenario as its sockets will run it, then run it in the lab."""
    return Comparison(simulate(as_on_sockets(scenario)), run(scenario, rootless))


@app.command()
def main(
    file: Annotated[Path, typer.Argument(help="Scenario file (TOML).")],
    seed: Annotated[int | None, typer.Option(help="Instead of the file's.")] = None,
    within: Annotated[
        float | None, typer.Option(help="Fail if the ends differ by more than this share.", min=0)
    ] = None,
    rootless: Rootless = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a scenario in the simulator and in the lab, and print both with their difference.

    Exit codes: 0 both ended and the lab's run is valid, 1 not so, 2 the input is wrong.
    """
    scenario = load("compare", file, seed)
    try:
        both = compare(scenario, rootless)
    except (LabError, ValueError) as error:
        fail("compare", error, 2)
    if json:
        typer.echo(encoder.dumps(both.record(), default=float))
    else:
        console = Console()
        table = Table(box=None, pad_edge=False, title=scenario.name, title_justify="left")
        for name in ("", "simulated", "emulated", "difference"):
            table.add_column(name, justify="right" if name else "left")
        for name, a, b, difference in both.rows():
            show = show_time if name in TIMES else "{:.6g}".format
            table.add_row(name, show(a), show(b), f"{100 * difference:+.1f} %")
        console.print(table)
        if scenario.lab.carrier != "weft":
            console.print(f"[yellow]doubtful[/yellow]    {ONE_WAY}", highlight=False)
        show_fidelity(both.emulated.fidelity, console)
        for complaint in both.emulated.errors:
            console.print(f"[red]{complaint}[/red]", highlight=False)
    end = both.rows()[0]
    failed = both.simulated.unfinished or both.emulated.result.unfinished or both.emulated.errors
    apart = within is not None and not abs(end[3]) <= within
    if failed or apart or not both.emulated.fidelity.valid:
        raise typer.Exit(1)
