"""A fabric as SVG: tiers from hosts upwards, links coloured by load, failures in red."""

from __future__ import annotations

from html import escape

import numpy as np

from weft.emulation.simulation import Result
from weft.emulation.units import show_time

WIDTH, ROW, MARGIN = 960, 110, 40
COLD, HOT = (205, 212, 222), (214, 69, 29)
"""Colours of an idle and of a full link."""


def topology(result: Result) -> str:
    """Every link has a tooltip with its load both ways; what an event concerned is dashed."""
    fabric = result.scenario.topology
    rows: dict[int, list[int]] = {}
    for node in range(fabric.hosts + len(fabric.switches)):
        tier = 0 if node < fabric.hosts else fabric.tiers[node - fabric.hosts] + 1
        rows.setdefault(tier, []).append(node)
    top = max(rows)
    place = {}
    for tier, nodes in rows.items():
        for index, node in enumerate(nodes):
            x = MARGIN + (WIDTH - 2 * MARGIN) * (index + 0.5) / len(nodes)
            place[node] = (x, MARGIN + (top - tier) * ROW)
    hurt = {link for event in result.scenario.events if event.link
            for link in fabric.links_between(*event.link)}  # fmt: skip
    down = {fabric.node(event.switch) for event in result.scenario.events if event.switch}
    parts = []
    for link, (a, b) in enumerate(fabric.ends):
        there, back = result.link_load[2 * link], result.link_load[2 * link + 1]
        load = float(np.clip(max(there, back), 0, 1))
        colour = "#" + "".join(
            f"{round(c + (h - c) * load):02x}" for c, h in zip(COLD, HOT, strict=True)
        )
        (x1, y1), (x2, y2) = place[a], place[b]
        dashes = ' stroke-dasharray="6 4"' if link in hurt or a in down or b in down else ""
        parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{1.5 + 3 * load:.1f}"{dashes}><title>{escape(fabric.link_name(link))}: '
            f"{100 * there:.0f} % there, {100 * back:.0f} % back</title></line>"
        )
    many = len(place) > 120
    for node, (x, y) in place.items():
        host = node < fabric.hosts
        fill = "#b00" if node in down else "#fff" if host else "#2b4a6f"
        shape = (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{4 if many else 7}" fill="{fill}" '
            'stroke="#2b4a6f"/>'
            if host
            else f'<rect x="{x - 14:.1f}" y="{y - 8:.1f}" width="28" height="16" rx="3" '
            f'fill="{fill}"/>'
        )
        label = "" if many else (
            f'<text x="{x:.1f}" y="{y + (22 if host else -13):.1f}" text-anchor="middle" '
            f'font-size="11">{escape(fabric.node_name(node))}</text>'
        )  # fmt: skip
        parts.append(shape + label)
    height = 2 * MARGIN + top * ROW
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="fabric" '
        f'font-family="sans-serif">{"".join(parts)}</svg>'
    )


def timeline(result: Result) -> str:
    """When messages were under way, from the first to the last, and when events happened."""
    end = max(result.end, *(e.at + (e.lasts or 0) for e in result.scenario.events), 1e-9)
    left, right, height = 150, WIDTH - 20, 26

    def x(at: float) -> float:
        return left + (right - left) * min(max(at, 0), end) / end

    bars = []
    work = result.scenario.workload
    for index, name in enumerate(work.names):
        mine = np.asarray(work.group) == index
        starts, ends = result.started[mine], result.received[mine]
        if len(starts) and not np.isnan(starts).all():
            last = float(np.nanmax(ends)) if not np.isnan(ends).all() else end
            bars.append((name, float(np.nanmin(starts)), last, "#2b6cb0"))
    for event in result.scenario.events:
        until = end if event.lasts is None else event.at + event.lasts
        bars.append((f"{event.target()} {event.action}", event.at, until, "#b00"))
    rows = []
    for row, (name, begin, until, colour) in enumerate(bars):
        y = 8 + row * height
        rows.append(
            f'<text x="{left - 8}" y="{y + 12}" text-anchor="end" font-size="12">'
            f'{escape(name[:22])}</text><rect x="{x(begin):.1f}" y="{y}" '
            f'width="{max(x(until) - x(begin), 2):.1f}" height="16" fill="{colour}">'
            f"<title>{escape(name)}: {show_time(begin)} to {show_time(until)}</title></rect>"
        )
    bottom = 8 + len(bars) * height
    axis = "".join(
        f'<line x1="{x(end * k / 4):.1f}" y1="4" x2="{x(end * k / 4):.1f}" y2="{bottom}" '
        f'stroke="#ddd"/><text x="{x(end * k / 4):.1f}" y="{bottom + 14}" font-size="11" '
        f'text-anchor="middle">{show_time(end * k / 4)}</text>'
        for k in range(5)
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {bottom + 24}" role="img" aria-label="time line" '
        f'font-family="sans-serif">{axis}{"".join(rows)}</svg>'
    )
