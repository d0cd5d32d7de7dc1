"""Pictures of results, as Matplotlib figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from weft.emulation.simulation import Result
from weft.emulation.sweep import Point

_TIERS = ("host links", "leaf uplinks", "aggregation uplinks", "upper links")


def _scale(seconds: float) -> tuple[float, str]:
    """What to multiply seconds by for an axis up to so many, and the unit."""
    return (1e6, "us") if seconds < 5e-3 else (1e3, "ms") if seconds < 5 else (1.0, "s")


def _label(point: Point) -> str:
    return (
        ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in point.values.items())
        or "messages"
    )


def completion_cdf(points: Sequence[Point]) -> Figure:
    """Share of messages done within a time, one line per run; the ideal bound dashed."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    longest = max(float(p.result.durations.max(initial=0.0)) for p in points)
    scale, unit = _scale(longest)
    for point in points:
        durations = np.sort(point.result.durations) * scale
        if len(durations):
            share = np.arange(1, len(durations) + 1) / len(durations)
            axes.step(durations, share, where="post", label=_label(point))
    bound = min(point.result.ideal_bound for point in points) * scale
    axes.axvline(bound, color="0.4", linestyle="--", linewidth=1, label="ideal bound")
    axes.set(
        xlabel=f"completion time of a message, {unit}", ylabel="share of messages", ylim=(0, 1.02)
    )
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="center left" if len(points) > 6 else "best")
    return figure


def link_loads(result: Result) -> Figure:
    """Utilisation of every link until the end of the run: one row per lower node, its links upwards
    in order, one panel per tier and direction."""
    topology = result.scenario.topology
    panels: dict[int, dict[int, list[int]]] = {}
    for link, (a, b) in enumerate(topology.ends):
        tier = topology.tier_of_link(link)
        rank = {n: -1 if n < topology.hosts else topology.tiers[n - topology.hosts] for n in (a, b)}
        lower = a if rank[a] <= rank[b] else b
        panels.setdefault(tier, {}).setdefault(lower, []).append(link)
    tiers = sorted(panels)
    figure = Figure(figsize=(4.2 * len(tiers) + 1, 6), layout="constrained")
    grid = figure.subplots(2, len(tiers), squeeze=False)
    load = result.link_load
    highest = max(float(load.max(initial=0.0)), 1e-3)
    image = None
    for column, tier in enumerate(tiers):
        for row, direction in enumerate(("up", "down")):
            axes = grid[row][column]
            image = axes.imshow(
                _matrix(panels[tier], topology.ends, load, direction == "up", tier == 0),
                aspect="auto", vmin=0, vmax=highest, cmap="viridis", interpolation="nearest",
            )  # fmt: skip
            axes.set_title(f"{_TIERS[min(tier, 3)]}, {direction}", fontsize="medium")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_xlabel("host in row" if tier == 0 else "link upwards")
            axes.set_ylabel("row of hosts" if tier == 0 else "lower switch")
    if image is not None:
        figure.colorbar(image, ax=grid, label="utilisation until the end", shrink=0.8)
    return figure


