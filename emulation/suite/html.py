"""One self-contained HTML page about a suite: no script, nothing fetched."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from weft.emulation import plots
from weft.emulation.suite import drawing
from weft.emulation.suite.runner import Case
from weft.emulation.sweep import Point
from weft.emulation.units import show_time

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto;
       padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0; width: 100% }
th, td { padding: .25rem .8rem; text-align: left; vertical-align: top }
th { border-bottom: 1px solid #888 }
img, svg { max-width: 100% }
.good { color: #17692b; font-weight: 600 }
.bad { color: #b00; font-weight: 600 }
section { border-top: 2px solid #ddd; margin-top: 2.5rem }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; font-size: 12px }
"""


def _verdict(good: bool) -> str:
    return '<span class="good">passed</span>' if good else '<span class="bad">failed</span>'


def _section(number: int, case: Case) -> str:
    if case.skipped:
        return ""
    body = "".join(f'<p class="bad">{escape(text)}</p>' for text in case.failures)
    rows = "".join(
        f"<tr><td>{_verdict(v.holds)}</td><td><code>{escape(v.text)}</code></td>"
        f"<td>{escape(v.detail)}</td></tr>"
        for v in case.verdicts
    )
    body += f"<table><tr><th></th><th>expected</th><th>values</th></tr>{rows}</table>"
    result = case.result
    if result is not None:
        body += f"<p>{escape(result.scenario.topology.name)}, seed {result.scenario.seed}</p>"
        body += drawing.topology(result) + drawing.timeline(result)
        for title, figure in plots.figures([Point({}, result)]).values():
            picture = io.BytesIO()
            figure.savefig(picture, format="png", dpi=90)
            data = base64.b64encode(picture.getvalue()).decode("ascii")
            body += (
                f"<h3>{escape(title)}</h3>"
                f'<img alt="{escape(title)}" src="data:image/png;base64,{data}">'
            )
        evidence = result.evidence | (
            {} if case.fidelity is None else {"fidelity": case.fidelity.record()}
        )
        body += f"<h3>Evidence</h3><pre>{escape(json.dumps(evidence, indent=1, default=str))}</pre>"
    return (
        f'<section id="case{number}"><h2>{escape(case.name)}: {_verdict(case.passed)}</h2>'
        f"{body}</section>"
    )


def write(cases: Sequence[Case], path: Path, title: str) -> None:
    """A table of all scenarios, then a section for each."""
    rows = []
    for number, case in enumerate(cases):
        values = case.result.metrics() if case.result is not None else None
        measured = (
            "<td>-</td><td>-</td>"
            if values is None
            else f"<td>{show_time(values['end'])}</td><td>{values['slowdown']:.3f}</td>"
        )
        rows.append(
            f'<tr><td><a href="#case{number}">{escape(case.name)}</a></td>'
            f"<td>{_verdict(case.passed)}</td>{measured}<td>{case.seconds:.1f} s</td></tr>"
        )
    good = sum(case.passed for case in cases)
    path.write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>"
        f"<p>{good} of {len(cases)} scenarios passed.</p><table><tr><th>scenario</th><th></th>"
        "<th>last byte</th><th>slowdown</th><th>took</th></tr>"
        f"{''.join(rows)}</table>"
        f"{''.join(_section(number, case) for number, case in enumerate(cases))}</html>",
        encoding="utf-8",
    )
