"""`weft bench`: the tables, and what they were measured on."""

from __future__ import annotations

import json as encoder
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from weft.bench import machine, report
from weft.bench.libraries import NAMES, SOURCES, Unavailable
from weft.bench.processes import MeasurementError
from weft.bench.sweep import COLLECTIVES, Plan, sweep

app = typer.Typer(
    add_completion=False, pretty_exceptions_show_locals=False, invoke_without_command=True
)
QUICK_SIZES = "8,4096,65536,1048576,16777216"
RESULTS = SOURCES.parent / "RESULTS.md"


@app.callback()
def bench(context: typer.Context) -> None:
    """Measure Weft beside its peers on this machine; without a command: all of `collectives`."""
    # As Ctrl-C does: unwinding ends the ranks, an unhandled SIGTERM would leave them behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if context.invoked_subcommand is None:
        context.invoke(collectives)


@app.command()
def collectives(
    sizes: Annotated[str, typer.Option(help="Bytes, e.g. 8,1024; default: see -b, -e, -f.")] = "",
    low: Annotated[int, typer.Option("--minbytes", "-b", help="Smallest size.", min=4)] = 8,
    high: Annotated[int, typer.Option("--maxbytes", "-e", help="Largest size.", min=4)] = 128 << 20,
    factor: Annotated[int, typer.Option("--stepfactor", "-f", help="Between sizes.", min=2)] = 8,
    ranks: Annotated[str, typer.Option(help="Numbers of processes.")] = "2,4",
    collectives: Annotated[str, typer.Option(help=f"Of {', '.join(COLLECTIVES)}.")] = ",".join(
        COLLECTIVES[:3]
    ),
    libraries: Annotated[str, typer.Option(help=f"Of {', '.join(NAMES)}.")] = ",".join(NAMES),
    rounds: Annotated[int, typer.Option(help="How often each takes its turn.", min=1)] = 3,
    milliseconds: Annotated[float, typer.Option(help="Of measuring per size.", min=1)] = 50,
    idle: Annotated[int, typer.Option(help="Seconds of the idle measurement; 0: none.")] = 5,
    deadline: Annotated[float, typer.Option(help="Seconds for one start of a library.")] = 120,
    quick: Annotated[
        bool, typer.Option(help="One round of five sizes, in about a minute.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option(help="Write nccl-tests' JSON to a file (- : print).")
    ] = None,
    record: Annotated[bool, typer.Option(help="Write it to benchmarks/RESULTS.md.")] = False,
) -> None:
    """Collectives on this host through torch (weft, gloo) and through C (weft, Open MPI, MPICH), in
    turn, with nccl-tests' columns, ratios, and what an idle group costs.

    Exit codes: 0 all measured was right, 1 a library failed or a result was wrong, 2 wrong usage.
    """
    if quick:
        rounds, milliseconds, idle = 1, min(milliseconds, 30), min(idle, 2)
        sizes = sizes or QUICK_SIZES
    plan = Plan(
        sizes=_numbers("sizes", sizes) if sizes else _geometric(low, high, factor),
        ranks=_numbers("ranks", ranks),
        collectives=_names("collectives", collectives, COLLECTIVES),
        libraries=_names("libraries", libraries, NAMES),
        rounds=rounds,
        milliseconds=milliseconds,
        idle_seconds=idle,
        deadline=deadline,
    )
    if min(plan.ranks) < 2 or min(plan.sizes) < 4:
        raise typer.BadParameter("at least 2 ranks and 4 bytes")
    where = machine.describe()
    bar = _progress()
    with bar:
        task = bar.add_task("compiling", total=plan.steps)
        results = sweep(plan, lambda what: bar.update(task, advance=1, description=what))
    command = ["weft", "bench", *_arguments("collectives")]
    measured = report.record(plan, results, command, where)
    if json == Path("-"):
        typer.echo(encoder.dumps(measured))
    else:
        report.show(plan, results, _console())
        if json is not None:
            json.write_text(encoder.dumps(measured, indent=1) + "\n", encoding="utf-8")
    if record:
        title = "Collectives on one host"
        tables, notes = report.comparisons(plan, results), report.remarks(results)
        section = report.markdown(title, shlex.join(command), where, tables, notes)
        report.write_section(RESULTS, title, section)
    if results.failures or results.wrong or not results.rows:
        raise typer.Exit(1)


@app.command()
def udp(
    sizes: Annotated[str, typer.Option(help="Bytes of the all_reduce.")] = "65536,1048576,16777216",
    rounds: Annotated[int, typer.Option(help="How often each takes its turn.", min=1)] = 3,
    milliseconds: Annotated[float, typer.Option(help="Of measuring per size.", min=1)] = 300,
    mtu: Annotated[int, typer.Option(help="Of the veth pair.", min=1280, max=65535)] = 9000,
    deadline: Annotated[float, typer.Option(help="Seconds for one start of a library.")] = 60,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    record: Annotated[bool, typer.Option(help="Write it to benchmarks/RESULTS.md.")] = False,
) -> None:
    """Weft over UDP against gloo and one TCP stream, in two namespaces joined by veth (as root).

    Exit codes: 0 all measured was right, 1 something failed or is missing, 2 wrong usage.
    """
    from weft.bench import network

    numbers, where = _numbers("sizes", sizes), machine.describe()
    bar = _progress()
    try:
        with bar:
            task = bar.add_task("compiling", total=rounds * 5)
            rows, streams = network.measure(
                numbers,
                rounds,
                milliseconds,
                mtu,
                deadline,
                lambda what: bar.update(task, advance=1, description=what),
            )
    except (Unavailable, MeasurementError) as error:
        typer.echo(f"weft bench udp: {error}", err=True)
        raise typer.Exit(1) from None
    tables = report.network_tables(rows, streams)
    if json:
        measured = {"devices": where, "results": rows, "streams": streams}
        typer.echo(encoder.dumps(measured))
    else:
        for title, columns, cells in tables:
            _console().print(report.table(title, columns, cells))
    if record:
        title, command = "UDP between two namespaces", ["weft", "bench", *_arguments("udp")]
        section = report.markdown(title, shlex.join(command), where, tables, [f"MTU {mtu}"])
        report.write_section(RESULTS, title, section)
    if any(row["nwrong"] for row in rows):
        raise typer.Exit(1)


@app.command()
def datapaths(
    datapaths: Annotated[str, typer.Option(help="Some of the lines; default: all.")] = "",
    rounds: Annotated[int, typer.Option(help="How often each takes its turn.", min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="Of each measurement.", min=0.05)] = 1,
    message: Annotated[int, typer.Option(help="Bytes, of the stream.", min=4096)] = 16 << 20,
    small: Annotated[int, typer.Option(help="Bytes, of the small message.", min=1)] = 8,
    mtu: Annotated[int, typer.Option(help="Of the veth pair.", min=1280, max=9000)] = 9000,
    deadline: Annotated[float, typer.Option(help="Seconds for one start of two ranks.")] = 60,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    record: Annotated[bool, typer.Option(help="Write it to benchmarks/RESULTS.md.")] = False,
) -> None:
    """Every datapath beside UDP: one stream of messages and the latency of a small one, between two
    processes, over a veth pair where a network is needed (as root).

    Exit codes: 0 all measured was right, 1 something failed or is missing, 2 wrong usage.
    """
    from weft.bench import datapaths as paths

    chosen = _names("datapaths", datapaths, paths.NAMES) if datapaths else paths.NAMES
    plan = paths.Plan(
        kinds=[kind for kind in paths.KINDS if kind.name in chosen],
        rounds=rounds,
        seconds=seconds,
        message=message,
        small=small,
        mtu=mtu,
        deadline=deadline,
    )
    where, bar = machine.describe(), _progress()
    try:
        with bar:
            task = bar.add_task("compiling", total=plan.steps)
            results = paths.measure(
                plan, lambda what: bar.update(task, advance=1, description=what)
            )
    except (Unavailable, MeasurementError) as error:
        typer.echo(f"weft bench datapaths: {error}", err=True)
        raise typer.Exit(1) from None
    found = paths.table(plan, results)
    remarks = [f"{name} was not measured: {why}" for name, why in results.skipped.items()]
    if json:
        rows = [asdict(row) for row in results.rows]
        measured = {"devices": where, "results": rows, "skipped": results.skipped}
        typer.echo(encoder.dumps(measured))
    else:
        _console().print(report.table(*found))
        for remark in remarks:
            _console().print(remark, markup=False)
    if record:
        title, command = "Datapaths", ["weft", "bench", *_arguments("datapaths")]
        section = report.markdown(title, shlex.join(command), where, [found], remarks)
        report.write_section(RESULTS, title, section)
    if any(row.nwrong for row in results.rows) or not results.rows:
        raise typer.Exit(1)


@app.command()
def multipath(
    links: Annotated[int, typer.Option(help="Parallel links.", min=2, max=16)] = 4,
    rate: Annotated[float, typer.Option(help="Of each link, Mbit/s.", min=1)] = 500,
    size: Annotated[int, typer.Option(help="Bytes of a rank's buffer.", min=4096)] = 64 << 20,
    seconds: Annotated[float, typer.Option(help="Of measuring per line.", min=0.2)] = 4,
    loss: Annotated[float, typer.Option(help="Of a packet on the lossy link.", max=0.5)] = 0.01,
    transport: Annotated[
        str, typer.Option(help="Options of the UDP datapath, for other than its defaults.")
    ] = "",
    deadline: Annotated[float, typer.Option(help="Seconds for one start of the ranks.")] = 60,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    record: Annotated[bool, typer.Option(help="Write it to benchmarks/RESULTS.md.")] = False,
) -> None:
    """Weft over several links of limited rate between two namespaces, against one link and kernel
    TCP; with a link that dies in mid-run, and one that loses packets (as root).

    Exit codes: 0 all goals were reached, 1 one was not or something failed, 2 wrong usage.
    """
    from weft.bench import multipath as paths

    plan, where = paths.Plan(links, rate * 1e6, size, seconds, loss), machine.describe()
    plan = replace(plan, deadline=deadline, transport=transport)
    bar = _progress()
    try:
        with bar:
            task = bar.add_task("", total=7)
            rows = paths.measure(plan, lambda what: bar.update(task, advance=1, description=what))
    except (Unavailable, MeasurementError) as error:
        typer.echo(f"weft bench multipath: {error}", err=True)
        raise typer.Exit(1) from None
    found = paths.table(plan, rows)
    if json:
        lines = [{**asdict(row), "holds": row.holds} for row in rows]
        typer.echo(encoder.dumps({"devices": where, "plan": asdict(plan), "results": lines}))
    else:
        _console().print(report.table(*found))
    if record:
        title, command = "Several links", ["weft", "bench", *_arguments("multipath")]
        notes = [f"options of the transport: {plan.transport or 'its defaults'}"]
        section = report.markdown(title, shlex.join(command), where, [found], notes)
        report.write_section(RESULTS, title, section)
    if not all(row.holds for row in rows):
        raise typer.Exit(1)


@app.command()
def p4(
    sizes: Annotated[str, typer.Option(help="Bytes of the packets.")] = "64,128,256",
    rounds: Annotated[int, typer.Option(help="The best of so many counts.", min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="Of one round.", min=0.01)] = 0.2,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    record: Annotated[bool, typer.Option(help="Write it to benchmarks/RESULTS.md.")] = False,
) -> None:
    """P4 programs as compiled switches: packets per second in process, and how long it takes from
    source to the first packet.

    Exit codes: 0 all goals were reached, 1 one was not or something failed, 2 wrong usage.
    """
    from weft.bench import p4 as switches
    from weft.p4.switch import CompilerError

    numbers, where, bar = _numbers("sizes", sizes), machine.describe(), _progress()
    try:
        with bar:
            task = bar.add_task("", total=len(switches.programs()))
            rows = switches.measure(
                numbers, rounds, seconds, lambda what: bar.update(task, advance=1, description=what)
            )
    except CompilerError as error:
        typer.echo(f"weft bench p4: {error}", err=True)
        raise typer.Exit(1) from None
    found = switches.table(rows)
    if json:
        lines = [{**asdict(row), "goal": row.goal, "holds": row.holds} for row in rows]
        typer.echo(encoder.dumps({"devices": where, "results": lines}))
    else:
        _console().print(report.table(*found))
    if record:
        title, command = "P4 programs", ["weft", "bench", *_arguments("p4")]
        section = report.markdown(title, shlex.join(command), where, [found], [])
        report.write_section(RESULTS, title, section)
    if not all(row.holds for row in rows):
        raise typer.Exit(1)


@app.command()
def lab(
    rounds: Annotated[int, typer.Option(help="How often each takes its turn.", min=1)] = 2,
    seconds: Annotated[float, typer.Option(help="Of sending per trial.", min=0.1)] = 0.4,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    record: Annotated[bool, typer.Option(help="Write it to benchmarks/RESULTS.md.")] = False,
) -> None:
    """The lab: start-up, packets per second as root, rootless and in trains beside Mininet's data
    paths (Linux bridge with tbf, Open vSwitch in user space), and how true rates, delays and losses
    are (as root; two to three minutes).

    Exit codes: 0 all goals were reached, 1 one was not or something failed, 2 wrong usage.
    """
    from weft.bench import lab as labs
    from weft.emulation.lab import LabError

    where, bar = machine.describe(), _progress()
    try:
        with bar:
            task = bar.add_task("", total=11 + 6 * rounds)
            rows, remarks = labs.measure_all(
                rounds, seconds, lambda what: bar.update(task, advance=1, description=what)
            )
    except (Unavailable, MeasurementError, LabError, RuntimeError) as error:
        typer.echo(f"weft bench lab: {error}", err=True)
        raise typer.Exit(1) from None
    found = labs.tables(rows)
    remarks += [f"{row.name}: {row.note}" for row in rows if row.note]
    if json:
        lines = [asdict(row) for row in rows]
        typer.echo(encoder.dumps({"devices": where, "results": lines, "remarks": remarks}))
    else:
        for title, columns, cells in found:
            _console().print(report.table(title, columns, cells))
        for remark in remarks:
            _console().print(remark, highlight=False)
    if record:
        title, command = "The lab", ["weft", "bench", *_arguments("lab")]
        section = report.markdown(title, shlex.join(command), where, found, remarks)
        report.write_section(RESULTS, title, section)
    if any(row.holds is False for row in rows):
        raise typer.Exit(1)


@app.command()
def innet(
    workers: Annotated[str, typer.Option(help="Numbers of ranks, 2 to 32.")] = "2,4,8",
    kilobytes: Annotated[int, typer.Option(help="Size of the message.", min=1)] = 1024,
    rate: Annotated[str, typer.Option(help="Of every link.")] = "200Mbit/s",
    delay: Annotated[str, typer.Option(help="Of every link.")] = "50us",
    rounds: Annotated[int, typer.Option(help="Counted; one more warms up.", min=1)] = 5,
    deadline: Annotated[float, typer.Option(help="Seconds for one number of ranks.")] = 300,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    record: Annotated[bool, typer.Option(help="Write it to benchmarks/RESULTS.md.")] = False,
) -> None:
    """Sums in a P4 switch of a lab, beside ring and halving-doubling over the same star.

    Exit codes: 0 measured, 1 something failed or no figure can be believed, 2 wrong usage.
    """
    from weft.bench import innet as sums

    numbers, where = _numbers("workers", workers), machine.describe()
    try:
        rows = sums.measure(numbers, kilobytes, rate, delay, rounds, deadline)
    except (Unavailable, MeasurementError) as error:
        typer.echo(f"weft bench innet: {error}", err=True)
        raise typer.Exit(1) from None
    found = sums.table(rows, kilobytes, rate)
    if json:
        typer.echo(encoder.dumps({"devices": where, "results": [asdict(row) for row in rows]}))
    else:
        _console().print(report.table(*found))
    if record:
        title, command = "Sums in the switch", ["weft", "bench", *_arguments("innet")]
        section = report.markdown(title, shlex.join(command), where, [found], [])
        report.write_section(RESULTS, title, section)
    if all(row.faults for row in rows):
        raise typer.Exit(1)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _console() -> Console:
    """The terminal; a file or pipe is as wide as the tables need."""
    console = Console()
    return console if console.is_terminal else Console(width=140)


def _arguments(command: str) -> list[str]:
    """The command as it was typed, for the record."""
    given = sys.argv[1:]
    return given[given.index(command) :] if command in given else [command]


def _geometric(low: int, high: int, factor: int) -> list[int]:
    if low > high:
        raise typer.BadParameter(f"--minbytes {low} is above --maxbytes {high}")
    sizes = [low]
    while sizes[-1] * factor <= high:
        sizes.append(sizes[-1] * factor)
    return sizes if sizes[-1] == high else [*sizes, high]


def _numbers(option: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"--{option} takes numbers, e.g. 2,4; not {text!r}") from None


def _names(option: str, text: str, known: Sequence[str]) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"--{option}: no {name!r}; there is {', '.join(known)}")
    return names
