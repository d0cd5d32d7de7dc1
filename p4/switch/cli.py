"""`weft p4 stf`, `run` and `trace`: programs at work.

Exit codes: 0 good, 1 a test failed or the program or a command is wrong, 2 wrong usage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weft.p4.compiler import CompileError
from weft.p4.switch import CodegenError, CompilerError, ControlError, Switch
from weft.p4.switch import stf as stf_files
from weft.p4.switch.commands import CommandLine
from weft.p4.switch.ports import Interfaces, run_pcaps
from weft.p4.switch.trace import Coverage, render, steps_of

app = typer.Typer()

Source = Annotated[Path, typer.Argument(help="The P4 program.", exists=True, dir_okay=False)]

Commands = Annotated[
    Path | None,
    typer.Option("--commands", help="A simple_switch_CLI command file to run first.", exists=True),
]


def _pairs(options: list[str] | None, what: str) -> dict[int, str]:
    """`PORT=NAME` options."""
    found: dict[int, str] = {}
    for option in options or []:
        port, equals, name = option.partition("=")
        if not equals or not port.isdigit():
            raise typer.BadParameter(f"'{option}' should be PORT={what}")
        found[int(port)] = name
    return found


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


@app.command()
def fuzz(
    programs: Annotated[
        list[Path], typer.Argument(help="Programs; x.stf beside x.p4 gives the seeds.", exists=True)
    ],
    packets: Annotated[
        int, typer.Option("--packets", help="How many packets, over all programs.", min=1)
    ] = 100_000,
    seed: Annotated[int, typer.Option("--seed", help="Of the random choices.")] = 1,
) -> None:
    """Run malformed packets through programs built with sanitizers. Exit code 1 on a finding."""
    from weft.p4.switch.fuzz import FuzzFailed
    from weft.p4.switch.fuzz import fuzz as fuzz_one

    failed = False
    each = -(-packets // len(programs))
    for program in programs:
        try:
            left = fuzz_one(program, each, seed)
            typer.echo(f"good {program}: {each} packets, {left} left")
        except (FuzzFailed, CompilerError) as problem:
            failed = True
            typer.echo(f"FAIL {problem}")
    if failed:
        raise typer.Exit(1)


@app.command()
def run(
    source: Source,
    interface: Annotated[
        list[str] | None, typer.Option("-i", "--interface", help="PORT=NAME of an interface.")
    ] = None,
    pcap: Annotated[
        list[str] | None, typer.Option("--pcap", help="PORT=FILE with frames for that port.")
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for what leaves (with --pcap).")
    ] = Path("out"),
    commands: Commands = None,
    grpc: Annotated[
        str | None, typer.Option("--grpc", help="Serve P4Runtime there, such as 127.0.0.1:9559.")
    ] = None,
    cpu_port: Annotated[
        int, typer.Option("--cpu-port", help="The controller's port (with --grpc).")
    ] = 510,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="Stop after that long (default: never).")
    ] = None,
) -> None:
    """Run a program on network interfaces, or over pcap files."""
    interfaces, files = _pairs(interface, "NAME"), _pairs(pcap, "FILE")
    if bool(interfaces) == bool(files):
        raise typer.BadParameter("give interfaces (-i PORT=NAME) or files (--pcap PORT=FILE)")
    with opened(source) as switch:
        _prepare(switch, commands)
        try:
            if files:
                paths = {port: Path(name) for port, name in files.items()}
                for port, count in sorted(run_pcaps(switch, paths, output).items()):
                    typer.echo(f"port {port}: {count} frames to {output}/port{port}.pcap")
            else:
                _serve(switch, interfaces, grpc, cpu_port, seconds)
        except KeyboardInterrupt:
            pass
        except (ControlError, OSError) as problem:
            typer.echo(str(problem), err=True)
            raise typer.Exit(1) from None
        stats = switch.stats()
        typer.echo(f"{stats.received} received, {stats.sent} sent, {stats.dropped} dropped")


def _serve(
    switch: Switch,
    interfaces: dict[int, str],
    grpc: str | None,
    cpu_port: int,
    seconds: float | None,
) -> None:
    """Forwards between interfaces, with a P4Runtime server beside if asked."""
    if grpc is None:
        with Interfaces(interfaces, switch.send) as ports:
            typer.echo(f"running on {', '.join(interfaces.values())}")
            ports.run(seconds)
        return
    from weft.p4.switch.p4runtime import Server  # gRPC takes long to import

    server = Server(switch, cpu_port=cpu_port, transmit=lambda output: ports.transmit(output))
    with Interfaces(interfaces, server.send) as ports:
        number = server.start(grpc)
        try:
            typer.echo(f"running on {', '.join(interfaces.values())}, P4Runtime on port {number}")
            ports.run(seconds)
        finally:
            server.stop()


def _prepare(switch: Switch, commands: Path | None) -> None:
    if commands is None:
        return
    try:
        for line in CommandLine(switch).run_file(commands):
            typer.echo(line)
    except ControlError as problem:
        typer.echo(str(problem), err=True)
        raise typer.Exit(1) from None


@app.command()
def trace(
    source: Source,
    packets: Annotated[
        list[str] | None, typer.Argument(help="Packets as PORT:HEX, such as 1:0011aa.")
    ] = None,
    test: Annotated[
        Path | None, typer.Option("--stf", help="Take entries and packets from an STF file.")
    ] = None,
    commands: Commands = None,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Tell what the packets covered, not each step.")
    ] = False,
) -> None:
    """Show each packet's way: states, tables, actions, changes. Or what a test run covered."""
    with opened(source, trace=True) as switch:
        _prepare(switch, commands)
        covered = Coverage(switch)
        if test is not None:
            _run_traced(switch, test, covered, quiet=coverage)
        for packet in packets or []:
            port, _, digits = packet.partition(":")
            try:
                outputs = switch.send(int(port, 0), bytes.fromhex(digits))
            except ValueError:
                raise typer.BadParameter(f"'{packet}' should be PORT:HEX") from None
            covered.add()
            if not coverage:
                typer.echo(render(steps_of(switch)))
                for output in outputs:
                    typer.echo(f"-> port {output.port}: {output.data.hex()}")
        if coverage:
            for name, count in covered.items():
                typer.echo(f"{count:8}  {name}")
            typer.echo(f"{covered.share():.0%} covered")


def _run_traced(switch: Switch, test: Path, covered: Coverage, *, quiet: bool) -> None:
    """Runs an STF file and looks at the events after each of its packets."""

    def after(port: int, data: bytes) -> None:
        covered.add()
        if not quiet:
            typer.echo(f"packet on port {port}: {data.hex()}")
            typer.echo(render(steps_of(switch)))

    try:
        result = stf_files.run_file(switch, test, after=after)
    except (ControlError, OSError) as problem:
        typer.echo(str(problem), err=True)
        raise typer.Exit(1) from None
    for failure in result.failures:
        typer.echo(failure, err=True)
