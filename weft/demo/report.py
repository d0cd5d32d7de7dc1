"""The demo's outcome: checked, as a table, as a picture and as JSON."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from weft.demo.training import BACKENDS, HELD_OUT, WIDTH, Curve, Settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from weft.demo import fabric

# Two sums of the same float32 numbers in different orders differ by a few ulp (6e-8 relative);
# momentum SGD carries that through a few hundred steps. Another gradient would show at once:
# losing one rank's share moves the second loss by some 1e-2.
TOLERANCE = 1e-4
COLORS = {"gloo": "#9aa5b1", "weft": "#d1495b"}
WARM_UP = 5  # DDP rebuilds its buckets after the first step


@dataclass
class Outcome:
    """Both trainings, and whether they are the same; on the host, and on an emulated fabric."""

    settings: Settings
    curves: dict[str, Curve]
    fabric: fabric.Outcome | None = None
    without: str | None = None
    """Why there is no fabric."""
    failed: str | None = None
    """What went wrong on it."""

    @property
    def difference(self) -> float:
        """The largest difference of the two losses at any step, here and on the fabric."""
        curves = [self.curves]
        if self.fabric is not None:
            there = {name: run.curve for name, run in self.fabric.runs.items() if run.curve}
            curves += [there] if len(there) == len(BACKENDS) else []
        largest: float = max(
            abs(gloo - weft)
            for both in curves
            for gloo, weft in zip(*(both[name].losses for name in BACKENDS), strict=True)
        )
        return largest

    @property
    def same(self) -> bool:
        return self.difference <= TOLERANCE

    def step_ms(self, backend: str) -> list[float]:
        """Times of the steps after the first few, in milliseconds."""
        seconds = self.curves[backend].seconds
        return [second * 1e3 for second in seconds[min(WARM_UP, len(seconds) - 1) :]]

    def record(self) -> dict[str, Any]:
        """All of it for programs; times in milliseconds."""
        backends = {}
        for name in BACKENDS:
            curve, times = self.curves[name], self.step_ms(name)
            backends[name] = {
                "step_ms_median": statistics.median(times),
                "step_ms_p95": sorted(times)[int(0.95 * (len(times) - 1))],
                "loss_first": curve.losses[0],
                "loss_last": curve.losses[-1],
                "accuracy": curve.accuracy,
                "losses": curve.losses,
            }
        medians = [statistics.median(self.step_ms(name)) for name in BACKENDS]
        return {
            "settings": asdict(self.settings),
            "backends": backends,
            "speedup": medians[0] / medians[1],
            "max_loss_difference": self.difference,
            "tolerance": TOLERANCE,
            "same": self.same,
            "fabric": None if self.fabric is None else self.fabric.record(),
            "no_fabric": self.without or self.failed,
        }


def write(outcome: Outcome, folder: Path) -> Path:
    """Write table.txt, result.json and the picture demo.png; returns the picture's path."""
    folder.mkdir(parents=True, exist_ok=True)
    record = json.dumps(outcome.record(), indent=1)
    (folder / "result.json").write_text(record, encoding="utf-8")
    with (folder / "table.txt").open("w", encoding="utf-8") as file:
        show(outcome, Console(file=file, width=100))
    picture = folder / "demo.png"
    draw(outcome, picture)
    return picture


def show(outcome: Outcome, console: Console) -> None:
    """Print the table and the verdict."""
    settings, record = outcome.settings, outcome.record()
    table = Table(
        title=f"DDP on scikit-learn's digits: {settings.ranks} ranks, {settings.steps} steps "
        f"of {settings.ranks * settings.batch} images",
        title_justify="left",
    )
    table.add_column("backend")
    for column in ("first loss", "last loss", "accuracy", "step median", "step p95"):
        table.add_column(column, justify="right")
    for name, row in record["backends"].items():
        table.add_row(
            name,
            f"{row['loss_first']:.4f}",
            f"{row['loss_last']:.4f}",
            f"{row['accuracy']:.1%}",
            f"{row['step_ms_median']:.2f} ms",
            f"{row['step_ms_p95']:.2f} ms",
        )
    console.print(table)
    verdict = "the same curve" if outcome.same else "NOT the same curve"
    console.print(
        f"largest difference of the losses {outcome.difference:.1e} (allowed {TOLERANCE:.0e}): "
        f"{verdict}"
    )
    console.print(f"gloo's step takes {record['speedup']:.2f} times as long as weft's (medians)")
    if outcome.fabric is not None:
        _show_fabric(outcome.fabric, console)
    elif outcome.without is not None:
        console.print(f"no emulated fabric here, so no dead spine: {outcome.without}", markup=False)
    elif outcome.failed is not None:
        console.print(f"the second half failed: {outcome.failed}", markup=False)


