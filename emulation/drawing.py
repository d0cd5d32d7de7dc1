"""Results as SVG, which a page holds without script and at every size: the fabric (tiers from hosts
upwards, links coloured by load, what failed dashed), a time line with the faults on it, the
distribution of completion times, and which share of its bytes every switch sent up which way.
"""

from __future__ import annotations

from html import escape

import numpy as np

from weft.emulation.simulation import Result
from weft.emulation.units import show_time

WIDTH, ROW, MARGIN = 960, 110, 40
COLD, HOT = (205, 212, 222), (214, 69, 29)
"""Colours of an idle and of a full link."""
BLUE, RED, INK = "#2b6cb0", "#b00020", "#2b4a6f"
SHARES = ("#2b4a6f", "#3f7cac", "#74a9cf", "#a8c9e0", "#c9a66b", "#d98e4a", "#b6562c", "#7d3c1e")
MANY = 120
"""Nodes from which on names would hide the drawing."""
DRAWN_LINKS = 4000
"""More are no drawing any more."""


def _svg(height: float, label: str, body: str, width: int = WIDTH) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{escape(label)}" '
        f'font-family="system-ui, sans-serif" fill="#222">{body}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(text)}</text>"
    )


def _colour(load: float) -> str:
    mixed = (round(c + (h - c) * load) for c, h in zip(COLD, HOT, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def topology(result: Result) -> str:
    """Every link has a tooltip with its load both ways; what an event concerned is dashed. Empty
    for a fabric that is too large to be drawn."""
    fabric = result.scenario.topology
    if len(fabric.ends) > DRAWN_LINKS:
        return ""
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
        (x1, y1), (x2, y2), colour = place[a], place[b], _colour(load)
        dashes = ' stroke-dasharray="6 4"' if link in hurt or a in down or b in down else ""
        parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{1.5 + 3 * load:.1f}"{dashes}><title>{escape(fabric.link_name(link))}: '
            f"{100 * there:.0f} % there, {100 * back:.0f} % back</title></line>"
        )
    many = len(place) > MANY
    for node, (x, y) in place.items():
        host = node < fabric.hosts
        fill = RED if node in down else "#fff" if host else INK
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
    return _svg(height + 20, "fabric", "".join(parts) + _legend(height + 8, bool(hurt or down)))


def _legend(y: float, faults: bool) -> str:
    steps = "".join(
        f'<rect x="{MARGIN + 70 + 12 * k}" y="{y - 9}" width="12" height="9" '
        f'fill="{_colour(k / 9)}"/>'
        for k in range(10)
    )
    left = MARGIN + 70 + 120
    body = _text(MARGIN, y, "link load 0", size=11) + steps + _text(left + 4, y, "100 %", size=11)
    if faults:
        body += (
            f'<line x1="{left + 70}" y1="{y - 4}" x2="{left + 100}" y2="{y - 4}" stroke="#888" '
            'stroke-width="2" stroke-dasharray="6 4"/>'
        )
        body += _text(left + 106, y, "a fault concerned it", size=11)
    return body


def _ticks(end: float, left: float, right: float, bottom: float) -> str:
    """Four times, each with its line; `end` in seconds."""
    marks = []
    for k in range(5):
        x = left + (right - left) * k / 4
        anchor = "start" if k == 0 else "end" if k == 4 else "middle"
        marks.append(
            f'<line x1="{x:.1f}" y1="4" x2="{x:.1f}" y2="{bottom:.1f}" stroke="#ddd"/>'
            + _text(x, bottom + 14, "0" if k == 0 else show_time(end * k / 4), anchor, 11)
        )
    return "".join(marks)


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
            bars.append((name, float(np.nanmin(starts)), last, BLUE))
    for event in result.scenario.events:
        until = end if event.lasts is None else event.at + event.lasts
        bars.append((f"{event.target()} {event.action}", event.at, until, RED))
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
    hurt = "".join(
        f'<line x1="{x(event.at):.1f}" y1="4" x2="{x(event.at):.1f}" y2="{bottom}" '
        f'stroke="{RED}" stroke-dasharray="3 3"/>'
        for event in result.scenario.events
    )
    return _svg(bottom + 24, "time line", _ticks(end, left, right, bottom) + "".join(rows) + hurt)


def completions(result: Result, width: int = 470) -> str:
    """Share of messages done within a time; the bound below which none can end is dashed."""
    durations = np.sort(result.durations)
    left, right, top, bottom = 44, width - 12, 8, 170
    end = max(float(durations.max(initial=0.0)), result.ideal_bound, 1e-12) * 1.02

    def x(at: float) -> float:
        return left + (right - left) * at / end

    body = _ticks(end, left, right, bottom)
    for share in (0, 0.5, 1):
        y = bottom - (bottom - top) * share
        body += f'<line x1="{left}" y1="{y}" x2="{right}" y2="{y}" stroke="#ddd"/>'
        body += _text(left - 6, y + 4, f"{100 * share:.0f} %", "end", 11)
    if len(durations):
        at, path = 0.0, f"M{x(float(durations[0])):.1f},{bottom}"
        for index in np.unique(np.linspace(0, len(durations) - 1, 400).astype(int)):
            at = bottom - (bottom - top) * (index + 1) / len(durations)
            path += f"H{x(float(durations[index])):.1f}V{at:.1f}"
        body += f'<path d="{path}" fill="none" stroke="{BLUE}" stroke-width="2"/>'
    ideal = x(result.ideal_bound)
    body += (
        f'<line x1="{ideal:.1f}" y1="{top}" x2="{ideal:.1f}" y2="{bottom}" stroke="#555" '
        'stroke-dasharray="5 4"><title>ideal bound of the whole workload</title></line>'
    )
    near = ideal > (left + right) / 2
    body += _text(ideal + (-5 if near else 5), top + 10, "ideal", "end" if near else "start", 11)
    return _svg(bottom + 22, "completion times of messages", body, width)


def path_shares(result: Result, width: int = 470, most: int = 16) -> str:
    """Of what every switch sent upwards, the share of each way; empty where there is no choice."""
    fabric = result.scenario.topology
    tier = [-1] * fabric.hosts + fabric.tiers
    ways: dict[int, list[tuple[str, float]]] = {}
    for link, ends in enumerate(fabric.ends):
        lower, upper = sorted(ends, key=lambda node: tier[node])
        if lower < fabric.hosts or tier[lower] == tier[upper]:
            continue
        port = 2 * link + (0 if ends[0] == lower else 1)
        way = fabric.node_name(upper)
        ways.setdefault(lower, []).append((way, float(result.port_bytes[port])))
    rows = [(node, up) for node, up in ways.items() if len(up) > 1 and sum(b for _, b in up) > 0]
    if not rows:
        return ""
    left, right, height = 64, width - 12, 24
    body = ""
    for row, (node, up) in enumerate(rows[:most]):
        y, x, total = 6 + row * height, float(left), sum(b for _, b in up)
        body += _text(left - 8, y + 12, fabric.node_name(node), "end")
        for index, (name, carried) in enumerate(up):
            long = (right - left) * carried / total
            shade = SHARES[index % len(SHARES)]
            body += (
                f'<rect x="{x:.1f}" y="{y}" width="{long:.1f}" height="17" fill="{shade}">'
                f"<title>{escape(name)}: {100 * carried / total:.1f} %</title></rect>"
            )
            if long > 44:
                label = f"{name} {100 * carried / total:.0f} %" if long > 84 else name
                body += f'<g fill="#fff">{_text(x + long / 2, y + 12, label, "middle", 10)}</g>'
            x += long
    bottom = 6 + min(len(rows), most) * height
    more = f" (first {most} of {len(rows)} switches)" if len(rows) > most else ""
    if more:
        body += _text(left, bottom + 10, more.strip(), size=11)
    return _svg(bottom + (16 if more else 2), "share of each way up", body, width)
