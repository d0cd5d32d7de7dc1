"""Tables of one control instance.

Keys, wrapped actions, defaults, entries with their priorities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.p4.compiler import ast, ir
from weft.p4.compiler import types as t
from weft.p4.compiler.check.scope import ResolvedCall
from weft.p4.compiler.check.tables import ACTION_PROPERTIES
from weft.p4.compiler.elaborate.annotations import find, given_name
from weft.p4.compiler.elaborate.patterns import PatternLowering
from weft.p4.compiler.elaborate.typemap import type_name
from weft.p4.compiler.elaborate.unit import Environment, Unit
from weft.p4.compiler.printer import expression_text

if TYPE_CHECKING:
    from weft.p4.compiler.elaborate.program import ProgramElaborator

_STANDARD = (
    "default_action",
    "size",
    "largest_priority_wins",
    "priority_delta",
    *ACTION_PROPERTIES,
)


class TableElaborator:
    def __init__(self, program: ProgramElaborator) -> None:
        self._p = program
        #: The action each entry of `Table.actions` came from, for labels of switch.
        self._sources: dict[int, list[ast.Action]] = {}

    def index_of(self, table: ir.Table, action: ast.Action) -> int:
        return self._sources[id(table)].index(action)

    def table(
        self,
        d: ast.Table,
        unit: Unit,
        name: str,
        actions: list[ir.Action],
        externs: list[ir.ExternInstance],
    ) -> ir.Table:
        self._p.claim("table", name, d, unit.path)
        before = len(unit.locals)
        with unit.block() as prologue:
            keys = self._keys(d, unit)
        locals_ = tuple(unit.locals[before:])
        del unit.locals[before:]
        listed, sources = self._actions(d, unit, actions)
        default, default_is_const = self._default(d, unit, listed, sources)
        table = ir.Table(
            d.name, name, self._p.unique(name), keys, tuple(listed), default, default_is_const,
            prologue=tuple(prologue), locals=locals_, location=d.location,
            annotations=self._p.annotations.read(d),
        )  # fmt: skip
        self._sources[id(table)] = sources
        self._properties(d, unit, table, externs)
        if d.entries is not None:
            table.entries = self._entries(d, d.entries, unit, table, sources)
            table.entries_are_const = d.entries.is_const
        return table

    def _keys(self, d: ast.Table, unit: Unit) -> tuple[ir.Key, ...]:
        elements = d.keys or []
        lowered = unit.expressions.sequence([k.expression for k in elements])
        return tuple(
            ir.Key(
                given_name(k) or expression_text(k.expression), expression, k.match_kind,
                self._type_name(k.expression), self._p.annotations.read(k), k.location,
            )
            for k, expression in zip(elements, lowered, strict=True)
        )  # fmt: skip

    def _type_name(self, e: ast.Expression) -> str | None:
        """The declared type's name of a key that is a plain field or variable."""
        if isinstance(e, ast.Member) and isinstance(e.base.type, t.Struct):
            for field in e.base.type.declaration.fields:
                if field.name == e.name:
                    return type_name(field.type_ref, field.type)
        if isinstance(e, ast.Name) and isinstance(e.target, ast.Variable | ast.Parameter):
            return type_name(e.target.type_ref, e.target.type)
        return None

    # ----------------------------------------------------------------------------- actions

    def _actions(
        self, d: ast.Table, unit: Unit, actions: list[ir.Action]
    ) -> tuple[list[ir.TableAction], list[ast.Action]]:
        listed: list[ir.TableAction] = []
        sources: list[ast.Action] = []
        for reference in d.actions or []:
            action = self._action(reference.target, unit)
            if reference.resolved:
                action = self._wrap(reference, action, unit)
                actions.append(action)
            marks = {a.name for a in reference.annotations}
            listed.append(
                ir.TableAction(
                    action, "tableonly" in marks, "defaultonly" in marks,
                    self._p.annotations.read(reference),
                )
            )  # fmt: skip
            sources.append(reference.target)
        return listed, sources

    def _action(self, d: ast.Action, unit: Unit) -> ir.Action:
        meaning = unit.environment.get(d)
        return meaning if isinstance(meaning, ir.Action) else self._p.action(d)

    def _wrap(self, reference: ast.ActionReference, action: ir.Action, unit: Unit) -> ir.Action:
        """An action whose directed parameters are bound to what the list of actions says."""
        d: ast.Action = reference.target
        environment = Environment(unit.environment)
        inner = Unit(self._p, environment, names=unit.names, path=unit.path)
        parameters: list[ir.Variable] = []
        arguments: list[tuple[ast.Parameter, ast.Expression | None]] = list(reference.resolved)
        for p in d.parameters:
            if p.direction:
                continue
            parameters.append(inner.parameter(p, environment))
            given = ast.Name(reference.location, p.name)
            given.target, given.type = p, p.type
            arguments.append((p, given))
        resolved = ResolvedCall("action", d, t.VOID, arguments, location=reference.location)
        inner.calls.invoke(action, resolved, reference.location)
        return ir.Action(
            action.name, action.control_plane_name, self._p.unique(action.control_plane_name),
            tuple(parameters), tuple(inner.locals), tuple(inner.out), action.location,
            action.annotations,
        )  # fmt: skip

    def _default(
        self,
        d: ast.Table,
        unit: Unit,
        listed: list[ir.TableAction],
        sources: list[ast.Action],
    ) -> tuple[ir.ActionCall, bool]:
        chosen = d.default_action
        if chosen is None:
            no_action = self._p.no_action
            if no_action not in sources:
                sources.append(no_action)
                listed.append(ir.TableAction(self._action(no_action, unit), default_only=True))
            index = sources.index(no_action)
            return ir.ActionCall(listed[index].action, ()), False
        index = sources.index(chosen.target)
        is_const = any(p.is_const for p in d.properties if p.name == "default_action")
        return ir.ActionCall(listed[index].action, self._data(chosen, unit)), is_const

    def _data(self, reference: ast.ActionReference, unit: Unit) -> tuple[ir.Expression, ...]:
        """Constant values for the control-plane parameters."""
        return tuple(unit.expressions.lower(e) for _, e in reference.resolved if e is not None)

    # -------------------------------------------------------------------------- properties

    def _properties(
        self, d: ast.Table, unit: Unit, table: ir.Table, externs: list[ir.ExternInstance]
    ) -> None:
        properties: dict[str, ir.Expression | ir.ExternInstance | str] = {}
        for p in d.properties:
            if p.name == "size":
                table.size = unit.expressions.static_int(p.value, "the size of the table")
            elif p.name == "largest_priority_wins":
                table.largest_priority_wins = bool(unit.expressions.static(p.value))
            elif p.name not in _STANDARD:
                properties[p.name] = self._property(p, unit, table, externs)
        table.properties = properties

    def _property(
        self, p: ast.Property, unit: Unit, table: ir.Table, externs: list[ir.ExternInstance]
    ) -> ir.Expression | ir.ExternInstance | str:
        value = p.value
        if isinstance(value, ast.ConstructorCall) and value.resolved is not None:
            made = self._p.blocks.construct(
                value.resolved, unit.environment, table.control_plane_name, p.location,
                unit.bindings,
            )  # fmt: skip
            assert isinstance(made, ir.ExternInstance)
            externs.append(made)
            return made
        if isinstance(value, ast.Name):
            meaning = unit.environment.get(value.target)
            if isinstance(meaning, ir.ExternInstance):
                return meaning
        if value.is_static:
            known = unit.expressions.static(value)
            constant = (
                None
                if known is None
                else unit.expressions.constant(known, value.type, value.location)
            )
            if constant is not None:
                return constant
        return expression_text(value)

    # ----------------------------------------------------------------------------- entries

    def _entries(
        self,
        d: ast.Table,
        entries: ast.Entries,
        unit: Unit,
        table: ir.Table,
        sources: list[ast.Action],
    ) -> tuple[ir.Entry, ...]:
        types = [k.expression.type for k in d.keys or []]
        patterns = PatternLowering(unit)
        made: list[ir.Entry] = []
        priorities = self._priorities(d, entries, unit, table)
        for entry, priority in zip(entries.entries, priorities, strict=True):
            action = table.actions[sources.index(entry.action.target)].action
            call = ir.ActionCall(action, self._data(entry.action, unit))
            made.append(
                ir.Entry(
                    patterns.lower(entry.keyset, types), call, priority,
                    entries.is_const or entry.is_const, self._p.annotations.read(entry),
                    entry.location,
                )
            )  # fmt: skip
        return tuple(made)

    def _ranked(self, entries: ast.Entries, table: ir.Table) -> list[int]:
        """bmv2's older `@priority(n)`: the lowest rank wins; without it, the place in the list."""
        ranks: list[int] = []
        for place, entry in enumerate(entries.entries, 1):
            values = [a.values for a in self._p.annotations.read(entry) if a.name == "priority"]
            rank = values[0][0] if values and values[0] else place
            ranks.append(rank if isinstance(rank, int) else place)
        top = max(ranks) + 1
        return [top - r if table.largest_priority_wins else r for r in ranks]

    def _priorities(
        self, d: ast.Table, entries: ast.Entries, unit: Unit, table: ir.Table
    ) -> list[int]:
        """Given priorities, and those that listing order implies (section 14.2.1.4)."""
        delta = 1
        for p in d.properties:
            if p.name == "priority_delta":
                delta = unit.expressions.static_int(p.value, "priority_delta")
        count = len(entries.entries)
        ranks = [find(e, "priority") for e in entries.entries]
        if any(ranks) and all(e.priority is None for e in entries.entries):
            return self._ranked(entries, table)
        result: list[int] = []
        for entry in entries.entries:
            if entry.priority is not None:
                result.append(unit.expressions.static_int(entry.priority, "the priority"))
            elif not result:
                result.append(1 + delta * (count - 1) if table.largest_priority_wins else 1)
            else:
                result.append(result[-1] + (-delta if table.largest_priority_wins else delta))
            if result[-1] < 0:
                self._p.diagnostics.error(entry.location, "the priority of this entry is negative")
        return result
