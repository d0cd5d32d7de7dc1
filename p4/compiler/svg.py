"""Draws graphs as one self-contained SVG: layers from top to bottom, edges as curves.

The usual four steps (Sugiyama, Tagawa, Toda 1981): back edges found by depth-first search, layers
by longest path, order inside a layer by barycentres, then coordinates. No other program is needed.
"""

from __future__ import annotations

from html import escape

from weft.p4.compiler.graph import Graph, Node

_CHAR, _LINE, _GAP_X, _GAP_Y, _MARGIN = 7.2, 16, 36, 62, 24
_SWEEPS = 6

_STYLE = """
text { font: 12px ui-monospace, Menlo, Consolas, monospace; fill: #1d2733; text-anchor: middle; }
.title { font-weight: bold; font-size: 14px; text-anchor: start; }
.note { fill: #6a7684; font-size: 11px; }
.edge { fill: none; stroke: #7b8794; stroke-width: 1.2; marker-end: url(#tip); }
.back { stroke-dasharray: 4 3; }
.label { font-size: 10px; fill: #52606d; paint-order: stroke; stroke: #fff; stroke-width: 3px; }
.box { fill: #e3f0ff; stroke: #3f7cc4; } .round { fill: #e9f7ec; stroke: #4a9a5d; }
.diamond { fill: #fff6dd; stroke: #c79a2b; } .final { fill: #eceff3; stroke: #7b8794; }
"""


def render(graphs: list[Graph]) -> str:
    """All graphs, one under the other, as an SVG document."""
    parts: list[str] = []
    top, width = 0.0, 320.0
    for graph in graphs:
        layout = _Layout(graph)
        body = layout.draw()
        title = f'<text class="title" x="{_MARGIN}" y="22">{escape(graph.title)}</text>'
        parts.append(f'<g transform="translate(0 {top:.0f})">{title}{body}</g>')
        top += layout.height + 30
        width = max(width, layout.width)
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#7b8794"/></marker>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{max(top, 60):.0f}">'
        f"<style>{_STYLE}</style><defs>{tip}</defs>"
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


