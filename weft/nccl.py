"""`weft nccl`: what NCCL must be told to send over Weft (docs/nccl.md)."""

from __future__ import annotations

import json as encoder
import shlex
from typing import Annotated

import typer

from weft import _native

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)

PLUGIN = "libnccl-net-weft.so"
WITHIN_HOST = {"NCCL_P2P_DISABLE": "1", "NCCL_SHM_DISABLE": "1"}


@app.callback()
def group() -> None:
    """The NCCL network plugin."""


def variables(within_host: bool = False) -> dict[str, str]:
    """Environment variables that make NCCL load the plugin and insist on it.

    `within_host`: also between processes of one host, for which NCCL has faster ways of its own.
    Raises FileNotFoundError if this installation does not have the plugin.
    """
    chosen = {"NCCL_NET_PLUGIN": str(_native.path(PLUGIN)), "NCCL_NET": "Weft"}
    return chosen | (WITHIN_HOST if within_host else {})


@app.command()
def env(
    within_host: Annotated[
        bool, typer.Option("--within-host", help="Use Weft also inside a host, to try it there.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """The variables to set, as shell commands: eval "$(weft nccl env)".

    Exit codes: 0 all is well, 1 the plugin is not installed.
    """
    try:
        chosen = variables(within_host)
    except FileNotFoundError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if json:
        typer.echo(encoder.dumps(chosen))
        return
    for name, value in chosen.items():
        typer.echo(f"export {name}={shlex.quote(value)}")
