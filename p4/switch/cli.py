"""`weft p4 stf`, `run`, `trace`, `bench`: programs at work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from weft.p4.compiler import CompileError
from weft.p4.switch import CodegenError, CompilerError, Switch
from weft.p4.switch import stf as stf_files

app = typer.Typer()

Source = Annotated[Path, typer.Argument(help="The P4 program.", exists=True, dir_okay=False)]


def opened(source: Path, *, trace: bool = False, sanitize: bool = False) -> Switch:
    """A switch for the program, or the end of the command with what is wrong."""
    try:
        return Switch.load(source, trace=trace, sanitize=sanitize)
    except (CompileError, CodegenError, CompilerError) as problem:
        typer.echo(str(problem), err=True)
        raise typer.Exit(1) from None


@app.command()
def stf(
    tests: Annotated[
        list[Path],
        typer.Argument(help="STF files, programs or folders; x.stf tests x.p4.", exists=True),
    ],
    upstream: Annotated[
        bool, typer.Option("--upstream", help="The lenient rules of the tests' original runner.")
    ] = False,
    sanitize: Annotated[
        bool, typer.Option("--sanitize", help="Build with address and undefined sanitizers.")
    ] = False,
) -> None:
    """Run STF tests. Exit code 1 when any fails."""
    failed = passed = 0
    for program, test in stf_files.pairs(tests):
        try:
            with Switch.load(program, sanitize=sanitize) as switch:
                result = stf_files.run_file(switch, test, upstream=upstream)
            problems = result.failures
            for reason in result.skipped:
                typer.echo(f"skipped: {reason}")
        except (CompileError, CodegenError, CompilerError, stf_files.StfError, OSError) as problem:
            problems = [str(problem)]
        if problems:
            failed += 1
            typer.echo(f"FAIL {test}")
            for line in problems:
                typer.echo(f"  {line}")
        else:
            passed += 1
            typer.echo(f"pass {test} ({result.packets} packets, {result.checks} checks)")
    typer.echo(f"{passed} passed, {failed} failed")
    if failed or not passed:
        raise typer.Exit(1)
