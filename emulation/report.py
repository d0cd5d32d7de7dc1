"""Results as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from weft.emulation.simulation import Result, Summary
from weft.emulation.sweep import Point
from weft.emulation.units import show_size, show_time


def show(result: Result, console: Console) -> None:
    """Everything about one run."""
    scenario = result.scenario
    console.print(f"[bold]{scenario.name}[/bold]: {scenario.topology.name}, seed {scenario.seed}")
    console.print(_completions(result))
    console.print(_bounds(result))
    if result.port_stats:
        console.print(_network(result))
    for host, peer, at, reason in result.failures[:10]:
        console.print(
            f"[red]{host} - {peer} failed at {show_time(at)}[/red]: {reason}", highlight=False
        )
    if len(result.failures) > 10:
        console.print(f"[red]... and {len(result.failures) - 10} more failed connections[/red]")
    if result.unfinished:
        console.print(f"[bold red]{result.unfinished} messages did not get through[/bold red]")


def show_sweep(points: Sequence[Point], console: Console) -> None:
    """One row per run."""
    table = Table(box=None, pad_edge=False)
    for key in points[0].values:
        table.add_column(key.rpartition(".")[2], style="bold", no_wrap=True)
    for name in ("mean", "p50", "p99", "last", "slowdown", "resent", "queue", "unfinished"):
        table.add_column(name, justify="right", no_wrap=True)
    for point in points:
        result = point.result
        completion = result.completion
        peak = result.port_stats.get("peak_backlog", np.zeros(1))
        table.add_row(
            *(str(value) for value in point.values.values()),
            show_time(completion.mean),
            show_time(completion.p50),
            show_time(completion.p99),
            show_time(result.end),
            _factor(result.slowdown),
            str(result.transport.get("retransmitted", "-")),
            show_size(float(peak.max(initial=0))),
            str(result.unfinished),
        )
    console.print(table)


def _factor(value: float) -> str:
    return "-" if value == float("inf") else f"{value:.3f}x"


def _completions(result: Result) -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left")
    for name in ("workload", "messages", "mean", "p50", "p99", "max"):
        table.add_column(name, justify="left" if name == "workload" else "right")
    work = result.scenario.workload
    group = np.asarray(work.group)
    done = result.is_message & ~np.isnan(result.received)
    for index, name in enumerate(work.names):
        mine = done & (group == index)
        if not mine.any():
            continue
        summary = Summary.of((result.received - result.started)[mine])
        times = (summary.mean, summary.p50, summary.p99, summary.max)
        table.add_row(name, str(summary.count), *(show_time(t) for t in times))
    return table


def _bounds(result: Result) -> str:
    end = "never" if result.unfinished else show_time(result.end)
    return (
        f"last byte at [bold]{end}[/bold], ideal bound {show_time(result.ideal_bound)} "
        f"(longest chain of dependencies {show_time(result.critical_path)}, busiest cut "
        f"{show_time(result.load_bound)}): [bold]{_factor(result.slowdown)}[/bold]"
    )


def _network(result: Result) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column()
    transport = result.transport
    sent = max(1, transport["chunks_sent"])
    table.add_row(
        "packets",
        f"{transport['chunks_sent']:,} with payload, {transport['retransmitted']:,} of them again "
        f"({100 * transport['retransmitted'] / sent:.2g} %; "
        f"{transport['timeouts']:,} after a timeout), "
        f"{transport['acks_sent']:,} acknowledgements",
    )
    dropped = ", ".join(f"{k.replace('_', ' ')} {v:,}" for k, v in result.dropped.items() if v)
    stats = result.port_stats
    table.add_row(
        "network",
        f"dropped: {dropped or 'nothing'}; marked {int(stats['marks'].sum()):,}, "
        f"trimmed {int(stats['trims'].sum()):,}",
    )
    table.add_row("fullest queues", _top(result, stats["peak_backlog"].astype(float), show_size))
    table.add_row("busiest links", _top(result, result.link_load, lambda x: f"{100 * x:.1f} %"))
    evidence = result.evidence
    table.add_row(
        "run",
        f"{evidence['events']:,} events in {evidence['wall_seconds']:.2f} s "
        f"({evidence['cpu_seconds']:.2f} s of a core)",
    )
    return table


def _top(result: Result, values: np.ndarray, show_value: object) -> str:
    topology = result.scenario.topology
    best = np.argsort(-values, kind="stable")[:3]
    parts = []
    for port in best:
        ends = topology.ends[port // 2]
        a, b = ends if port % 2 == 0 else ends[::-1]
        text = show_value(float(values[port]))  # type: ignore[operator]
        parts.append(f"{topology.node_name(a)} to {topology.node_name(b)} {text}")
    return ", ".join(parts)
