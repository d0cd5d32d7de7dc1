"""The switch as its control plane sees it: entries, copies, cells, a counter, wherever it runs.

`CommandChip` speaks simple_switch_CLI's commands, to a switch in this process or of a lab, or to
bmv2's own command line; `RuntimeChip` P4Runtime, to a switch elsewhere.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from weft.p4.compiler.frontend import one_text

if TYPE_CHECKING:
    from weft.p4.switch.p4runtime.client import Client

Run = Callable[[Sequence[str]], list[str]]
"""Carries out commands and returns what they print, a line per entry added."""
ROUNDS, REFUSED = "ingress.round.cells", "ingress.refused"
REFUSALS = ("version", "member", "quota", "stale", "damaged")
"""Why the program drops packets: cells of its counter."""


@dataclass(frozen=True, slots=True)
class Row:
    """An entry of a table. A field of the key is a value, or (value, prefix length)."""

    table: str
    key: Sequence[int | tuple[int, int]]
    action: str
    arguments: Sequence[int]


class Chip(Protocol):
    """A switch that runs the aggregation program."""

    def insert(self, rows: Sequence[Row]) -> list[Any]:
        """What `remove` takes."""

    def copy(self, group: int, ports: Mapping[int, int]) -> list[Any]:
        """Packets to a multicast group leave by these ports, by instance. For `remove`, too."""

    def remove(self, entries: Sequence[Any]) -> None: ...

    def clear(self, cells: range) -> None:
        """Rounds to 0: a set begins anew at its first packet."""

    def refused(self) -> list[int]:
        """Packets dropped, in the order of `REFUSALS`."""

    def restarted(self) -> bool:
        """Has it lost all it knew since it was last asked? It is then ready for entries again."""


class CommandChip:
    """By commands. It is told of restarts (`Jobs.restart`); commands do not show them."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def insert(self, rows: Sequence[Row]) -> list[Any]:
        said = self._run(
            [
                f"table_add {r.table} {r.action} {' '.join(map(_field, r.key))} => "
                f"{' '.join(map(str, r.arguments))}"
                for r in rows
            ]
        )
        return [
            f"table_delete {row.table} {_handle(line)}"
            for row, line in zip(rows, said, strict=True)
        ]

    def copy(self, group: int, ports: Mapping[int, int]) -> list[Any]:
        made = self._run([f"mc_node_create {number} {port}" for number, port in ports.items()])
        nodes = [_handle(line) for line in made]
        joined = [f"mc_node_associate {group} {node}" for node in nodes]
        self._run([f"mc_mgrp_create {group}", *joined])
        return [f"mc_mgrp_destroy {group}", *(f"mc_node_destroy {node}" for node in nodes)]

    def remove(self, entries: Sequence[Any]) -> None:
        self._run(entries)

    def clear(self, cells: range) -> None:
        self._run([f"register_write {ROUNDS} {cell} 0" for cell in cells])

    def refused(self) -> list[int]:
        said = self._run([f"counter_read {REFUSED} {i}" for i in range(len(REFUSALS))])
        return [int(line.rsplit(", ", 1)[1].split()[0]) for line in said]

    def restarted(self) -> bool:
        return False


def _field(match: int | tuple[int, int]) -> str:
    return f"{match[0]}/{match[1]}" if isinstance(match, tuple) else str(match)


def _handle(line: str) -> int:
    return int(line.rsplit(" ", 1)[1])


class RuntimeChip:
    """By P4Runtime. Loads the program, and again into a switch that has restarted: that is known by
    the cookie of its pipeline, which no other program's or start's is."""

    def __init__(self, client: Client, program: Path, defines: Mapping[str, str]) -> None:
        self._client, self._source = client, one_text(program, defines)
        self._cookie = 0
        self.restarted()

    def insert(self, rows: Sequence[Row]) -> list[Any]:
        return [self._client.insert(r.table, r.key, r.action, r.arguments) for r in rows]

    def copy(self, group: int, ports: Mapping[int, int]) -> list[Any]:
        return [self._client.multicast(group, ports)]

    def remove(self, entries: Sequence[Any]) -> None:
        self._client.remove(entries)

    def clear(self, cells: range) -> None:
        self._client.write_register(ROUNDS, dict.fromkeys(cells, 0))

    def refused(self) -> list[int]:
        return self._client.read_counter(REFUSED)

    def restarted(self) -> bool:
        if self._cookie and self._client.cookie() == self._cookie:
            return False
        self._cookie = secrets.randbits(63) + 1
        self._client.load(self._source, self._cookie)
        return True