class _Layout:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._back = self._back_edges()
        self._layers = self._order(self._layer())
        self._place()

    # ------------------------------------------------------------------------------ layers

    def _back_edges(self) -> set[tuple[str, str]]:
        """Edges that close a cycle, by an iterative depth-first search from the first node."""
        following: dict[str, list[str]] = {n: [] for n in self._graph.nodes}
        for source, target, _ in self._graph.edges:
            following[source].append(target)
        back: set[tuple[str, str]] = set()
        done: set[str] = set()
        for root in self._graph.nodes:
            if root in done:
                continue
            path, stack = {root}, [(root, iter(following[root]))]
            while stack:
                node, targets = stack[-1]
                target = next(targets, "")
                if not target:
                    stack.pop()
                    path.discard(node)
                    done.add(node)
                elif target in path:
                    back.add((node, target))
                elif target not in done:
                    path.add(target)
                    stack.append((target, iter(following[target])))
        return back

    def _forward(self) -> list[tuple[str, str]]:
        return [(a, b) for a, b, _ in self._graph.edges if (a, b) not in self._back]

    def _layer(self) -> dict[str, int]:
        """Longest path from a source; converges because forward edges have no cycle."""
        depth = dict.fromkeys(self._graph.nodes, 0)
        edges = self._forward()
        changed = True
        while changed:
            changed = False
            for a, b in edges:
                if depth[b] < depth[a] + 1:
                    depth[b] = depth[a] + 1
                    changed = True
        return depth

    def _order(self, depth: dict[str, int]) -> list[list[str]]:
        layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
        for name, layer in depth.items():
            layers[layer].append(name)
        edges = self._forward()
        for sweep in range(_SWEEPS):
            near: dict[str, list[str]] = {n: [] for n in depth}
            for a, b in edges:
                above, below = (a, b) if sweep % 2 == 0 else (b, a)
                near[below].append(above)
            position = {n: i for row in layers for i, n in enumerate(row)}
            for index, row in enumerate(layers):
                centre = {n: _mean([position[m] for m in near[n]], position[n]) for n in row}
                layers[index] = sorted(row, key=centre.__getitem__)
                position.update((n, i) for i, n in enumerate(layers[index]))
        return layers

    # ------------------------------------------------------------------------- coordinates

    @staticmethod
    def _size(node: Node) -> tuple[float, float]:
        length = max([len(node.label), *(len(n) for n in node.notes[:6])], default=4)
        pad = 44 if node.shape == "diamond" else 22
        return length * _CHAR + pad, 30 + _LINE * len(node.notes[:6])

    def _place(self) -> None:
        sizes = {n: self._size(node) for n, node in self._graph.nodes.items()}
        widths = [sum(sizes[n][0] for n in la) + _GAP_X * (len(la) - 1) for la in self._layers]
        self.width = max(widths, default=0) + 2 * _MARGIN + 60
        self._boxes: dict[str, tuple[float, float, float, float]] = {}
        y = 40.0
        for layer, width in zip(self._layers, widths, strict=True):
            x = (self.width - width) / 2
            tallest = max((sizes[n][1] for n in layer), default=0.0)
            for name in layer:
                w, h = sizes[name]
                self._boxes[name] = (x, y + (tallest - h) / 2, w, h)
                x += w + _GAP_X
            y += tallest + _GAP_Y
        self.height = y

    # ----------------------------------------------------------------------------- drawing

    def draw(self) -> str:
        edges = "".join(self._edge(a, b, label) for a, b, label in self._graph.edges)
        return edges + "".join(self._node(n) for n in self._graph.nodes.values())

    def _node(self, node: Node) -> str:
        x, y, w, h = self._boxes[node.name]
        if node.shape == "diamond":
            points = f"{x},{y + h / 2} {x + w / 2},{y} {x + w},{y + h / 2} {x + w / 2},{y + h}"
            shape = f'<polygon class="diamond" points="{points}"/>'
        else:
            radius = {"round": 12, "final": h / 2}.get(node.shape, 2)
            shape = (
                f'<rect class="{node.shape}" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" '
                f'height="{h:.1f}" rx="{radius}"/>'
            )
        lines = [f'<text x="{x + w / 2:.1f}" y="{y + 19:.1f}">{escape(node.label)}</text>']
        for i, note in enumerate(node.notes[:6]):
            text = note if i < 5 or len(node.notes) <= 6 else "\u2026"
            at = y + 19 + _LINE * (i + 1)
            lines.append(
                f'<text class="note" x="{x + w / 2:.1f}" y="{at:.1f}">{escape(text)}</text>'
            )
        return shape + "".join(lines)

    def _edge(self, source: str, target: str, label: str) -> str:
        x1, y1, w1, h1 = self._boxes[source]
        x2, y2, w2, h2 = self._boxes[target]
        if (source, target) in self._back:
            a, b = x1 + w1, y1 + h1 / 2
            c, d = x2 + w2, y2 + h2 / 2
            bend = max(a, c) + 34
            path = f"M{a:.1f} {b:.1f} C{bend:.1f} {b:.1f} {bend:.1f} {d:.1f} {c:.1f} {d:.1f}"
            kind, middle = "edge back", (bend - 8, (b + d) / 2)
        else:
            a, b = x1 + w1 / 2, y1 + h1
            c, d = x2 + w2 / 2, y2
            half = (b + d) / 2
            path = f"M{a:.1f} {b:.1f} C{a:.1f} {half:.1f} {c:.1f} {half:.1f} {c:.1f} {d:.1f}"
            kind, middle = "edge", ((a + c) / 2, half)
        text = ""
        if label:
            text = (
                f'<text class="label" x="{middle[0]:.1f}" y="{middle[1]:.1f}">'
                f"{escape(label)}</text>"
            )
        return f'<path class="{kind}" d="{path}"/>{text}'


def _mean(values: list[int], fallback: int) -> float:
    return sum(values) / len(values) if values else float(fallback)
