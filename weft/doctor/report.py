"""The doctor's findings as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

import weft
from weft.doctor.finding import Finding, Level

MARKS = {Level.OK: ("✓", "green"), Level.ABSENT: ("-", "yellow"), Level.FAILED: ("✗", "bold red")}


def as_json(findings: Sequence[Finding]) -> str:
    """One JSON object: the version of Weft, and the findings in order."""
    listed = [
        {
            "topic": finding.topic,
            "name": finding.name,
            "level": finding.level.value,
            "detail": finding.detail,
            "mend": finding.mend,
            "values": dict(finding.values),
        }
        for finding in findings
    ]
    return json.dumps({"weft": weft.__version__, "findings": listed}, indent=2)


def show(findings: Sequence[Finding], console: Console) -> None:
    """Print each finding under its topic, with the mend where there is one, then a summary."""
    table = Table.grid(padding=(0, 1))
    topic = ""
    for finding in findings:
        if finding.topic != topic:
            topic = finding.topic
            table.add_row(Text(topic, style="bold"))
        mark, style = MARKS[finding.level]
        said = Text(finding.detail)
        if finding.mend:
            said.append(f"\n{finding.mend}", style="dim")
        table.add_row(Text(f"  {mark} {finding.name}", style=style), said)
    console.print(table)
    counts = {level: sum(f.level is level for f in findings) for level in Level}
    console.print(
        f"\n{counts[Level.OK]} in order, {counts[Level.ABSENT]} absent (a feature is off or slower)"
        f", {counts[Level.FAILED]} failed"
    )
