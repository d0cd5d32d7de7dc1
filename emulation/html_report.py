"""One self-contained HTML page about one or several runs: no script, nothing fetched."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from weft.emulation import drawing, plots
from weft.emulation.sweep import Point
from weft.emulation.units import show_size, show_time

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .25rem .8rem; text-align: right }
th { border-bottom: 1px solid #888; font-weight: 600 }
td:first-child, th:first-child { text-align: left }
tr:nth-child(even) td { background: #f5f5f5 }
img, svg { max-width: 100% }
.bad { color: #b00; font-weight: 600 }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; font-size: 12px }
"""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><tr>{cells}</tr>{body}</table>"


def _summary(points: Sequence[Point]) -> str:
    keys = list(points[0].values)
    head = [*(keys or ["run"]), "messages", "mean", "p50", "p99", "last byte", "ideal", "slowdown",
            "retransmitted", "deepest queue"]  # fmt: skip
    rows = []
    for point in points:
        result = point.result
        done = result.completion
        peak = result.port_stats.get("peak_backlog")
        rows.append([
            *([str(v) for v in point.values.values()] or [result.scenario.name]),
            str(done.count), show_time(done.mean), show_time(done.p50), show_time(done.p99),
            show_time(result.end), show_time(result.ideal_bound),
            "-" if result.unfinished else f"{result.slowdown:.3f}",
            str(result.transport.get("retransmitted", "-")),
            show_size(float(peak.max(initial=0))) if peak is not None else "-",
        ])  # fmt: skip
    return _table(head, rows)


def _faults(points: Sequence[Point]) -> str:
    lines = []
    for point in points:
        if point.result.unfinished:
            lines.append(
                f"{point.result.unfinished} messages did not get through {point.values or ''}"
            )
        for host, peer, at, reason in point.result.failures[:20]:
            lines.append(f"{host} - {peer} failed at {show_time(at)}: {reason}")
    return "".join(f'<p class="bad">{escape(line)}</p>' for line in lines)


def _events(points: Sequence[Point]) -> str:
    rows = [
        [
            show_time(e.at),
            e.target(),
            e.action,
            str(e.value or ""),
            show_time(e.lasts) if e.lasts else "",
        ]
        for e in points[0].result.scenario.events
    ]
    return (
        "<h2>Events</h2>" + _table(["at", "what", "action", "value", "for"], rows) if rows else ""
    )


def _drawings(points: Sequence[Point]) -> str:
    """Of a single run."""
    if len(points) > 1:
        return ""
    result = points[0].result
    parts = {
        "Fabric": drawing.topology(result),
        "Time line": drawing.timeline(result),
        "Share of each way up": drawing.path_shares(result, drawing.WIDTH),
    }
    return "".join(f"<h2>{title}</h2>{drawn}" for title, drawn in parts.items() if drawn)


def write(points: Sequence[Point], folder: Path) -> Path:
    """Write the pictures as PNG files and report.html into `folder` (made if need be); returns the
    page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = []
    for stem, (title, figure) in plots.figures(points).items():
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=130)
        (folder / f"{stem}.png").write_bytes(picture.getvalue())
        data = base64.b64encode(picture.getvalue()).decode("ascii")
        sections.append(
            f"<h2>{escape(title)}</h2>"
            f'<img alt="{escape(title)}" src="data:image/png;base64,{data}">'
        )
    scenario = points[0].result.scenario
    evidence = [point.result.evidence for point in points]
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,">'
        f"<title>{escape(scenario.name)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(scenario.name)}</h1>"
        f"<p>{escape(scenario.topology.name)}, seed {scenario.seed}</p>"
        f"{_faults(points)}{_summary(points)}{_events(points)}{_drawings(points)}"
        f"{''.join(sections)}"
        f"<h2>Evidence</h2><pre>{escape(json.dumps(evidence, indent=1))}</pre></html>"
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path
