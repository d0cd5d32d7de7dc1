"""Tables: keys, action lists, default actions, entries (specification 1.2.5, section 14.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.p4.compiler import ast, values
from weft.p4.compiler import types as t
from weft.p4.compiler.check.annotations import check as check_annotations
from weft.p4.compiler.check.arguments import pair
from weft.p4.compiler.check.keysets import constant_pattern
from weft.p4.compiler.check.scope import Place, Where
from weft.p4.compiler.printer_expressions import expression_text

if TYPE_CHECKING:
    from weft.p4.compiler.check.checker import Checker

#: Architectures' table properties whose value is an action: what PSA does in an empty group.
ACTION_PROPERTIES = ("psa_empty_group_action",)

#: Match kinds of core.p4 and v1model, and the patterns their entries may have.
_NUMERIC_KINDS = ("lpm", "ternary", "range")


class TableChecker:
    def __init__(self, checker: Checker) -> None:
        self._c = checker

    def table(self, table: ast.Table) -> None:
        self._order(table)
        with self._c.nested(Place(Where.CONTROL, name=table.name)):
            for key in table.keys or []:  # evaluated where the table is applied
                self._key(key)
        with self._c.nested(Place(Where.TABLE, name=table.name)):
            self._actions(table)
            for property_ in table.properties:
                self._property(table, property_)
            if table.entries is not None:
                self._entries(table, table.entries)
            if "default_action" not in table.order:
                self._no_action(table)
        self._c.declare(table.name, table, table.name_location)

    def _order(self, table: ast.Table) -> None:
        """What a property refers to stands before it (sections 14.2.1.3 and 14.2.1.4)."""
        for later, earlier in (
            ("default_action", "actions"), ("entries", "actions"), ("entries", "keys")
        ):  # fmt: skip
            order = table.order
            if later in order and earlier in order and order.index(later) < order.index(earlier):
                name = "key" if earlier == "keys" else earlier
                self._c.error(table.location, f"'{later}' must come after '{name}'")

    def _key(self, key: ast.KeyElement) -> None:
        check_annotations(key.annotations, self._c)
        key.expression = self._c.expressions.check(key.expression)
        type_ = key.expression.type
        if key.match_kind not in self._c.match_kinds:
            self._c.error(
                key.match_kind_location, f"'{key.match_kind}' is not a declared match_kind"
            )
        inner = t.resolve_new(type_)
        if isinstance(inner, t.Unknown):
            return
        if not (_has_own_name(key.expression) or any(a.name == "name" for a in key.annotations)):
            self._c.error(
                key.location, 'this key needs a name for the control plane: add @name("...")'
            )
        if isinstance(inner, t.Int):
            self._c.error(key.location, "give this key a width; int is for constants only")
        elif not isinstance(inner, t.Bits | t.Enum | t.Varbit) and inner not in (t.BOOL, t.ERROR):
            self._c.error(key.location, f"a key cannot have type {type_}")
        elif key.match_kind in _NUMERIC_KINDS and not (
            isinstance(inner, t.Bits | t.Enum) or (inner == t.BOOL and key.match_kind == "ternary")
        ):
            self._c.error(key.location, f"{type_} cannot be matched by {key.match_kind}")

    # ----------------------------------------------------------------------------- actions

    def _actions(self, table: ast.Table) -> None:
        if table.actions is None:
            self._c.error(table.location, f"table '{table.name}' has no actions")
            table.actions = []
        seen: set[str] = set()
        for reference in table.actions:
            if reference.name in seen:
                self._c.error(reference.location, f"action '{reference.name}' is listed twice")
            seen.add(reference.name)
            action = self._resolve(reference)
            if action is None:
                continue
            directed = [p for p in action.parameters if p.direction]
            pairs, problem = pair(directed, reference.arguments or [])
            if problem:
                self._c.error(
                    reference.location,
                    f"action '{reference.name}' {problem} (only parameters with a direction are "
                    "bound in the list of actions)",
                    ("declared here", action.location),
                )
                continue
            with self._c.nested(Place(Where.TABLE)):
                bound = self._c.calls.bind_action(reference.location, pairs)
            reference.resolved = bound

    def _resolve(self, reference: ast.ActionReference) -> ast.Action | None:
        found = self._c.lookup(reference.name, reference.absolute, reference.location)
        if found and not isinstance(found[0], ast.Action):
            self._c.error(reference.location, f"'{reference.name}' is not an action")
            return None
        action = found[0] if found else None
        assert action is None or isinstance(action, ast.Action)
        reference.target = action
        return action

    def _chosen(self, table: ast.Table, reference: ast.ActionReference, what: str) -> None:
        """An action with all its arguments: the default action or that of an entry."""
        action = self._resolve(reference)
        if action is None:
            return
        listed = next((a for a in table.actions or [] if a.target is action), None)
        if listed is None:
            self._c.error(
                reference.location,
                f"{what} '{reference.name}' is not in the list of actions of table {table.name}",
            )
            return
        marks = {a.name for a in listed.annotations}
        if what == "the default action" and "tableonly" in marks:
            self._c.error(reference.location, f"action '{reference.name}' is @tableonly")
        if what != "the default action" and "defaultonly" in marks:
            self._c.error(reference.location, f"action '{reference.name}' is @defaultonly")
        pairs, problem = pair(action.parameters, reference.arguments or [])
        if problem:
            self._c.error(
                reference.location,
                f"action '{reference.name}' {problem}",
                ("declared here", action.location),
            )
            return
        bound = self._c.calls.bind_action(reference.location, pairs)
        self._same_binding(reference, listed, bound or [])
        reference.resolved = [(p, e) for p, e in bound or [] if not p.direction]
        for parameter, value in reference.resolved:
            if value is not None and not value.is_static:
                self._c.error(
                    value.location,
                    f"argument '{parameter.name}' of {what} must be a compile-time constant",
                )

    def _same_binding(
        self,
        reference: ast.ActionReference,
        listed: ast.ActionReference,
        bound: list[tuple[ast.Parameter, ast.Expression | None]],
    ) -> None:
        """Arguments with a direction must repeat what the list of actions binds."""
        wanted = {p.name: e for p, e in listed.resolved or []}
        for parameter, given in bound:
            expected = wanted.get(parameter.name)
            if not parameter.direction or given is None or expected is None:
                continue
            if expression_text(given) != expression_text(expected):
                self._c.error(
                    given.location,
                    f"argument '{parameter.name}' differs from the list of actions, which binds "
                    f"{expression_text(expected)}",
                    ("bound here", expected.location),
                )

    # -------------------------------------------------------------------------- properties

    def _property(self, table: ast.Table, p: ast.Property) -> None:
        if p.name == "default_action":
            reference = self._as_reference(p)
            if reference is not None:
                self._chosen(table, reference, "the default action")
                table.default_action = reference
            return
        if p.name in ("key", "actions", "entries"):
            self._c.error(p.location, f"the property '{p.name}' takes a list in braces")
            return
        if p.name in ACTION_PROPERTIES:
            reference = self._as_reference(p)
            if reference is not None:
                self._chosen(table, reference, f"the action of '{p.name}'")
            return
        p.value = self._c.expressions.check(p.value)
        if p.name == "size":
            if not isinstance(t.resolve_new(p.value.type), t.Int | t.Bits | t.Unknown):
                self._c.error(p.value.location, f"the size must be a number, not {p.value.type}")
            elif not p.value.is_static:
                self._c.error(p.value.location, "the size must be a compile-time constant")
            elif isinstance(p.value.value, int) and p.value.value < 0:
                self._c.error(p.value.location, "the size cannot be negative")
        elif p.name == "largest_priority_wins":
            if p.value.type not in (t.BOOL, t.UNKNOWN) or not p.value.is_static:
                self._c.error(p.value.location, "largest_priority_wins is true or false")
        elif p.name == "priority_delta":
            delta = self._c.static_int(p.value, "priority_delta")
            if delta is not None and delta <= 0:
                self._c.error(p.value.location, "priority_delta must be positive")

    def _no_action(self, table: ast.Table) -> None:
        """Tables without a default action have core.p4's NoAction (section 14.2.1.3)."""
        found = self._c.globals.lookup("NoAction")
        if not (found and isinstance(found[0], ast.Action) and not found[0].parameters):
            self._c.error(
                table.location,
                f"table '{table.name}' has no default action, and there is no action NoAction() "
                "to be it: include core.p4",
            )

    def _as_reference(self, p: ast.Property) -> ast.ActionReference | None:
        value = p.value
        match value:
            case ast.Name():
                return ast.ActionReference(p.location, [], value.name, value.absolute, None)
            case ast.Call(callee=ast.Name(name=name, absolute=absolute), arguments=arguments):
                return ast.ActionReference(value.location, [], name, absolute, arguments)
        self._c.error(value.location, f"the value of '{p.name}' must be an action")
        return None

    # ----------------------------------------------------------------------------- entries

    def _entries(self, table: ast.Table, entries: ast.Entries) -> None:
        keys = table.keys or []
        types = [k.expression.type for k in keys]
        if not keys and entries.entries:
            self._c.error(entries.location, f"table '{table.name}' has no key, so no entries")
            return
        given = [e.priority is not None for e in entries.entries]
        if any(given) and not given[0]:
            self._c.error(
                entries.entries[0].location,
                "the first entry must have a priority, since others have one",
            )
        for entry in entries.entries:
            if entry.priority is not None:
                number = self._c.static_int(entry.priority, "a priority")
                if number is not None and number < 0:
                    self._c.error(entry.priority.location, "a priority cannot be negative")
                if entries.is_const:
                    self._c.error(
                        entry.priority.location,
                        "entries of a table with 'const entries' have no priorities: their order "
                        "decides",
                    )
            entry.keyset = self._c.keysets.check(entry.keyset, types)
            self._patterns(entry, keys)
            self._chosen(table, entry.action, "the action of an entry")
        self._priorities(table, entries, keys)
        if all(k.match_kind == "exact" for k in keys):
            self._distinct(entries)

    def _priorities(
        self, table: ast.Table, entries: ast.Entries, keys: list[ast.KeyElement]
    ) -> None:
        """Entries without a priority take the one before and a step (section 14.2.1.4)."""
        first = next((e for e in entries.entries if e.priority is not None), None)
        if first is None or entries.is_const:
            return
        if all(k.match_kind in ("exact", "lpm") for k in keys):
            self._c.error(first.location, "entries matched by exact and lpm keys have no priority")
            return
        given = {p.name: p.value.value for p in table.properties}
        delta = given.get("priority_delta", 1)
        step = delta if isinstance(delta, int) else 1
        if given.get("largest_priority_wins", True) is not False:
            step = -step
        last = 0
        for entry in entries.entries:
            number = None if entry.priority is None else entry.priority.value
            last = number if isinstance(number, int) else last + step
            if last < 0 and entry.priority is None:
                self._c.error(
                    entry.location,
                    f"the priority of this entry would be {last}; raise that of the entries before",
                )
                return

    def _distinct(self, entries: ast.Entries) -> None:
        """Where all keys are exact, each lookup matches at most one entry (section 14.2.1.4)."""
        seen: dict[object, ast.Entry] = {}
        for entry in entries.entries:
            pattern = constant_pattern(entry.keyset)
            if pattern is not None and pattern in seen:
                self._c.error(
                    entry.location, "another entry has this key",
                    ("it is here", seen[pattern].location),
                )  # fmt: skip
            seen.setdefault(pattern, entry)

    def _patterns(self, entry: ast.Entry, keys: list[ast.KeyElement]) -> None:
        keyset = entry.keyset
        if isinstance(keyset, ast.Default | ast.DontCare):
            # The universal set; where every key is exact nothing could rank it.
            if all(k.match_kind == "exact" for k in keys):
                self._fits(keyset, "exact")
            return
        parts = keyset.items if isinstance(keyset, ast.TupleKeyset) else [keyset]
        for part, key in zip(parts, keys, strict=False):
            if isinstance(getattr(part, "type", t.UNKNOWN), t.Unknown):
                continue
            if not part.is_static:
                self._c.error(part.location, "the key of an entry must be a compile-time constant")
                continue
            self._fits(part, key.match_kind)

    def _fits(self, part: ast.Expression, kind: str) -> None:
        any_ = isinstance(part, ast.Default | ast.DontCare)
        wrong = (
            (kind == "exact" and (any_ or isinstance(part, ast.Mask | ast.Range)))
            or (kind == "optional" and isinstance(part, ast.Mask | ast.Range))
            or (kind in ("lpm", "ternary") and isinstance(part, ast.Range))
            or (kind == "range" and isinstance(part, ast.Mask))
        )
        if wrong:
            what = {ast.Mask: "a mask", ast.Range: "a range"}.get(type(part), "'_'")
            self._c.error(part.location, f"{what} cannot stand for a key matched by {kind}")
        if kind == "lpm" and isinstance(part, ast.Mask):
            mask, type_ = part.mask.value, t.resolve_new(part.mask.type)
            if isinstance(mask, int) and isinstance(type_, t.Bits):
                inverse = ~mask & values.bounds(t.Bits(type_.width))[1]
                if inverse & (inverse + 1):
                    self._c.error(part.mask.location, "the mask of an lpm key must be a prefix")


def _has_own_name(e: ast.Expression) -> bool:
    """Does the expression itself serve as control-plane name (section 18.3.2.1)?"""
    match e:
        case ast.Name() | ast.Integer() | ast.TypeMember():
            return True
        case ast.Member(base=base) | ast.Slice(base=base):
            return _has_own_name(base)
        case ast.Index(base=base, index=index):
            return index.value is not None and _has_own_name(base)
        case ast.Call(callee=ast.Member(base=base, name="isValid")):
            return _has_own_name(base)
        case ast.Binary(op="&", left=left, right=right):
            return right.value is not None and _has_own_name(left)
    return False
