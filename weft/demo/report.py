"""The demo's outcome: checked, as a table, as a picture and as JSON."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from weft.demo.training import BACKENDS, HELD_OUT, WIDTH, Curve, Settings

# Two sums of the same float32 numbers in different orders differ by a few ulp (6e-8 relative);
# momentum SGD carries that through a few hundred steps. Another gradient would show at once:
# losing one rank's share moves the second loss by some 1e-2.
TOLERANCE = 1e-4
COLORS = {"gloo": "#9aa5b1", "weft": "#d1495b"}
WARM_UP = 5  # DDP rebuilds its buckets after the first step


@dataclass(frozen=True)
class Outcome:
    """Both trainings, and whether they are the same."""

    settings: Settings
    curves: dict[str, Curve]

    @property
    def difference(self) -> float:
        """The largest difference of the two losses at any step."""
        pairs = zip(*(self.curves[name].losses for name in BACKENDS), strict=True)
        largest: float = max(abs(gloo - weft) for gloo, weft in pairs)
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


def draw(outcome: Outcome, path: Path) -> None:
    """Loss curves on top of each other, and the distribution of step times."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    styles: dict[str, dict[str, Any]] = {
        "gloo": {"linewidth": 5, "alpha": 0.7},
        "weft": {"linewidth": 1.3},
    }
    for name in BACKENDS:
        losses = outcome.curves[name].losses
        steps = range(1, len(losses) + 1)
        left.plot(steps, losses, color=COLORS[name], label=name, **styles[name])
    left.set(xlabel="step", ylabel="loss, mean of all ranks", ylim=(0, None))
    left.set_title(f"Same curve: at most {outcome.difference:.1e} apart", loc="left")
    left.legend(frameon=False)

    times = {name: sorted(outcome.step_ms(name)) for name in BACKENDS}
    for name, values in times.items():
        share = [(i + 1) / len(values) for i in range(len(values))]
        median = statistics.median(values)
        label = f"{name}, median {median:.1f} ms"
        right.step(values, share, color=COLORS[name], linewidth=2.2, where="post", label=label)
        right.plot([median], [0.5], "o", color=COLORS[name])
    right.legend(frameon=False, loc="lower right")
    right.set(xlabel="time of a step, ms", ylabel="share of steps that took no longer")
    right.set(xscale="log", ylim=(0, 1.02))
    right.xaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:g}"))
    right.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    right.set_title("Step times", loc="left")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    settings = outcome.settings
    figure.supxlabel(
        f"{settings.ranks} ranks on one host, {64 * WIDTH + WIDTH * WIDTH + 12 * WIDTH + 10:,} "
        f"parameters, digits ({HELD_OUT} images held out), backends stepping in turn",
        fontsize=8,
        color="#666666",
    )
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
