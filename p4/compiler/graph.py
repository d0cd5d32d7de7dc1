"""Graphs of parsers and controls: what can follow what, for people to look at.

Input: IR. Output: `Graph`s (parser states and transitions; tables, conditions and sub-controls in
order of execution), which `svg.py` draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from weft.p4.compiler import ir
from weft.p4.compiler.ir.text import pattern_text, text
from weft.p4.compiler.ir.walk import blocks

#: Longer labels are cut: the graph shows structure, the program shows text.
_LABEL = 34


@dataclass(slots=True)
class Node:
    name: str
    label: str
    shape: str  # box, round, diamond, final
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Graph:
    """Edges are (source, target, label) by node name."""

    title: str
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, name: str, label: str, shape: str, notes: list[str] | None = None) -> str:
        self.nodes.setdefault(name, Node(name, label, shape, notes or []))
        return name

    def connect(self, source: str, target: str, label: str = "") -> None:
        """Add an edge; labels of parallel edges are joined."""
        for index, (a, b, known) in enumerate(self.edges):
            if (a, b) == (source, target):
                if label and label not in known.split(" | "):
                    joined = f"{known} | {label}" if known else label
                    self.edges[index] = (a, b, _cut(joined))
                return
        self.edges.append((source, target, _cut(label)))


def graphs(program: ir.Program) -> list[Graph]:
    """One graph per parser and control instance that has something to show."""
    found: list[Graph] = []
    for block in blocks(program):
        graph = _parser(block) if isinstance(block, ir.Parser) else _ControlGraph(block).graph
        if len(graph.nodes) > 2:
            found.append(graph)
    return found


def _cut(text: str) -> str:
    return text if len(text) <= _LABEL else text[: _LABEL - 1] + "\u2026"


# ----------------------------------------------------------------------------------- parsers


def _parser(parser: ir.Parser) -> Graph:
    graph = Graph(f"parser {parser.control_plane_name}")
    for state in parser.states.values():
        notes = [text(s.header) for s in state.body if isinstance(s, ir.Extract)]
        graph.add(state.name, state.name, "round", notes)
    for state in parser.states.values():
        match state.transition:
            case ir.Goto(target=target):
                _go(graph, state.name, target, "")
            case ir.Select(cases=cases):
                for case in cases:
                    label = ", ".join(map(pattern_text, case.patterns))
                    _go(graph, state.name, case.target, label)
                if not cases or any(not isinstance(p, ir.Any) for p in cases[-1].patterns):
                    _go(graph, state.name, ir.REJECT, "no match")
    return graph


def _go(graph: Graph, source: str, target: str, label: str) -> None:
    if target in (ir.ACCEPT, ir.REJECT):
        graph.add(target, target, "final")
    graph.connect(source, target, label)


# ---------------------------------------------------------------------------------- controls


class _ControlGraph:
    """Follows the body; `ends` are the (node, edge label) pairs that the next node hangs on."""

    def __init__(self, control: ir.Control) -> None:
        self.graph = Graph(f"control {control.control_plane_name}")
        self._count = 0
        start = self.graph.add("start", control.type_name, "final")
        ends = self._block(control.body, [(start, "")])
        end = self.graph.add("end", "end", "final")
        for node, label in ends:
            self.graph.connect(node, end, label)

    def _node(self, label: str, shape: str, ends: Ends, notes: list[str] | None = None) -> str:
        self._count += 1
        name = self.graph.add(f"n{self._count}", _cut(label), shape, notes)
        for node, edge in ends:
            self.graph.connect(node, name, edge)
        return name

    def _block(self, block: ir.Block, ends: Ends) -> Ends:
        for statement in block:
            ends = self._statement(statement, ends)
        return ends

    def _statement(self, s: ir.Statement, ends: Ends) -> Ends:
        match s:
            case ir.ApplyTable(table=table):
                notes = [a.action.name for a in table.actions]
                return [(self._node(table.name, "box", ends, notes), "")]
            case ir.Call(callee=ir.Control() as control):
                return [(self._node(control.control_plane_name, "round", ends), "")]
            case ir.If(condition=condition, then=then, otherwise=otherwise):
                if not (_shows(then) or _shows(otherwise)):
                    return ends
                node = self._node(text(condition), "diamond", ends)
                return [
                    *self._block(then, [(node, "true")]),
                    *self._block(otherwise, [(node, "false")]),
                ]
            case ir.Switch(subject=subject, cases=cases):
                if not any(_shows(c.body) for c in cases):
                    return ends
                node = self._node(text(subject), "diamond", ends)
                after: Ends = []
                for case in cases:
                    label = ", ".join(str(c.value) for c in case.labels) or "default"
                    after += self._block(case.body, [(node, label)])
                if all(c.labels for c in cases):
                    after.append((node, "else"))
                return after
            case ir.Loop(body=body, head=head, step=step):
                if not _shows((*head, *body, *step)):
                    return ends
                node = self._node("loop", "diamond", ends)
                for end, label in self._block((*head, *body, *step), [(node, "again")]):
                    self.graph.connect(end, node, label)
                return [(node, "done")]
            case ir.Exit() | ir.Return():
                stop = self.graph.add("end", "end", "final")
                for node, label in ends:
                    self.graph.connect(node, stop, label)
                return []
        return ends


Ends = list[tuple[str, str]]


def _shows(block: ir.Block) -> bool:
    """Does a block hold anything that the graph draws?"""
    for s in block:
        match s:
            case ir.ApplyTable() | ir.Exit() | ir.Return() | ir.Call(callee=ir.Control()):
                return True
            case ir.If(then=then, otherwise=otherwise) if _shows(then) or _shows(otherwise):
                return True
            case ir.Switch(cases=cases) if any(_shows(c.body) for c in cases):
                return True
            case ir.Loop(body=body) if _shows(body):
                return True
    return False
