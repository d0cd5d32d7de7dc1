"""`weft p4`: check, format, draw and describe P4_16 programs.

Exit codes: 0 good, 1 the program has errors (or `fmt --check` found a difference), 2 wrong usage.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from weft.p4.compiler import CompileError, Diagnostics, compile_text, ir
from weft.p4.compiler.frontend import read
from weft.p4.switch.cli import app as switch_app

app = typer.Typer(help="P4_16 programs: check, format, draw, describe, run.", no_args_is_help=True)
app.registered_commands += switch_app.registered_commands

Source = Annotated[Path, typer.Argument(help="The P4 program.", exists=True, dir_okay=False)]
Includes = Annotated[
    list[Path] | None, typer.Option("-I", "--include", help="Folder to search for includes.")
]
Defines = Annotated[
    list[str] | None, typer.Option("-D", "--define", help="Macro: NAME or NAME=VALUE.")
]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="File to write.")]


def _macros(defines: list[str] | None) -> dict[str, str]:
    pairs = (d.partition("=") for d in defines or [])
    return {name: value if found else "1" for name, found, value in pairs}


def _fail(problem: CompileError) -> typer.Exit:
    typer.echo(str(problem), err=True)
    count = len(problem.diagnostics.errors)
    typer.echo(f"{count} error{'s' if count != 1 else ''}", err=True)
    return typer.Exit(1)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


@app.command()
def check(
    source: Source,
    include: Includes = None,
    define: Defines = None,
    as_json: Annotated[bool, typer.Option("--json", help="Diagnostics as JSON.")] = False,
) -> None:
    """Check a program: syntax, types, and everything up to code generation."""
    from weft.p4.compiler import check_all

    diagnostics = Diagnostics()
    good = True
    try:
        text = read(source, diagnostics)
        check_all(
            text,
            str(source),
            include_dirs=include or [],
            defines=_macros(define),
            diagnostics=diagnostics,
        )
    except CompileError:
        good = False
    if as_json:
        typer.echo(json.dumps([_as_dict(m) for m in diagnostics.messages], indent=2))
    elif diagnostics.messages:
        typer.echo(diagnostics.render(), err=True)
    if not good:
        raise typer.Exit(1)


def _as_dict(message: object) -> dict[str, object]:
    from weft.p4.compiler.diagnostics import Diagnostic

    assert isinstance(message, Diagnostic)
    place = message.location
    return {
        "severity": message.severity,
        "message": message.message,
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "notes": [
            {"message": text, "file": at.file, "line": at.line, "column": at.column}
            for text, at in message.notes
        ],
    }


@app.command()
def fmt(
    source: Source,
    include: Includes = None,
    output: Output = None,
    in_place: Annotated[bool, typer.Option("-i", "--in-place", help="Rewrite the file.")] = False,
    check_only: Annotated[
        bool, typer.Option("--check", help="Say only whether the file is formatted.")
    ] = False,
) -> None:
    """Format a program. Comments and includes stay; other directives are refused."""
    from weft.p4.compiler.format import format_text

    diagnostics = Diagnostics()
    try:
        text = read(source, diagnostics)
        formatted = format_text(text, str(source), include or [], diagnostics)
    except CompileError as problem:
        raise _fail(problem) from None
    if check_only:
        if formatted != text:
            typer.echo(f"{source} is not formatted", err=True)
            raise typer.Exit(1)
    elif in_place:
        source.write_text(formatted, encoding="utf-8")
    else:
        _write(formatted, output)


@app.command()
def graph(
    source: Source, include: Includes = None, define: Defines = None, output: Output = None
) -> None:
    """Draw parsers (states) and controls (tables and conditions) as SVG."""
    from weft.p4.compiler.graph import graphs
    from weft.p4.compiler.svg import render

    program = _compile(source, include, define)
    _write(render(graphs(program)), output)


@app.command("ir")
def show_ir(
    source: Source, include: Includes = None, define: Defines = None, output: Output = None
) -> None:
    """Print the typed intermediate form that back ends read."""
    from weft.p4.compiler.ir.text import program_text

    _write(program_text(_compile(source, include, define)), output)


@app.command()
def info(
    source: Source,
    include: Includes = None,
    define: Defines = None,
    output: Output = None,
    binary: Annotated[bool, typer.Option("--binary", help="Protobuf wire format.")] = False,
) -> None:
    """Print the program's P4Info, in protobuf's text form, as P4Runtime defines it."""
    from google.protobuf import text_format  # type: ignore[import-untyped]

    from weft.p4.compiler.p4info import p4info

    message = p4info(_compile(source, include, define))
    if binary:
        data: bytes = message.SerializeToString(deterministic=True)
        if output is None:
            raise typer.BadParameter("--binary needs --output")
        output.write_bytes(data)
        return
    _write(text_format.MessageToString(message), output)


@app.command()
def fit(
    source: Source,
    target: Annotated[str, typer.Option("--target", help="tofino1 or tofino2.")] = "tofino1",
    include: Includes = None,
    define: Defines = None,
    as_json: Annotated[bool, typer.Option("--json", help="The placement as JSON.")] = False,
) -> None:
    """Say whether a program fits a chip, stage by stage, and what does not."""
    from weft.p4.resources import fit as place
    from weft.p4.resources import load
    from weft.p4.resources.report import as_json as to_json
    from weft.p4.resources.report import as_text
    from weft.p4.resources.target import UnknownTarget

    try:
        chip = load(target)
    except UnknownTarget as problem:
        raise typer.BadParameter(str(problem)) from None
    result = place(_compile(source, include, define), chip)
    typer.echo(to_json(result, chip) if as_json else as_text(result, chip), nl=False)
    if not result.fits:
        raise typer.Exit(1)


def _compile(source: Path, include: list[Path] | None, define: list[str] | None) -> ir.Program:
    diagnostics = Diagnostics()
    try:
        text = read(source, diagnostics)
        return compile_text(
            text,
            str(source),
            include_dirs=include or [],
            defines=_macros(define),
            diagnostics=diagnostics,
        )
    except CompileError as problem:
        raise _fail(problem) from None


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def pruning(context: typer.Context) -> None:
    """Queries through a pruning switch: measurements."""
    try:
        from weft.p4.pruning.cli import app as queries
    except ModuleNotFoundError as problem:
        if problem.name is None or problem.name.partition(".")[0] == "weft":
            raise
        typer.echo(
            f"weft p4 pruning needs {problem.name}, which is not installed: "
            "pip install 'weft[pruning]'", err=True,
        )  # fmt: skip
        raise typer.Exit(1) from None
    queries(args=context.args, prog_name="weft p4 pruning")