def _matrix(
    rows: dict[int, list[int]], ends: list[tuple[int, int]], load: np.ndarray, up: bool, fold: bool
) -> np.ndarray:
    values = []
    for lower, links in rows.items():
        values.append([load[2 * k + (0 if (ends[k][0] == lower) == up else 1)] for k in links])
    if fold and values and len(values[0]) == 1:  # hosts have one link each: fold them into a square
        flat = np.array([v[0] for v in values])
        width = max(1, int(np.ceil(np.sqrt(len(flat)))))
        padded = np.full(-(-len(flat) // width) * width, np.nan)
        padded[: len(flat)] = flat
        return padded.reshape(-1, width)
    width = max(len(v) for v in values)
    return np.array([v + [np.nan] * (width - len(v)) for v in values])


def queue_depths(result: Result) -> Figure:
    """Deepest and mean queue per tier and direction over time. Needs `sample_interval`."""
    topology = result.scenario.topology
    tier = np.repeat([topology.tier_of_link(k) for k in range(len(topology.ends))], 2)
    source = np.array([end for a, b in topology.ends for end in (a, b)])
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    scale, unit = _scale(float(result.sample_times.max(initial=0.0)))
    times = result.sample_times * scale
    at_switch = source >= topology.hosts
    for number, colour in zip(sorted(set(tier[at_switch])), ("C0", "C1", "C2", "C3"), strict=False):
        backlog = result.sample_backlog[:, at_switch & (tier == number)] / 1e3
        name = "switch to host" if number == 0 else _TIERS[min(int(number), 3)]
        axes.plot(times, backlog.max(axis=1), color=colour, label=f"{name}, deepest")
        axes.plot(times, backlog.mean(axis=1), color=colour, linestyle=":", label=f"{name}, mean")
    _mark_events(axes, result, scale)
    axes.set(xlabel=f"time, {unit}", ylabel="waiting, kB")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def path_states(result: Result) -> Figure:
    """What each path of the traced connections went through. Needs `traced_connections`."""
    told = Counter(
        (event.host, event.peer)
        for event in result.trace
        if event.kind in ("path_health", "chunk_lost")
    )
    shown = sorted(c for c, _ in told.most_common(6))
    if not shown:
        shown = sorted({(event.host, event.peer) for event in result.trace})[:1]
    figure = Figure(figsize=(8, 2.4 * max(1, len(shown)) + 0.6), layout="constrained")
    grid = figure.subplots(max(1, len(shown)), 1, squeeze=False, sharex=True)
    scale, unit = _scale(result.end)
    end = result.end * scale
    name = result.scenario.topology.node_name
    for axes, (host, peer) in zip(grid[:, 0], shown, strict=False):
        mine = [event for event in result.trace if (event.host, event.peer) == (host, peer)]
        _paths(axes, mine, end, result.scenario.transport.paths, scale)
        _mark_events(axes, result, scale)
        axes.set_title(f"{name(host)} to {name(peer)}", fontsize="medium")
        axes.set_ylabel("path")
    grid[-1, 0].set_xlabel(f"time, {unit}")
    grid[0, 0].set_xlim(0, end or None)
    return figure


def _paths(axes: Axes, trace: Sequence[object], end: float, paths: int, scale: float) -> None:
    since: dict[int, float] = {}
    for event in trace:
        at = event.at * scale  # type: ignore[attr-defined]
        if event.kind == "path_health":  # type: ignore[attr-defined]
            path, value = event.path, event.value  # type: ignore[attr-defined]
            if value and path not in since:
                since[path] = at
            elif not value and path in since:
                axes.broken_barh(
                    [(since[path], at - since.pop(path))], (path - 0.4, 0.8), color="C3"
                )
    for path, start in since.items():
        axes.broken_barh([(start, max(0.0, end - start))], (path - 0.4, 0.8), color="C3")
    lost = [(e.at * scale, e.path) for e in trace if e.kind == "chunk_lost"]  # type: ignore[attr-defined]
    if lost:
        axes.plot(*zip(*lost, strict=True), "k.", markersize=3)
    axes.set_ylim(-0.7, paths - 0.3)
    axes.text(
        0.99, 0.95, "red: suspect   dots: losses", transform=axes.transAxes, ha="right", va="top",
        fontsize="x-small", color="0.3",
    )  # fmt: skip


def _mark_events(axes: Axes, result: Result, scale: float) -> None:
    for event in result.scenario.events:
        axes.axvline(event.at * scale, color="C3", linewidth=0.8)
        if event.lasts is not None:
            axes.axvspan(event.at * scale, (event.at + event.lasts) * scale, color="C3", alpha=0.08)


def figures(points: Sequence[Point]) -> dict[str, tuple[str, Figure]]:
    """All pictures that the results have data for: {file stem: (title, figure)}."""
    made = {"completion": ("Completion times", completion_cdf(points))}
    if len(points) == 1:
        result = points[0].result
        made["links"] = ("Link loads", link_loads(result))
        if len(result.sample_times):
            made["queues"] = ("Queue depths", queue_depths(result))
        if result.trace:
            made["paths"] = ("Path states", path_states(result))
    return made
