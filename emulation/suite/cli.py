"""`weft suite`: the scenarios of a folder, run as tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from weft.emulation.document import ScenarioError
from weft.emulation.suite import html, junit
from weft.emulation.suite.runner import Case, names, run_suite, scenario_files

app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


@app.command()
def suite(
    folder: Annotated[Path, typer.Argument(help="Folder of scenario files, or one file.")],
    simulated: Annotated[
        bool, typer.Option("--sim", help="In virtual time instead of in the lab.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Instead of the files'.")] = None,
    jobs: Annotated[
        int, typer.Option(help="Scenarios at a time; labs share the machine.", min=1)
    ] = 1,
    only: Annotated[
        str, typer.Option(help="Those in whose FILE or CASE this occurs; all of A/B/C must.")
    ] = "",
    listed: Annotated[bool, typer.Option("--list", help="Say what there is, run nothing.")] = False,
    junit_path: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML.")] = None,
    html_path: Annotated[Path | None, typer.Option("--html", help="Write one HTML page.")] = None,
) -> None:
    """Run every scenario (*.toml) and check what it promises under `expect`.

    Exit codes: 0 all passed, 1 some did not, 2 the input is wrong.
    """
    console = Console()

    def show(case: Case) -> None:
        if case.skipped:
            return
        word = "[green]passed[/green]" if case.passed else "[bold red]FAILED[/bold red]"
        console.print(f"{word}  {case.name}  [dim]{case.seconds:.1f} s[/dim]", highlight=False)
        for failure in case.failures:
            console.print(f"        {failure}", highlight=False, markup=False)

    try:
        files = scenario_files(folder)
        if listed:
            for name in names(files, only):
                typer.echo(name)
            return
        cases = run_suite(files, only=only, simulated=simulated, seed=seed, jobs=jobs, done=show)
    except ScenarioError as error:
        typer.echo(f"weft suite: {error}", err=True)
        raise typer.Exit(2) from None
    name = folder.resolve().name
    if junit_path is not None:
        junit.write(cases, junit_path, name)
    if html_path is not None:
        html.write(cases, html_path, f"Suite {name}")
    tried = [case for case in cases if not case.skipped]
    passed = sum(case.passed for case in tried)
    reasons = ", ".join(sorted({case.skipped for case in cases if case.skipped}))
    left = f", {len(cases) - len(tried)} left out ({reasons})" if reasons else ""
    console.print(f"{passed} of {len(tried)} passed{left}")
    if passed < len(tried):
        raise typer.Exit(1)
