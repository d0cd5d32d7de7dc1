"""`weft bench`: the tables, and what they were measured on."""

from __future__ import annotations

import json as encoder
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

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
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Record = Annotated[bool, typer.Option(help="Write it to benchmarks/RESULTS.md.")]


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
    record: Record = False,
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
    with _progress("collectives", plan.steps) as tell:
        results = sweep(plan, tell)
    command = ["weft", "bench", *_arguments("collectives")]
    measured = report.record(plan, results, command, where)
    if json == Path("-"):
        typer.echo(encoder.dumps(measured))
    else:
        report.show(plan, results, _console())
        if json is not None:
            json.write_text(encoder.dumps(measured, indent=1) + "\n", encoding="utf-8")
    if record:
        tables, notes = report.comparisons(plan, results), report.remarks(results)
        _record("Collectives on one host", "collectives", where, tables, notes)
    if results.failures or results.wrong or not results.rows:
        raise typer.Exit(1)


@app.command()
def udp(
    sizes: Annotated[str, typer.Option(help="Bytes of the all_reduce.")] = "65536,1048576,16777216",
    rounds: Annotated[int, typer.Option(help="How often each takes its turn.", min=1)] = 3,
    milliseconds: Annotated[float, typer.Option(help="Of measuring per size.", min=1)] = 300,
    mtu: Annotated[int, typer.Option(help="Of the veth pair.", min=1280, max=65535)] = 9000,
    deadline: Annotated[float, typer.Option(help="Seconds for one start of a library.")] = 60,
    json: Json = False,
    record: Record = False,
) -> None:
    """Weft over UDP against gloo and one TCP stream, in two namespaces joined by veth (as root).

    Exit codes: 0 all measured was right, 1 something failed or is missing, 2 wrong usage.
    """
    from weft.bench import network

    numbers, where = _numbers("sizes", sizes), machine.describe()
    with _progress("udp", rounds * 5) as tell:
        rows, streams = network.measure(numbers, rounds, milliseconds, mtu, deadline, tell)
    _publish(
        "UDP between two namespaces", "udp", where, report.network_tables(rows, streams),
        [f"MTU {mtu}"], {"results": rows, "streams": streams}, json, record,
    )  # fmt: skip
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
    json: Json = False,
    record: Record = False,
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
    where = machine.describe()
    with _progress("datapaths", plan.steps) as tell:
        results = paths.measure(plan, tell)
    _publish(
        "Datapaths", "datapaths", where, [paths.table(plan, results)],
        [f"{name} was not measured: {why}" for name, why in results.skipped.items()],
        {"results": [asdict(row) for row in results.rows], "skipped": results.skipped},
        json, record,
    )  # fmt: skip
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
    json: Json = False,
    record: Record = False,
) -> None:
    """Weft over several links of limited rate between two namespaces, against one link and kernel
    TCP; with a link that dies in mid-run, and one that loses packets (as root).

    Exit codes: 0 all goals were reached, 1 one was not or something failed, 2 wrong usage.
    """
    from weft.bench import multipath as paths

    plan, where = paths.Plan(links, rate * 1e6, size, seconds, loss), machine.describe()
    plan = replace(plan, deadline=deadline, transport=transport)
    with _progress("multipath", 7) as tell:
        rows = paths.measure(plan, tell)
    lines = [{**asdict(row), "holds": row.holds} for row in rows]
    _publish(
        "Several links", "multipath", where, [paths.table(plan, rows)],
        [f"options of the transport: {plan.transport or 'its defaults'}"],
        {"plan": asdict(plan), "results": lines}, json, record,
    )  # fmt: skip
    if not all(row.holds for row in rows):
        raise typer.Exit(1)


@app.command()
def p4(
    sizes: Annotated[str, typer.Option(help="Bytes of the packets.")] = "64,128,256",
    rounds: Annotated[int, typer.Option(help="The best of so many counts.", min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="Of one round.", min=0.01)] = 0.2,
    json: Json = False,
    record: Record = False,
) -> None:
    """P4 programs as compiled switches: packets per second in process, and how long it takes from
    source to the first packet.

    Exit codes: 0 all goals were reached, 1 one was not or something failed, 2 wrong usage.
    """
    from weft.bench import p4 as switches
    from weft.p4.switch import CompilerError

    numbers, where = _numbers("sizes", sizes), machine.describe()
    with _progress("p4", len(switches.programs()), CompilerError) as tell:
        rows = switches.measure(numbers, rounds, seconds, tell)
    lines = [{**asdict(row), "goal": row.goal, "holds": row.holds} for row in rows]
    table = switches.table(rows)
    _publish("P4 programs", "p4", where, [table], [], {"results": lines}, json, record)
    if not all(row.holds for row in rows):
        raise typer.Exit(1)


