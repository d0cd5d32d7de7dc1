"""`weft lab`: scenarios and prompts on emulated fabrics."""

from __future__ import annotations

import json as encoder
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from weft.emulation import html_report, report
from weft.emulation.document import ScenarioError
from weft.emulation.lab import clean as cleaner
from weft.emulation.lab.errors import LabError
from weft.emulation.lab.fidelity import Fidelity
from weft.emulation.lab.lab import Lab
from weft.emulation.lab.run import run as run_scenario
from weft.emulation.lab.shell import Shell
from weft.emulation.lab.workers import Worker, inventory, ray_cluster
from weft.emulation.scenario import Scenario
from weft.emulation.sweep import Point
from weft.emulation.topology import Topology
from weft.emulation.units import show_time

app = typer.Typer(
    help="Real programs on emulated fabrics.", no_args_is_help=True, add_completion=False,
    pretty_exceptions_show_locals=False,
)  # fmt: skip

Rootless = Annotated[
    bool | None, typer.Option("--rootless/--root", help="Default: rootless only if need be.")
]


Workers = Annotated[
    str | None,
    typer.Option(help="Machines on which hosts live: an inventory (TOML), ray, or ray:COUNT."),
]


@contextmanager
def machines(workers: str | None) -> Iterator[Sequence[Worker]]:
    """What --workers names. Raises LabError, ScenarioError."""
    kind, _, count = (workers or "").partition(":")
    if workers is None:
        yield ()
    elif kind != "ray":
        yield inventory.load(Path(workers))
    elif count and (not count.isdecimal() or int(count) == 0):
        raise LabError(f"--workers {workers}: behind ray: stands a number of workers, as in ray:2")
    else:
        with ray_cluster.placed(int(count) if count else None) as found:
            yield found


def fail(command: str, error: Exception, code: int) -> NoReturn:
    """End with one line on standard error."""
    typer.echo(f"weft {command}: {error}", err=True)
    raise typer.Exit(code) from None


def load(command: str, file: Path, seed: int | None) -> Scenario:
    """A scenario; ends the program with 2 when it is wrong."""
    try:
        scenario = Scenario.load(file)
    except ScenarioError as error:
        fail(command, error, 2)
    if seed is not None:
        scenario.seed = seed
    return scenario


def show_fidelity(fidelity: Fidelity, console: Console) -> None:
    """Lines of evidence; in red when the run is not valid."""
    console.print(
        f"[dim]evidence[/dim]    {fidelity.frames:,} frames, late by {show_time(fidelity.late_p50)}"
        f" (p50), {show_time(fidelity.late_p99)} (p99), {show_time(fidelity.late_max)} (max); "
        f"fabric {fidelity.scheduling}, machine {100 * fidelity.cpu_idle:.0f} % idle",
        highlight=False,
    )
    console.print(
        f"            {fidelity.fabric}, {fidelity.segmentation}, seed {fidelity.seed}, dilation "
        f"{fidelity.dilation:g}; dropped outside the model: {fidelity.ring_drops} in, "
        f"{fidelity.refused} out, {fidelity.softnet_drops} between devices, "
        f"{fidelity.socket_drops} at hosts' sockets; Linux {fidelity.kernel}, "
        f"TCP {fidelity.tcp_congestion}",
        highlight=False,
    )
    for doubt in fidelity.doubts:
        console.print(f"[yellow]doubtful[/yellow]    {doubt}", highlight=False)
    for name, round_trip in fidelity.tunnels.items():
        console.print(
            f"[dim]worker[/dim]      {name}: {show_time(round_trip)} there and back",
            highlight=False,
        )
    for fault in fidelity.faults:
        console.print(f"[bold red]NOT VALID[/bold red]: {fault}", highlight=False)


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="Scenario file (TOML).")],
    seed: Annotated[int | None, typer.Option(help="Instead of the file's.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Folder for pictures and report.html.")] = None,
    rootless: Rootless = None,
    workers: Workers = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a scenario with real processes, and measure what `weft sim` measures.

    Exit codes: 0 all got through and the run is valid, 1 not so, 2 the input is wrong or the lab
    cannot be.
    """
    scenario = load("lab run", file, seed)
    try:
        with machines(workers) as placed:
            outcome = run_scenario(scenario, rootless, placed)
    except (LabError, ScenarioError) as error:
        fail("lab run", error, 2)
    if json:
        typer.echo(encoder.dumps(outcome.record(), default=float))
    else:
        console = Console()
        report.show(outcome.result, console)
        show_fidelity(outcome.fidelity, console)
        for complaint in outcome.errors:
            console.print(f"[red]{complaint}[/red]", highlight=False)
    if plot is not None:
        typer.echo(html_report.write([Point({}, outcome.result)], plot), err=json)
    if outcome.result.unfinished or outcome.errors or not outcome.fidelity.valid:
        raise typer.Exit(1)


@app.command()
def shell(
    file: Annotated[
        Path | None, typer.Argument(help="Scenario whose fabric to bring up; default: leaf-spine.")
    ] = None,
    topo: Annotated[
        str | None, typer.Option(help="FILE.py:CLASS of a topology written for Mininet.")
    ] = None,
    leaves: Annotated[int, typer.Option(min=1)] = 2,
    spines: Annotated[int, typer.Option(min=1)] = 2,
    hosts: Annotated[int, typer.Option(help="Per leaf.", min=1)] = 2,
    rate: str = "1Gbit/s",
    delay: str = "50us",
    rootless: Rootless = None,
    workers: Workers = None,
) -> None:
    """A prompt over a fabric: `h0 ping h1`, `link leaf0 spine1 down`, `pingall`, `iperf h0 h1`."""
    try:
        with machines(workers) as placed:
            if file is not None:
                scenario = Scenario.load(file)
                lab = Lab(
                    scenario.topology, queues=scenario.queues, seed=scenario.seed,
                    mtu=scenario.lab.mtu, dilation=scenario.lab.dilation,
                    trains=scenario.lab.trains, name=scenario.name, rootless=rootless,
                    workers=placed,
                )  # fmt: skip
            elif topo is not None:
                from weft.emulation.lab.topo import load_class

                written = load_class(topo)
                lab = Lab(
                    written.topology(), queues=written.queues, rootless=rootless, workers=placed
                )
            else:
                lab = Lab(
                    Topology.leaf_spine(
                        leaves=leaves, spines=spines, hosts_per_leaf=hosts, rate=rate, delay=delay
                    ),
                    rootless=rootless,
                    workers=placed,
                )
            with lab:
                Shell(lab).cmdloop()
    except (LabError, ValueError) as error:
        fail("lab shell", error, 2)


@app.command()
def clean() -> None:
    """End programs that labs have left behind, of labs that are dead; touches nothing else."""
    found = cleaner.clean()
    typer.echo(f"{len(found)} left-over processes ended" if found else "nothing was left behind")