def _show_fabric(outcome: fabric.Outcome, console: Console) -> None:
    record = outcome.record()
    table = Table(
        title=f"The same on an emulated fabric ({record['fabric']}), whose busiest spine dies "
        f"after {outcome.settings.steps // 2} of {outcome.settings.steps} steps",
        title_justify="left",
    )
    table.add_column("backend")
    for column in ("dies", "median before", "median after", "longest after", "last loss"):
        table.add_column(column, justify="right")
    for name, run in outcome.runs.items():
        if run.curve is None:
            table.add_row(name, run.spine, "gave up:", run.error or "", "", "")
            continue
        before, after = run.split(WARM_UP)
        table.add_row(
            name,
            run.spine,
            f"{1e3 * statistics.median(before):.0f} ms",
            f"{1e3 * statistics.median(after):.0f} ms",
            f"{run.longest:.2f} s",
            f"{run.curve.losses[-1]:.4f}",
        )
    console.print(table)
    fidelity = outcome.fidelity
    console.print(
        f"switches route around it after {record['noticed_after']:g} s; frames left the fabric "
        f"{1e6 * fidelity.late_p99:.0f} us late at the 99th percentile",
        highlight=False,
    )
    for fault in fidelity.faults:
        console.print(f"[bold red]NOT VALID[/bold red]: {fault}", highlight=False)


def draw(outcome: Outcome, path: Path) -> None:
    """Loss curves on top of each other and the distribution of step times; below, if there was a
    fabric, loss and step times before and after the death of the spine."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = 1 if outcome.fabric is None else 2
    figure, grid = pyplot.subplots(
        rows, 2, figsize=(11, 4.2 * rows), layout="constrained", squeeze=False
    )
    _draw_losses(outcome, grid[0][0])
    _draw_times(outcome, grid[0][1])
    if outcome.fabric is not None:
        _draw_fabric(outcome.fabric, grid[1][0], grid[1][1])
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    settings = outcome.settings
    below = "" if outcome.fabric is None else f"; below: {outcome.fabric.record()['fabric']}"
    figure.supxlabel(
        f"{settings.ranks} ranks on one host, {64 * WIDTH + WIDTH * WIDTH + 12 * WIDTH + 10:,} "
        f"parameters, digits ({HELD_OUT} images held out), backends stepping in turn{below}, each "
        "backend alone" * bool(below),
        fontsize=8,
        color="#666666",
    )
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _draw_losses(outcome: Outcome, axes: Axes) -> None:
    styles: dict[str, dict[str, Any]] = {
        "gloo": {"linewidth": 5, "alpha": 0.7},
        "weft": {"linewidth": 1.3},
    }
    for name in BACKENDS:
        losses = outcome.curves[name].losses
        steps = range(1, len(losses) + 1)
        axes.plot(steps, losses, color=COLORS[name], label=name, **styles[name])
    axes.set(xlabel="step", ylabel="loss, mean of all ranks", ylim=(0, None))
    axes.set_title(f"Same curve: at most {outcome.difference:.1e} apart", loc="left")
    axes.legend(frameon=False)


def _draw_times(outcome: Outcome, axes: Axes) -> None:
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    times = {name: sorted(outcome.step_ms(name)) for name in BACKENDS}
    for name, values in times.items():
        share = [(i + 1) / len(values) for i in range(len(values))]
        median = statistics.median(values)
        label = f"{name}, median {median:.1f} ms"
        axes.step(values, share, color=COLORS[name], linewidth=2.2, where="post", label=label)
        axes.plot([median], [0.5], "o", color=COLORS[name])
    axes.legend(frameon=False, loc="lower right")
    axes.set(xlabel="time of a step, ms", ylabel="share of steps that took no longer")
    axes.set(xscale="log", ylim=(0, 1.02))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title("Step times", loc="left")


def _draw_fabric(outcome: fabric.Outcome, left: Axes, right: Axes) -> None:
    """Loss and time of each step over the wall clock; the spine dies at 0."""
    from matplotlib.ticker import StrMethodFormatter

    noticed = outcome.record()["noticed_after"]
    for name, run in outcome.runs.items():
        if run.curve is None:
            right.plot([], [], color=COLORS[name], label=f"{name}: gave up")
            continue
        times, curve = run.times(), run.curve
        style: dict[str, Any] = {"color": COLORS[name], "marker": ".", "linewidth": 1.4}
        left.plot(times, curve.losses, label=name, **style)
        label = f"{name}, then up to {run.longest:.2f} s"
        right.plot(times, curve.seconds, label=label, drawstyle="steps", **style)
    for axes in (left, right):
        axes.axvline(0, color="#222222", linewidth=1.2)
        axes.axvspan(0, noticed, color="#222222", alpha=0.07, linewidth=0)
        axes.annotate(
            f" a spine dies; switches\n notice after {noticed:g} s", (0, 0.99),
            xycoords=("data", "axes fraction"), va="top", fontsize=8,
        )  # fmt: skip
        axes.set_xlabel("seconds since one of four spines died")
    left.set(ylabel="loss, mean of all ranks", ylim=(0, None))
    left.set_title("On an emulated leaf-spine: training goes on", loc="left")
    left.legend(frameon=False, loc="lower left")
    right.set(ylabel="time of a step, s", yscale="log")
    right.set_ylim(right.get_ylim()[0], 2.5 * right.get_ylim()[1])
    right.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    right.set_title("What the death costs", loc="left")
    right.legend(frameon=False, loc="upper right", fontsize="small")