@app.command()
def simulator(
    hosts: Annotated[str, typer.Option(help="Of the permutations, 64 a pod.")] = "1024,16384",
    rounds: Annotated[int, typer.Option(help="The quickest of so many counts.", min=1)] = 3,
    json: Json = False,
    record: Record = False,
) -> None:
    """The fabric simulator: permutations over fat-trees held against htsim's figures, and packets
    per second beside ns-3 (where Debian's libns3-dev is installed), in turn.

    Exit codes: 0 all goals were reached, 1 one was not or something failed, 2 wrong usage.
    """
    from weft.bench import simulator as simulators

    numbers, where = _numbers("hosts", hosts), machine.describe()
    if wrong := [n for n in numbers if n < 128 or n % 64]:
        raise typer.BadParameter(f"--hosts takes multiples of 64 from 128 on, not {wrong[0]}")
    with _progress("simulator", rounds * (len(numbers) + 1)) as tell:
        rows = [simulators.permutation(n, rounds, tell) for n in sorted(numbers)]
        peer = simulators.against_ns3(rounds, tell)
    _publish(
        "The simulator", "simulator", where, simulators.tables(rows, peer),
        simulators.remarks(rows, peer),
        {"results": [asdict(row) for row in rows], "ns3": asdict(peer) if peer else None},
        json, record,
    )  # fmt: skip
    if not all(row.holds for row in (*rows, peer) if row):
        raise typer.Exit(1)


@app.command()
def lab(
    rounds: Annotated[int, typer.Option(help="How often each takes its turn.", min=1)] = 2,
    seconds: Annotated[float, typer.Option(help="Of sending per trial.", min=0.1)] = 0.4,
    json: Json = False,
    record: Record = False,
) -> None:
    """The lab: start-up, packets per second as root, rootless and in trains beside Mininet's data
    paths (Linux bridge with tbf, Open vSwitch in user space), and how true rates, delays and losses
    are (as root; two to three minutes).

    Exit codes: 0 all goals were reached, 1 one was not or something failed, 2 wrong usage.
    """
    from weft.bench import lab as labs
    from weft.emulation.lab import LabError

    where = machine.describe()
    with _progress("lab", 11 + 6 * rounds, LabError, RuntimeError) as tell:
        rows, remarks = labs.measure_all(rounds, seconds, tell)
    remarks += [f"{row.name}: {row.note}" for row in rows if row.note]
    lines = [asdict(row) for row in rows]
    measured = {"results": lines, "remarks": remarks}
    _publish("The lab", "lab", where, labs.tables(rows), remarks, measured, json, record)
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
    json: Json = False,
    record: Record = False,
) -> None:
    """Sums in a P4 switch of a lab, beside ring and halving-doubling over the same star.

    Exit codes: 0 measured, 1 something failed or no figure can be believed, 2 wrong usage.
    """
    from weft.bench import innet as sums

    numbers, where = _numbers("workers", workers), machine.describe()
    with _progress("innet", len(numbers)) as tell:
        rows = sums.measure(numbers, kilobytes, rate, delay, rounds, deadline, tell)
    lines, table = [asdict(row) for row in rows], sums.table(rows, kilobytes, rate)
    _publish("Sums in the switch", "innet", where, [table], [], {"results": lines}, json, record)
    if all(row.faults for row in rows):
        raise typer.Exit(1)


@contextmanager
def _progress(
    command: str, steps: int, *faults: type[Exception]
) -> Iterator[Callable[[str], None]]:
    """A bar, and what moves it a step on and says what is measured. What cannot be measured ends
    the command with a line."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    known: tuple[type[Exception], ...] = (Unavailable, MeasurementError, *faults)
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=steps)
            yield lambda what: bar.update(task, advance=1, description=what)
    except known as error:
        typer.echo(f"weft bench {command}: {error}", err=True)
        raise typer.Exit(1) from None


def _publish(
    title: str,
    command: str,
    where: dict[str, str],
    tables: Sequence[report.Figures],
    notes: Sequence[str],
    measured: dict[str, Any],
    json: bool,
    record: bool,
) -> None:
    """Shows what was measured as tables or as JSON, and writes it down where that is asked for."""
    if json:
        typer.echo(encoder.dumps({"devices": where, **measured}))
    else:
        for figures in tables:
            _console().print(report.table(*figures))
        for note in notes:
            _console().print(note, markup=False, highlight=False)
    if record:
        _record(title, command, where, tables, notes)


def _record(
    title: str,
    command: str,
    where: dict[str, str],
    tables: Sequence[report.Figures],
    notes: Sequence[str],
) -> None:
    typed = shlex.join(["weft", "bench", *_arguments(command)])
    report.write_section(RESULTS, title, report.markdown(title, typed, where, tables, notes))


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
