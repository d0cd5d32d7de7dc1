"""Results as nccl-tests' columns, as its JSON, and as a section of benchmarks/RESULTS.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import weft
from weft.bench.sweep import Plan, Results

Figures = tuple[str, list[str], list[list[str]]]
"""A table: title, columns, cells."""

# Who is compared with whom: through torch, and through C with the better MPI.
PEERS = {"weft-torch": ("gloo",), "weft-c": ("openmpi", "mpich")}


def record(
    plan: Plan, results: Results, command: Sequence[str], machine: Mapping[str, str]
) -> dict[str, Any]:
    """One object with nccl-tests' keys; library, collective and ranks are ours."""
    rows = []
    for row in results.rows.values():
        measured = {key: row[key] for key in ("time", "alg_bw", "bus_bw", "nwrong")}
        rows.append(
            {
                **{k: row[k] for k in ("library", "collective", "ranks", "size", "count", "type")},
                "redop": row["redop"],
                "root": 0 if row["collective"] == "broadcast" else -1,
                "out_of_place": {**measured, "cpu_s_per_gb": row["cpu_s_per_gb"]},
                "rounds": row["rounds"],
            }
        )
    return {
        "version": weft.__version__,
        "args": list(command),
        "config": {"rounds": plan.rounds, "milliseconds": plan.milliseconds},
        "devices": dict(machine),
        "results": rows,
        "plain_copy_us": [
            {"ranks": ranks, "size": size, "time": time}
            for (ranks, size), time in results.copies.items()
        ],
        "idle_core_share": results.idle,
        "skipped": results.skipped,
        "failures": results.failures,
    }


def ratios(results: Results, collective: str, ranks: int, size: int) -> dict[str, float]:
    """How many times as long as Weft its peer takes: "gloo / weft-torch", "best MPI / weft-c"."""
    found = {}
    for ours, peers in PEERS.items():
        mine = results.time(collective, ranks, ours, size)
        times = [results.time(collective, ranks, peer, size) for peer in peers]
        theirs = [time for time in times if time is not None]
        if mine is not None and theirs:
            name = peers[0] if len(peers) == 1 else "best MPI"
            found[f"{name} / {ours}"] = min(theirs) / mine
    return found


def comparisons(plan: Plan, results: Results) -> list[Figures]:
    """Per collective and ranks: a title, the columns, the rows: times in us, ratios, and beside
    all_to_all what every rank's plain copy of as many bytes takes, below which nobody can come."""
    tables = []
    for collective in plan.collectives:
        for ranks in plan.ranks:
            keys = [key for key in results.rows if key[:2] == (collective, ranks)]
            names = [name for name in plan.libraries if any(key[2] == name for key in keys)]
            sizes = sorted({key[3] for key in keys})
            named = [name for size in sizes for name in ratios(results, collective, ranks, size)]
            against = list(dict.fromkeys(named))
            rows = []
            for size in sizes:
                times = [results.time(collective, ranks, name, size) for name in names]
                ratio = ratios(results, collective, ranks, size)
                cells = ["-" if time is None else f"{time:.1f}" for time in times]
                cells += [f"{ratio[name]:.2f}" if name in ratio else "-" for name in against]
                if collective == "all_to_all":
                    copied = results.copies.get((ranks, size))
                    cells.append("-" if copied is None else f"{copied:.1f}")
                rows.append([show_size(size), *cells])
            columns = ["size", *(f"{name}, us" for name in names), *against]
            if collective == "all_to_all":
                columns.append("plain copy, us")
            if rows:
                tables.append((f"{collective}, {ranks} ranks", columns, rows))
    return tables


def show(plan: Plan, results: Results, console: Console) -> None:
    """nccl-tests' table per library, then the comparison, then what is missing."""
    for collective in plan.collectives:
        for ranks in plan.ranks:
            for name in plan.libraries:
                lines = [
                    row for key, row in results.rows.items() if key[:3] == (collective, ranks, name)
                ]
                if lines:
                    console.print(_nccl_table(f"{collective}, {ranks} ranks, {name}", lines))
    for title, columns, rows in comparisons(plan, results):
        console.print(table(f"{title}: medians of {plan.rounds} rounds", columns, rows))
    for line in remarks(results):
        console.print(line, highlight=False)


