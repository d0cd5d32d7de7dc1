"""One packet's way through a program, and what a set of packets covered of it.

Needs a switch built with `trace=True`. The runtime reports numbers (runtime/program.h, WF_EVENT_*);
here they get the program's names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from weft.p4.compiler import ir
from weft.p4.switch.switch import Switch

_BLOCK, _STATE, _TABLE, _MISS, _ACTION, _ASSIGN, _EXTRACT, _SEND, _DROP = range(9)
BLOCKS = ("parser", "verify checksum", "ingress", "egress", "update checksum", "deparser")


@dataclass(frozen=True)
class Step:
    """One thing that happened; `block` starts a new block of the pipeline."""

    kind: str  # block, state, hit, miss, action, assign, extract, send, drop
    text: str
    line: int = 0  # in the source, 0 when it has none


def steps_of(switch: Switch) -> list[Step]:
    """What the switch's last packet went through, in order."""
    return [_step(switch, *event) for event in switch.events()]


def _step(switch: Switch, kind: int, subject: int, value: int) -> Step:
    names = switch.names
    if kind == _BLOCK:
        extra = f" (port {value})" if BLOCKS[subject] == "egress" else ""
        return Step("block", BLOCKS[subject] + extra)
    if kind == _STATE:
        parser, state = names.states[subject]
        where = f"{parser.control_plane_name}.{state.name} at byte {value}"
        return Step("state", where, state.location.line)
    if kind in (_TABLE, _MISS):
        table = names.tables[subject]
        name, line = table.control_plane_name, table.location.line
        if kind == _MISS:
            return Step("miss", name, line)
        return Step("hit", f"{name}: {_entry(switch, name, value)}", line)
    if kind == _ACTION:
        action = names.tables[subject].actions[value].action
        return Step("action", action.control_plane_name, action.location.line)
    if kind in (_ASSIGN, _EXTRACT):
        site = names.sites[subject]
        if kind == _ASSIGN:
            return Step("assign", f"{site.text} = {value:#x}", site.location.line)
        return Step("extract", f"{site.text} ({value} bytes)", site.location.line)
    if kind == _SEND:
        return Step("send", f"port {subject}, {value} bytes")
    return Step("drop", "")


def _entry(switch: Switch, table: str, address: int) -> str:
    for entry in switch.tables[table].entries():
        if int(switch.ffi.cast("uintptr_t", entry.pointer)) == address:
            return f"entry {entry.handle}"
    return "an entry since removed"


def render(steps: Sequence[Step]) -> str:
    """The steps as text, blocks at the margin."""
    lines = []
    for step in steps:
        if step.kind == "block":
            lines.append(step.text)
            continue
        place = f"  [line {step.line}]" if step.line else ""
        lines.append(f"  {step.kind:<8}{step.text}{place}".rstrip())
    return "\n".join(lines)


@dataclass
class Coverage:
    """How often packets met each state, and each action of each table; `add` after each packet."""

    switch: Switch
    states: Counter[int] = field(default_factory=Counter)
    hits: Counter[int] = field(default_factory=Counter)
    misses: Counter[int] = field(default_factory=Counter)
    actions: Counter[tuple[int, int]] = field(default_factory=Counter)

    def add(self) -> None:
        """Counts what the switch's last packet met."""
        for kind, subject, value in self.switch.events():
            if kind == _STATE:
                self.states[subject] += 1
            elif kind == _TABLE:
                self.hits[subject] += 1
            elif kind == _MISS:
                self.misses[subject] += 1
            elif kind == _ACTION:
                self.actions[subject, value] += 1

    def items(self) -> list[tuple[str, int]]:
        """Everything that can be met, by name, with how often it was."""
        names = self.switch.names
        found: list[tuple[str, int]] = []
        for i, (parser, state) in enumerate(names.states):
            found.append((f"state {parser.control_plane_name}.{state.name}", self.states[i]))
        for i, table in enumerate(names.tables):
            name = table.control_plane_name
            if table.keys:
                found.append((f"table {name} hit", self.hits[i]))
            found.append((f"table {name} miss", self.misses[i]))
            for j, item in enumerate(table.actions):
                if _can_run(table, item):
                    found.append(
                        (f"action {item.action.control_plane_name} in {name}", self.actions[i, j])
                    )
        return found

    def share(self) -> float:
        """The part of the items that was met, 0..1."""
        counts = [count for _, count in self.items()]
        return sum(count > 0 for count in counts) / len(counts) if counts else 1.0


def _can_run(table: ir.Table, item: ir.TableAction) -> bool:
    """An action that is only for the default and is not the default can never run."""
    fixed = table.default_is_const or not table.keys
    return not (item.default_only and fixed and item.action is not table.default_action.action)
