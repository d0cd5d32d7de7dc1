"""The `weft` command line.

Exit codes of every command: 0 all is well; 1 a failure was found (the output says which); 2 the
command was used wrongly. Commands that print tables take --json and then print one JSON object and
nothing else on standard output.

A command with a world of its own is a Typer application elsewhere, imported only when it is called:
`weft --help` stays fast, and a missing extra hurts nobody who does not use it.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Annotated

import typer

import weft

app = typer.Typer(
    name="weft",
    help="Multipath transport and collectives for machine learning, and their laboratory.",
    epilog="Exit codes: 0 all is well, 1 a failure was found, 2 wrong usage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


@app.command()
def version(json: Json = False) -> None:
    """Versions of Weft, of its native core and of the torch that it was built for."""
    from weft import _native

    try:
        build = _native.build_info()
    except FileNotFoundError as error:
        typer.echo(f"weft {weft.__version__}\n{error}", err=True)
        raise typer.Exit(1) from None
    if json:
        import json as encoder

        native = {"version": build.version, "compiler": build.compiler, "type": build.build_type}
        listed = {"weft": weft.__version__, "native": native, "torch": build.torch or None}
        typer.echo(encoder.dumps(listed))
        return
    torch = f"torch {build.torch}" if build.torch else "no torch extension"
    typer.echo(f"weft {weft.__version__} ({build.compiler}, {build.build_type}, {torch})")


@app.command()
def doctor(json: Json = False) -> None:
    """What this machine offers Weft, and for each missing thing what to do."""
    from weft.doctor import Level, examine, report

    findings = examine()
    if json:
        typer.echo(report.as_json(findings))
    else:
        from rich.console import Console

        report.show(findings, Console())
    if any(finding.level is Level.FAILED for finding in findings):
        raise typer.Exit(1)


@dataclass(frozen=True)
class Mounted:
    """The Typer application `app` of `module`, shown as `weft NAME`; `extra` is what it needs."""

    name: str
    help: str
    module: str
    extra: str


MOUNTED: tuple[Mounted, ...] = (
    Mounted("devices", "RDMA devices, network cards, GPUs near them.", "weft.devices.cli", "dev"),
    Mounted("explain", "Which algorithm would run, and why.", "weft.collectives.cli", "dev"),
    Mounted("sim", "Run a scenario in the packet-level simulator.", "weft.emulation.cli", "lab"),
    Mounted("plan", "Which bytes of which flow take which path.", "weft.transport.cli", "dev"),
    Mounted(
        "reproduce", "Published results, ours beside theirs.", "weft.emulation.reproduce_cli", "lab"
    ),
    Mounted("lab", "Real programs on emulated fabrics.", "weft.emulation.lab.cli", "lab"),
    Mounted(
        "compare",
        "A scenario simulated and emulated, side by side.",
        "weft.emulation.lab.compare",
        "lab",
    ),
    Mounted("suite", "Scenarios as tests.", "weft.emulation.suite.cli", "lab"),
    Mounted("p4", "P4_16 programs: check, format, draw, describe, fit, run.", "weft.p4.cli", "p4"),
    Mounted("nccl", "The NCCL network plugin: variables to set.", "weft.nccl", "dev"),
    Mounted("demo", "Train a model over weft, beside gloo.", "weft.demo.cli", "demo"),
    Mounted("bench", "Measure Weft beside its peers.", "weft.bench.cli", "torch"),
)


def mount(entry: Mounted) -> None:
    """Add a command that imports the application when called, and hands all arguments on."""

    @app.command(
        entry.name,
        help=entry.help,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def forward(context: typer.Context) -> None:
        try:
            application: typer.Typer = importlib.import_module(entry.module).app
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] == "weft":
                raise
            typer.echo(
                f"weft {entry.name} needs {error.name}, which is not installed. "
                f"Install the extra: pip install 'weft[{entry.extra}]'",
                err=True,
            )
            raise typer.Exit(1) from None
        application(args=context.args, prog_name=f"weft {entry.name}")


for _entry in MOUNTED:
    mount(_entry)


def main() -> None:
    """Entry point of the `weft` script."""
    app()


if __name__ == "__main__":
    main()