def _nccl_table(title: str, lines: list[dict[str, Any]]) -> Table:
    columns = ["size(B)", "count", "type", "redop", "time(us)", "algbw(GB/s)", "busbw(GB/s)"]
    rows = [
        [
            *(str(row[key]) for key in ("size", "count", "type", "redop")),
            *(f"{row[key]:.2f}" for key in ("time", "alg_bw", "bus_bw")),
            str(row["nwrong"]),
        ]
        for row in lines
    ]
    return table(title, [*columns, "#wrong"], rows)


def table(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    made = Table(title=title, title_justify="left")
    for column in columns:
        made.add_column(column, justify="right")
    for row in rows:
        made.add_row(*row)
    return made


def network_tables(
    rows: list[dict[str, Any]], streams: Mapping[str, Mapping[str, float]]
) -> list[Figures]:
    """Of `weft bench udp`: all_reduce by size, and the two streams."""
    by = {(row["library"], row["size"]): row for row in rows}
    names = list(dict.fromkeys(row["library"] for row in rows))
    lines = []
    for size in sorted({row["size"] for row in rows}):
        found = [by[name, size] for name in names]
        gloo = by["gloo", size]["time"]
        cells = [f"{row['time']:.1f}" for row in found]
        cells += [f"{gloo / by[name, size]['time']:.2f}" for name in names if name != "gloo"]
        cells += [f"{row['cpu_s_per_gb']:.2f}" for row in found]
        lines.append([show_size(size), *cells])
    columns = ["size", *(f"{name}, us" for name in names)]
    columns += [f"gloo / {name}" for name in names if name != "gloo"]
    columns += [f"{name}, CPU s/GB" for name in names]
    speeds = [
        [name, f"{values['gb_per_s']:.2f}", f"{values['cpu_s_per_gb']:.2f}"]
        for name, values in streams.items()
    ]
    ratio = streams["weft"]["gb_per_s"] / streams["tcp"]["gb_per_s"]
    title = f"one stream: weft {ratio:.2f} times TCP"
    return [
        ("all_reduce, 2 ranks", columns, lines),
        (title, ["stream", "GB/s", "CPU s/GB, both ends"], speeds),
    ]


def remarks(results: Results) -> list[str]:
    """Idle cost, skipped libraries, failures, wrong elements: one line each."""
    lines = [f"idle: {name} takes {share:.2%} of a core" for name, share in results.idle.items()]
    lines += [f"skipped: {name}: {why}" for name, why in results.skipped.items()]
    lines += [f"failed: {failure}" for failure in results.failures]
    if results.wrong:
        lines.append(f"WRONG RESULTS: {results.wrong} elements")
    return lines


def show_size(size: int) -> str:
    """A size in bytes the short way: "8 B", "64 KiB"."""
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def markdown(
    title: str,
    command: str,
    machine: Mapping[str, str],
    tables: Sequence[Figures],
    notes: Sequence[str],
) -> str:
    """A section for RESULTS.md, conditions first."""
    lines = [f"Made by `{command}`.", ""]
    lines += [f"- {key}: {text}" for key, text in machine.items()] + [""]
    for name, columns, rows in tables:
        lines += [f"### {name}", "", "| " + " | ".join(columns) + " |"]
        lines += ["|" + "---:|" * len(columns)]
        lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]
    lines += [f"- {note}" for note in notes] + [""]
    return f"## {title}\n\n" + "\n".join(lines).rstrip() + "\n"


def write_section(path: Path, title: str, section: str) -> None:
    """Put a section in the place of the one with the same title, or at the end."""
    text = path.read_text(encoding="utf-8") if path.exists() else _HEAD
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if pattern.search(text):
        text = pattern.sub(lambda _: section + "\n", text)
    else:
        text = text.rstrip() + "\n\n" + section
    path.write_text(text.rstrip() + "\n", encoding="utf-8")


_HEAD = """# Results

Each section is the last run of the command that it names: Weft and its peers in one run, in turn,
medians over rounds. A ratio above 1 means that Weft is faster. Read them with the machine's
description: a busy machine spreads them.
"""
