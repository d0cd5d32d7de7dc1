"""Command files of simple_switch_CLI: the control plane of bmv2, as people have it in files.

One command per line, `#` starts a comment; `_COMMANDS` lists what is known. As in bmv2, a *lower*
number is the higher priority of a ternary or range entry, and handles count from 0 per table.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from weft.p4.compiler import ir
from weft.p4.switch.names import ControlError, find
from weft.p4.switch.switch import Switch
from weft.p4.switch.tables import Match, Table


class CommandLine:
    """Runs commands against a switch; `run` returns what bmv2 would print, in brief."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._nodes: dict[int, tuple[int, list[int]]] = {}
        self._groups: dict[int, list[int]] = {}
        self._members: dict[str, int] = {}

    def run_file(self, path: Path) -> list[str]:
        said: list[str] = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                said += self.run(line)
            except ControlError as problem:
                raise ControlError(f"{path}:{number}: {problem}") from problem
        return said

    def run(self, line: str) -> list[str]:
        words = shlex.split(line, comments=True)
        if not words:
            return []
        command = self._commands.get(words[0])
        if command is None:
            raise ControlError(f"unknown command '{words[0]}'")
        try:
            return command(self, *words[1:]) or []
        except TypeError as problem:
            if "positional argument" not in str(problem):
                raise
            raise ControlError(f"{words[0]}: wrong number of arguments") from problem
        except (ValueError, KeyError, IndexError) as problem:
            if isinstance(problem, ControlError):
                raise
            raise ControlError(f"{words[0]}: {problem}") from problem

    # ------------------------------------------------------------------------------ tables

    def _table_add(self, table: str, action: str, *rest: str) -> list[str]:
        target = self._switch.table(table)
        matches, arguments, priority = self._split(target, rest)
        entry = target.insert(matches, action, arguments, priority=priority)
        return [f"Entry has been added with handle {entry.handle}"]

    def _split(self, table: Table, rest: tuple[str, ...]) -> tuple[list[Match], list[str], int]:
        """Matches, what stands behind `=>`, and the priority (taken off that)."""
        words = list(rest)
        where = words.index("=>") if "=>" in words else len(words)
        keys, arguments = words[:where], words[where + 1 :]
        if len(keys) != len(table.keys):
            raise ControlError(f"table {table.name} has {len(table.keys)} keys, not {len(keys)}")
        matches = [_match(text, key) for text, key in zip(keys, table.keys, strict=True)]
        priority = 0
        if table.needs_priority:
            if not arguments:
                raise ControlError(f"an entry of table {table.name} needs a priority")
            priority = table.turned(int(arguments.pop(), 0))
        return matches, arguments, priority

    def _table_set_default(self, table: str, action: str, *arguments: str) -> None:
        given = [a for a in arguments if a != "=>"]
        self._switch.table(table).set_default(action, given)

    def _table_modify(self, table: str, action: str, handle: str, *arguments: str) -> None:
        given = [a for a in arguments if a != "=>"]
        self._switch.table(table).modify(int(handle, 0), action, given)

    def _table_delete(self, table: str, handle: str) -> None:
        self._switch.table(table).remove(int(handle, 0))

    def _table_clear(self, table: str) -> None:
        self._switch.table(table).clear()

    def _table_reset_default(self, table: str) -> None:
        self._switch.table(table).reset_default()

    def _table_set_timeout(self, table: str, handle: str, milliseconds: str) -> None:
        entry = self._switch.table(table).entry(int(handle, 0))
        entry.idle_us = int(milliseconds, 0) * 1000

    def _table_dump(self, table: str) -> list[str]:
        target = self._switch.table(table)
        return [
            f"handle {e.handle}: {e.matches} => {e.action.name}{list(e.action.arguments)}"
            for e in target.entries()
        ] + [f"default: {target.default.name}{list(target.default.arguments)}"]

    def _table_num_entries(self, table: str) -> list[str]:
        return [str(len(self._switch.table(table)))]

    # ------------------------------------------------------------------------- action profiles

    def _create_member(self, profile: str, action: str, *arguments: str) -> list[str]:
        target = self._switch.profile(profile)
        number = self._members.get(target.name, 0)
        target.set_member(number, action, list(arguments))
        self._members[target.name] = number + 1
        return [f"Member has been created with handle {number}"]

    def _delete_member(self, profile: str, member: str) -> None:
        self._switch.profile(profile).remove_member(int(member, 0))

    def _modify_member(self, profile: str, action: str, member: str, *arguments: str) -> None:
        self._switch.profile(profile).set_member(int(member, 0), action, list(arguments))

    def _create_group(self, profile: str) -> list[str]:
        target = self._switch.profile(profile)
        number = max(target.groups, default=-1) + 1
        target.set_group(number, [])
        return [f"Group has been created with handle {number}"]

    def _add_to_group(self, profile: str, member: str, group: str) -> None:
        target = self._switch.profile(profile)
        target.set_group(int(group, 0), [*target.groups[int(group, 0)], int(member, 0)])

    def _remove_from_group(self, profile: str, member: str, group: str) -> None:
        target = self._switch.profile(profile)
        left = [m for m in target.groups[int(group, 0)] if m != int(member, 0)]
        target.set_group(int(group, 0), left)

    def _indirect(self, kind: str) -> Callable[..., list[str]]:
        def add(table: str, *rest: str) -> list[str]:
            target = self._switch.table(table)
            matches, arguments, priority = self._split(target, rest)
            (number,) = arguments
            entry = target.insert(
                matches, priority=priority, **{kind: int(number, 0)}  # type: ignore[arg-type]
            )  # fmt: skip
            return [f"Entry has been added with handle {entry.handle}"]

        return add

    def _indirect_add(self, table: str, *rest: str) -> list[str]:
        return self._indirect("member")(table, *rest)

    def _indirect_add_group(self, table: str, *rest: str) -> list[str]:
        return self._indirect("group")(table, *rest)

    def _indirect_default(self, table: str, member: str) -> None:
        self._switch.table(table).set_default(member=int(member, 0))

    # -------------------------------------------------------------------- groups and sessions

    def _mc_mgrp_create(self, group: str) -> None:
        self._groups[int(group, 0)] = []

    def _mc_mgrp_destroy(self, group: str) -> None:
        del self._groups[int(group, 0)]
        self._switch.multicast(int(group, 0), [])

    def _mc_node_create(self, rid: str, *ports: str) -> list[str]:
        handle = max(self._nodes, default=-1) + 1
        self._nodes[handle] = (int(rid, 0), [int(p, 0) for p in ports if p != "|"])
        return [f"node was created with handle {handle}"]

    def _mc_node_update(self, node: str, *ports: str) -> None:
        rid, _ = self._nodes[int(node, 0)]
        self._nodes[int(node, 0)] = (rid, [int(p, 0) for p in ports if p != "|"])
        for group, nodes in self._groups.items():
            if int(node, 0) in nodes:
                self._install(group)

    def _mc_node_destroy(self, node: str) -> None:
        del self._nodes[int(node, 0)]
        for group, nodes in self._groups.items():
            if int(node, 0) in nodes:
                nodes.remove(int(node, 0))
                self._install(group)

    def _mc_node_associate(self, group: str, node: str) -> None:
        self._groups[int(group, 0)].append(int(node, 0))
        self._install(int(group, 0))

    def _mc_node_dissociate(self, group: str, node: str) -> None:
        self._groups[int(group, 0)].remove(int(node, 0))
        self._install(int(group, 0))

    def _install(self, group: int) -> None:
        nodes = [self._nodes[n] for n in self._groups[group]]
        self._switch.multicast(group, [(port, rid) for rid, ports in nodes for port in ports])

    def _mirroring_add(self, session: str, port: str) -> None:
        self._switch.clone_session(int(session, 0), [(int(port, 0), 0)])

    def _mirroring_add_mc(self, session: str, group: str) -> None:
        self._switch.clone_session(int(session, 0), group=int(group, 0))

    def _mirroring_delete(self, session: str) -> None:
        self._switch.clone_session(int(session, 0))

    def _mirroring_get(self, session: str) -> list[str]:
        copies = self._switch.sessions.get(int(session, 0), [])
        return [f"session {session}: ports {[port for port, _ in copies]}"]

    # ------------------------------------------------------------------------------- state

    def _register_write(self, name: str, index: str, value: str) -> None:
        self._switch.register(name).write(int(index, 0), value)

    def _register_read(self, name: str, index: str | None = None) -> list[str]:
        register = self._switch.register(name)
        if index is None:
            return [f"{name}= " + ", ".join(str(register.read(i)) for i in range(register.size))]
        return [f"{name}[{index}]= {register.read(int(index, 0))}"]

    def _register_reset(self, name: str) -> None:
        self._switch.register(name).reset()

    def _register_clear(self, name: str, first: str, count: str) -> None:
        """Not of bmv2's tools: as many cells to zero."""
        self._switch.register(name).clear(int(first, 0), int(count, 0))

    def _show_registers(self) -> list[str]:
        """Not of bmv2's tools: their names."""
        return list(self._switch.registers)

    def _counter_read(self, name: str, index: str) -> list[str]:
        packets, octets = self._switch.counter(name).read(int(index, 0))
        return [f"{name}[{index}]= ({octets} bytes, {packets} packets)"]

    def _counter_write(self, name: str, index: str, packets: str, octets: str) -> None:
        self._switch.counter(name).write(int(index, 0), int(packets, 0), int(octets, 0))

    def _counter_reset(self, name: str) -> None:
        counter = self._switch.counter(name)
        for index in range(counter.size):
            counter.write(index)

    def _meter_set_rates(self, name: str, index: str, *rates: str) -> None:
        """Rates as bmv2 has them: <units per microsecond>:<burst>, committed first, then peak."""
        (low, burst), (high, peak_burst) = (r.split(":") for r in rates)
        self._switch.meter(name).configure(
            int(index, 0), float(low) * 1e6, float(burst), float(high) * 1e6, float(peak_burst)
        )

    def _meter_array_set_rates(self, name: str, *rates: str) -> None:
        for index in range(self._switch.meter(name).size):
            self._meter_set_rates(name, str(index), *rates)

    def _meter_get_rates(self, name: str, index: str) -> list[str]:
        rates = self._switch.meter(name).rates(int(index, 0))
        return [f"{rate / 1e6}:{burst}" for rate, burst in rates]

    def _value_set_add(self, name: str, *values: str) -> None:
        target = self._switch.value_set(name)
        target.set([*target.members, list(values)])

    def _value_set_clear(self, name: str) -> None:
        self._switch.value_set(name).set([])

    def _crc(self, bits: int, *words: str) -> None:
        _, polynomial, initial, final, reflect_in, reflect_out = words
        self._switch.custom_crc(
            bits, int(polynomial, 0), int(initial, 0), int(final, 0), _truth(reflect_in),
            _truth(reflect_out),
        )  # fmt: skip

    def _crc16(self, *words: str) -> None:
        self._crc(16, *words)

    def _crc32(self, *words: str) -> None:
        self._crc(32, *words)

    _commands: dict[str, Callable[..., list[str] | None]] = {  # noqa: RUF012
        "table_add": _table_add, "table_set_default": _table_set_default,
        "table_modify": _table_modify, "table_delete": _table_delete, "table_clear": _table_clear,
        "table_reset_default": _table_reset_default, "table_set_timeout": _table_set_timeout,
        "table_dump": _table_dump,
        "table_num_entries": _table_num_entries, "act_prof_create_member": _create_member,
        "act_prof_delete_member": _delete_member, "act_prof_modify_member": _modify_member,
        "act_prof_create_group": _create_group, "act_prof_add_member_to_group": _add_to_group,
        "act_prof_remove_member_from_group": _remove_from_group,
        "table_indirect_add": _indirect_add, "table_indirect_add_with_group": _indirect_add_group,
        "table_indirect_set_default": _indirect_default, "mc_mgrp_create": _mc_mgrp_create,
        "mc_mgrp_destroy": _mc_mgrp_destroy, "mc_node_create": _mc_node_create,
        "mc_node_associate": _mc_node_associate, "mc_node_dissociate": _mc_node_dissociate,
        "mirroring_add": _mirroring_add, "mirroring_add_mc": _mirroring_add_mc,
        "mc_node_update": _mc_node_update, "mc_node_destroy": _mc_node_destroy,
        "mirroring_get": _mirroring_get, "meter_get_rates": _meter_get_rates,
        "mirroring_delete": _mirroring_delete, "register_write": _register_write,
        "register_read": _register_read, "register_reset": _register_reset,
        "register_clear": _register_clear, "show_registers": _show_registers,
        "counter_read": _counter_read, "counter_write": _counter_write,
        "counter_reset": _counter_reset, "meter_set_rates": _meter_set_rates,
        "meter_array_set_rates": _meter_array_set_rates, "pvs_add": _value_set_add,
        "pvs_clear": _value_set_clear, "set_crc16_parameters": _crc16,
        "set_crc32_parameters": _crc32,
    }  # fmt: skip


def _truth(word: str) -> bool:
    return find("truth value", word.lower(), {"true": True, "false": False, "1": True, "0": False})


def _match(text: str, key: ir.Key) -> Match:
    """`5`, `10.0.0.0/8`, `5&&&0xff`, `5->9`."""
    for separator in ("&&&", "->", "/"):
        if separator in text:
            first, second = text.split(separator, 1)
            return first, second
    if key.match_kind in ("ternary", "lpm", "range"):
        raise ControlError(f"key {key.name} ({key.match_kind}): '{text}' is one value only")
    return text
