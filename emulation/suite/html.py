"""One self-contained HTML page about a suite: no script, nothing fetched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from weft.emulation import drawing
from weft.emulation.suite.runner import Case
from weft.emulation.units import show_time

UNFOLDED = 6
"""Cases up to which all are shown open; beyond, only what failed is."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto;
       padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0; width: 100% }
th, td { padding: .25rem .8rem; text-align: left; vertical-align: top }
th { border-bottom: 1px solid #888 }
td.cell { border: 2px solid #fff; text-align: right } th.cell { text-align: right }
td.good { background: #e2f1e6 } td.bad { background: #fbdcdc } td.out { color: #888 }
td a { color: inherit }
svg { max-width: 100% }
span.good { color: #17692b; font-weight: 600 }
span.bad, p.bad { color: #b00020; font-weight: 600 }
section { border-top: 2px solid #ddd; margin-top: 1.5rem }
summary { cursor: pointer } summary h2 { display: inline-block; margin: .6rem 0; font-size: 1.2rem }
.pair { display: flex; flex-wrap: wrap; gap: 1rem } .pair > div { flex: 1 1 26rem; min-width: 0 }
h3 { font-size: 1rem; margin: 1rem 0 .3rem }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; font-size: 12px }
"""


def _verdict(case: Case) -> str:
    if case.skipped:
        return "left out"
    return '<span class="good">passed</span>' if case.passed else '<span class="bad">failed</span>'


def _section(number: int, case: Case, unfold: bool) -> str:
    if case.skipped:
        return ""
    rows = "".join(
        f"<tr><td>{'holds' if v.holds else '<span class=bad>does not hold</span>'}</td>"
        f"<td><code>{escape(v.text)}</code></td><td>{escape(v.detail)}</td></tr>"
        for v in case.verdicts
    )
    body = "".join(f'<p class="bad">{escape(text)}</p>' for text in case.failures)
    body += f"<table><tr><th></th><th>expected</th><th>values</th></tr>{rows}</table>"
    return (
        f'<section id="case{number}"><details{" open" if unfold or not case.passed else ""}>'
        f"<summary><h2>{escape(case.name)}: {_verdict(case)}</h2></summary>"
        f"{body}{_pictures(case)}</details></section>"
    )


def _pictures(case: Case) -> str:
    result = case.result
    if result is None:
        return ""
    shares = drawing.path_shares(result)
    pair = f"<div><h3>Completion times</h3>{drawing.completions(result)}</div>"
    if shares:
        pair += f"<div><h3>Share of each way up</h3>{shares}</div>"
    evidence = result.evidence | (
        {} if case.fidelity is None else {"fidelity": case.fidelity.record()}
    )
    return (
        f"<p>{escape(result.scenario.topology.name)}, seed {result.scenario.seed}</p>"
        f"{drawing.topology(result)}<h3>Time line</h3>{drawing.timeline(result)}"
        f'<div class="pair">{pair}</div><details><summary>Evidence</summary>'
        f"<pre>{escape(json.dumps(evidence, indent=1, default=str))}</pre></details>"
    )


def _cell(number: int, case: Case | None) -> str:
    """Of a matrix: when the last byte came, green or red, a link to all about it."""
    if case is None or case.skipped:
        return f'<td class="cell out">{"" if case is None else "left out"}</td>'
    text = "error" if case.result is None else show_time(case.result.end)
    kind = "good" if case.passed else "bad"
    return f'<td class="cell {kind}"><a href="#case{number}">{text}</a></td>'


def _matrix(cases: Sequence[Case]) -> str:
    """A row for all variants but those of the last axis, which has the columns."""
    rows: dict[str, dict[str, int]] = {}
    for number, case in enumerate(cases):
        row, _, column = case.case.rpartition("/")
        rows.setdefault(row, {})[column] = number
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    head = "".join(f'<th class="cell">{escape(name)}</th>' for name in columns)
    body = ""
    for row, numbers in rows.items():
        cells = "".join(
            _cell(numbers.get(name, -1), cases[numbers[name]] if name in numbers else None)
            for name in columns
        )
        name = row.replace("_", " ").replace("/", ", ")
        body += f"<tr><td>{escape(name)}</td>{cells}</tr>"
    return f"<table><tr><th>last byte received after</th>{head}</tr>{body}</table>"


def _list(cases: Sequence[Case]) -> str:
    rows = []
    for number, case in enumerate(cases):
        values = case.result.metrics() if case.result is not None else None
        measured = (
            "<td>-</td><td>-</td>"
            if values is None
            else f"<td>{show_time(values['end'])}</td><td>{values['slowdown']:.3f}</td>"
        )
        name = escape(case.name)
        link = name if case.skipped else f'<a href="#case{number}">{name}</a>'
        rows.append(
            f"<tr><td>{link}</td><td>{_verdict(case)}</td>{measured}<td>{case.seconds:.1f} s</td>"
            "</tr>"
        )
    return (
        "<table><tr><th>scenario</th><th></th><th>last byte</th><th>slowdown</th><th>took</th></tr>"
        f"{''.join(rows)}</table>"
    )


def write(cases: Sequence[Case], path: Path, title: str) -> None:
    """A table of all scenarios, then a section for each."""
    tried = [case for case in cases if not case.skipped]
    good = sum(case.passed for case in tried)
    left = f" {len(cases) - len(tried)} left out." if len(tried) < len(cases) else ""
    whole_matrix = len({c.file for c in cases}) == 1 and all("/" in case.case for case in cases)
    table = _matrix(cases) if whole_matrix else _list(cases)
    unfold = len(tried) <= UNFOLDED
    path.write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>"
        f"<p>{good} of {len(tried)} scenarios passed.{left}</p>{table}"
        f"{''.join(_section(number, case, unfold) for number, case in enumerate(cases))}</html>",
        encoding="utf-8",
    )
