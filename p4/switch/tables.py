"""Tables, action profiles and value sets as the control plane sees them (shaped like P4Runtime).

A match is given per key, by name or in order: exact `5`, lpm `(value, prefix length)`, ternary
`(value, mask)`, range `(low, high)`, optional `5`; None matches everything. Higher priority wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weft.p4.compiler import ir
from weft.p4.switch.codegen.layout import width, words
from weft.p4.switch.codegen.tables import implementation, match_keys
from weft.p4.switch.names import (
    AlreadyExists,
    ControlError,
    Full,
    NotFound,
    Number,
    find,
    number,
    to_words,
)

Match = Number | tuple[Number, Number] | None
Matches = Mapping[str, Match] | Sequence[Match]
Arguments = Mapping[str, Number] | Sequence[Number]
#: P4's default where a table gives no size.
DEFAULT_SIZE = 1024
_FULL = 0xFFFFFFFFFFFFFFFF
#: Priorities of bmv2's tools are turned round around this number.
_TURN = 1 << 31


@dataclass(frozen=True)
class Action:
    """What an entry does: an action with arguments, or a member or group of the table's profile."""

    name: str
    arguments: tuple[int, ...] = ()
    member: int | None = None
    group: int | None = None


@dataclass
class Entry:
    """One entry; `matches` in key order: (value, mask), (value, prefix length) or (low, high)."""

    handle: int
    matches: tuple[tuple[int, int], ...]
    action: Action
    priority: int
    is_const: bool
    idle_us: int
    pointer: Any  # struct wf_entry *


class Calls:
    """Builds `struct wf_call` for the actions of one table."""

    def __init__(self, ffi: Any, table: ir.Table) -> None:
        self._ffi = ffi
        self.table = table
        self.actions = {a.action.control_plane_name: i for i, a in enumerate(table.actions)}

    def index(self, name: str) -> int:
        return find(f"action of table {self.table.control_plane_name}", name, self.actions)

    def resolve(self, name: str, arguments: Arguments) -> Action:
        """The action by its full name, arguments in order and in range."""
        action = self.table.actions[self.index(name)].action
        parameters = action.parameters
        names = [p.control_plane_name for p in parameters]
        if isinstance(arguments, Mapping):
            wrong = set(arguments) - set(names)
            if wrong:
                raise ControlError(f"action {name} has no parameter {', '.join(sorted(wrong))}")
            missing = [n for n in names if n not in arguments]
            given = [arguments[n] for n in names if n in arguments]
        else:
            given = list(arguments)
            missing = names[len(given) :]
        if missing or len(given) != len(parameters):
            wanted = ", ".join(names) or "none"
            raise ControlError(f"action {name} takes {len(parameters)} arguments ({wanted})")
        values = tuple(
            number(v, p.type, f"{name}.{p.name}") for v, p in zip(given, parameters, strict=True)
        )
        return Action(action.control_plane_name, values)

    def call(self, action: Action) -> tuple[Any, Any]:
        """The C struct, and the data that must outlive the call."""
        data: list[int] = []
        kind, target = 0, action.member if action.member is not None else action.group
        if target is not None:
            kind = 1 if action.member is not None else 2
        else:
            target = self.index(action.name)
            parameters = self.table.actions[target].action.parameters
            for value, p in zip(action.arguments, parameters, strict=True):
                data += to_words(value, p.type)
        words_ = self._ffi.new("uint64_t[]", data or [0])
        call = self._ffi.new(
            "struct wf_call *", {"kind": kind, "target": target, "words": len(data), "data": words_}
        )
        return call, words_


class Table:
    """One table of a running switch; get it from `Switch.table`."""

    def __init__(self, switch: Any, index: int, table: ir.Table, profile: Profile | None) -> None:
        self._switch, self._index = switch, index
        self.declaration, self.profile = table, profile
        self.name = table.control_plane_name
        self.keys = match_keys(table)
        self._calls = Calls(switch.ffi, table)
        self._entries: dict[int, Entry] = {}
        self._taken: dict[tuple[object, ...], int] = {}
        self._handle = 0
        self.default = Action(
            table.default_action.action.control_plane_name,
            tuple(
                a.value & ((1 << width(a.type)) - 1) if isinstance(a, ir.Const) else 0
                for a in table.default_action.arguments
            ),
        )
        self._initial_default = self.default
        kinds = {k.match_kind for k in self.keys}
        self.needs_priority = bool(kinds & {"ternary", "range", "optional"})

    def turned(self, priority: int) -> int:
        """The priority for `insert` of one whose lowest number wins, as bmv2's tools count."""
        largest_wins = self.declaration.largest_priority_wins
        return _TURN - priority if largest_wins else priority

    # ----------------------------------------------------------------------------- reading

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> list[Entry]:
        return list(self._entries.values())

    def entry(self, handle: int) -> Entry:
        if handle not in self._entries:
            raise NotFound(f"table {self.name} has no entry with handle {handle}")
        return self._entries[handle]

    def find(self, matches: Matches, priority: int = 0) -> Entry | None:
        """The entry with exactly these matches (and, where it counts, this priority)."""
        handle = self._taken.get(self._identity(self._normal(matches), priority))
        return None if handle is None else self._entries[handle]

    def counts(self, entry: Entry | int | None = None) -> tuple[int, int]:
        """Packets and bytes of the direct counter; of the default action when no entry is given."""
        counts = self._switch.ffi.new("uint64_t[2]")
        self._switch.lib.wf_direct_read(
            self._switch.handle, self._index, self._pointer(entry), counts
        )
        return int(counts[0]), int(counts[1])

    def set_counts(self, entry: Entry | int | None, packets: int, octets: int) -> None:
        counts = self._switch.ffi.new("uint64_t[2]", [packets, octets])
        self._switch.lib.wf_direct_write(
            self._switch.handle, self._index, self._pointer(entry), counts
        )

    def idle(self) -> list[Entry]:
        """Entries that have a time-out and were not hit for that long."""
        now = self._switch.now_us()
        return [
            e for e in self._entries.values()
            if e.idle_us and self._switch.lib.wf_entry_idle(e.pointer, now) >= e.idle_us
        ]  # fmt: skip

    def last_hit_us(self, entry: Entry) -> int:
        """When the entry was last hit (or made), on the switch's clock."""
        now = self._switch.now_us()
        return int(now - self._switch.lib.wf_entry_idle(entry.pointer, now))

    # ---------------------------------------------------------------------------- changing

    def insert(
        self,
        matches: Matches,
        action: str = "",
        arguments: Arguments = (),
        *,
        priority: int = 0,
        idle_us: int = 0,
        member: int | None = None,
        group: int | None = None,
    ) -> Entry:
        """Adds an entry; takes effect between two packets. Raises `ControlError`."""
        if self.declaration.entries_are_const and self.declaration.entries:
            raise ControlError(f"the entries of table {self.name} are const")
        chosen = self._choose(action, arguments, member, group)
        if any(a.default_only and a.action.control_plane_name == chosen.name
               for a in self.declaration.actions):  # fmt: skip
            raise ControlError(f"action {chosen.name} is @defaultonly in table {self.name}")
        size = self.declaration.size if self.declaration.size is not None else DEFAULT_SIZE
        if len(self._entries) >= size:
            raise Full(f"table {self.name} is full: its size is {size}")
        return self.add(self._normal(matches), chosen, priority, False, idle_us)

    def add(
        self,
        matches: tuple[tuple[int, int], ...],
        action: Action,
        priority: int,
        is_const: bool,
        idle_us: int = 0,
    ) -> Entry:
        """Adds an entry in normal form (`Entry.matches`), without the checks of `insert`."""
        if not self.keys:
            raise ControlError(f"table {self.name} has no key, so it holds no entries")
        if abs(priority) > 1 << 32:
            raise ControlError(f"priority {priority} of table {self.name} is out of range")
        identity = self._identity(matches, priority)
        if identity in self._taken:
            raise AlreadyExists(f"table {self.name} has this entry already: {matches}")
        key, mask, high, rank = self._layout(matches, priority)
        ffi = self._switch.ffi
        call, _data = self._calls.call(action)
        pointer = self._switch.lib.wf_insert(
            self._switch.handle, self._index, ffi.new("uint64_t[]", key),
            ffi.new("uint64_t[]", mask), ffi.new("uint64_t[]", high), rank, call, idle_us,
            self._switch.now_us(),
        )  # fmt: skip
        if pointer == ffi.NULL:
            raise MemoryError(f"no memory for an entry of table {self.name}")
        entry = Entry(self._handle, matches, action, priority, is_const, idle_us, pointer)
        self._entries[entry.handle] = entry
        self._taken[identity] = entry.handle
        self._handle += 1
        return entry

    def modify(
        self, entry: Entry | int, action: str = "", arguments: Arguments = (), *,
        member: int | None = None, group: int | None = None,
    ) -> None:  # fmt: skip
        """Gives an entry another action; its counts stay."""
        entry = self._owned(entry)
        chosen = self._choose(action, arguments, member, group)
        call, _data = self._calls.call(chosen)
        self._switch.checked(self._switch.lib.wf_modify(self._switch.handle, entry.pointer, call))
        entry.action = chosen

    def remove(self, entry: Entry | int) -> None:
        entry = self._owned(entry)
        if entry.is_const:
            raise ControlError(f"entry {entry.handle} of table {self.name} is const")
        del self._taken[self._identity(entry.matches, entry.priority)]
        del self._entries[entry.handle]
        self._switch.lib.wf_remove(self._switch.handle, self._index, entry.pointer)

    def clear(self) -> None:
        """Removes every entry that is not const."""
        for entry in self.entries():
            if not entry.is_const:
                self.remove(entry)

    def set_default(
        self, action: str = "", arguments: Arguments = (), *,
        member: int | None = None, group: int | None = None,
    ) -> None:  # fmt: skip
        chosen = self._choose(action, arguments, member, group)
        if self.declaration.default_is_const and chosen != self.default:
            raise ControlError(f"the default action of table {self.name} is const")
        if any(a.table_only and a.action.control_plane_name == chosen.name
               for a in self.declaration.actions):  # fmt: skip
            raise ControlError(f"action {chosen.name} is @tableonly in table {self.name}")
        call, _data = self._calls.call(chosen)
        self._switch.checked(
            self._switch.lib.wf_set_default(self._switch.handle, self._index, call)
        )
        self.default = chosen

    def reset_default(self) -> None:
        """The program's own default action again."""
        initial = self._initial_default
        self.set_default(initial.name, initial.arguments)

    # ----------------------------------------------------------------------------- details

    def _choose(
        self, action: str, arguments: Arguments, member: int | None, group: int | None
    ) -> Action:
        if member is None and group is None:
            return self._calls.resolve(action, arguments)
        if self.profile is None:
            raise ControlError(f"table {self.name} has no action profile")
        slot = self.profile.slot(member) if member is not None else None
        return Action("", (), slot, self.profile.group_slot(group) if group is not None else None)

    def _owned(self, entry: Entry | int) -> Entry:
        return self.entry(entry if isinstance(entry, int) else entry.handle)

    def _pointer(self, entry: Entry | int | None) -> Any:
        return self._switch.ffi.NULL if entry is None else self._owned(entry).pointer

    def _normal(self, matches: Matches) -> tuple[tuple[int, int], ...]:
        if isinstance(matches, Mapping):
            names = {k.name: i for i, k in enumerate(self.keys)}
            listed: list[Match] = [None] * len(self.keys)
            for name, match in matches.items():
                listed[find(f"key of table {self.name}", name, names)] = match
        else:
            listed = list(matches)
            if len(listed) != len(self.keys):
                raise ControlError(
                    f"table {self.name} has {len(self.keys)} keys, {len(listed)} matches are given"
                )
        return tuple(self._one(m, k) for m, k in zip(listed, self.keys, strict=True))

    def _one(self, match: Match, key: ir.Key) -> tuple[int, int]:
        type_, what = key.expression.type, f"{self.name}: {key.name}"
        bits = width(type_)
        ones = (1 << bits) - 1
        if match is None:
            if key.match_kind == "exact":
                raise ControlError(f"{what}: an exact key needs a value")
            return (0, ones) if key.match_kind == "range" else (0, 0)
        if not isinstance(match, tuple):
            value = number(match, type_, what)
            full = bits if key.match_kind == "lpm" else ones
            return value, value if key.match_kind == "range" else full
        if key.match_kind == "exact":
            raise ControlError(f"{what}: an exact key takes one value")
        value = number(match[0], type_, what)
        if key.match_kind == "lpm":
            length = number(match[1], ir.BIT32, what)
            if length > bits:
                raise ControlError(f"{what}: a prefix of {length} bits in {bits} bits")
            return value & (ones ^ (ones >> length)), length
        second = number(match[1], type_, what)
        if key.match_kind == "range":
            if second < value:
                raise ControlError(f"{what}: the range {value}..{second} is empty")
            return value, second
        if key.match_kind == "optional" and second not in (0, ones):
            raise ControlError(f"{what}: an optional key matches a whole value or anything")
        return value & second, second

    def _identity(self, matches: tuple[tuple[int, int], ...], priority: int) -> tuple[object, ...]:
        return (matches, priority if self.needs_priority else 0)

    def _layout(
        self, matches: tuple[tuple[int, int], ...], priority: int
    ) -> tuple[list[int], list[int], list[int], int]:
        """Key, mask and high words, and the rank."""
        key: list[int] = []
        mask: list[int] = []
        high: list[int] = []
        rank = priority if self.declaration.largest_priority_wins else -priority
        if self.needs_priority:  # of equal priorities the first entry wins, as in bmv2
            rank = (rank << 31) - self._handle
        for (first, second), k in zip(matches, self.keys, strict=True):
            type_ = k.expression.type
            count, bits = words(width(type_)), width(type_)
            ones = (1 << bits) - 1
            key += to_words(first, type_)
            high += to_words(second if k.match_kind == "range" else 0, type_)
            if k.match_kind == "exact":
                mask += [_FULL if second or bits == 0 else 0] * count  # 0: a program's `_`
            elif k.match_kind == "range":
                mask += [0] * count
            elif k.match_kind == "lpm":
                mask += to_words(ones ^ (ones >> second), type_)
                if not self.needs_priority:
                    rank = second
            else:
                mask += to_words(second, type_)
        return key, mask, high, rank


class Profile:
    """An action profile or selector: members, and groups of members."""

    def __init__(self, switch: Any, index: int, extern: ir.ExternInstance, table: ir.Table) -> None:
        self._switch, self._index = switch, index
        self.name = extern.control_plane_name
        self.is_selector = extern.extern == "action_selector"
        self._calls = Calls(switch.ffi, table)
        self.members: dict[int, Action] = {}
        self.groups: dict[int, list[int]] = {}
        self._slots = Slots()
        self._group_slots = Slots()

    def slot(self, member: int) -> int:
        if member not in self._slots:
            raise NotFound(f"profile {self.name} has no member {member}")
        return self._slots[member]

    def member_of(self, slot: int) -> int:
        """The member in a slot of the runtime."""
        return self._slots.owner(slot)

    def group_of(self, slot: int) -> int:
        return self._group_slots.owner(slot)

    def group_slot(self, group: int) -> int:
        if group not in self._group_slots:
            raise NotFound(f"profile {self.name} has no group {group}")
        return self._group_slots[group]

    def set_member(self, member: int, action: str, arguments: Arguments = ()) -> None:
        """Makes or changes a member; entries and groups that use it follow."""
        chosen = self._calls.resolve(action, arguments)
        slot = self._slots.take(member)
        call, _data = self._calls.call(chosen)
        lib = self._switch.lib
        self._switch.checked(lib.wf_member(self._switch.handle, self._index, slot, call))
        self.members[member] = chosen

    def remove_member(self, member: int) -> None:
        slot = self.slot(member)
        users = [g for g, m in self.groups.items() if member in m]
        if users:
            raise ControlError(f"member {member} of {self.name} is in group {users[0]}")
        null = self._switch.ffi.NULL
        self._switch.lib.wf_member(self._switch.handle, self._index, slot, null)
        self._slots.free(member)
        del self.members[member]

    def set_group(self, group: int, members: Sequence[int]) -> None:
        """Makes or changes a group. A member that stands twice gets twice the share."""
        if not self.is_selector:
            raise ControlError(f"{self.name} is an action profile; groups need an action selector")
        slots = [self.slot(m) for m in members]
        place = self._group_slots.take(group)
        array = self._switch.ffi.new("uint32_t[]", slots or [0])
        lib = self._switch.lib
        self._switch.checked(
            lib.wf_group(self._switch.handle, self._index, place, array, len(slots))
        )
        self.groups[group] = list(members)

    def remove_group(self, group: int) -> None:
        self.set_group(group, [])
        self._group_slots.free(group)
        del self.groups[group]


class Slots:
    """Places in an array of the runtime, by what the control plane calls their owners."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._owners: dict[int, int] = {}
        self._freed: list[int] = []

    def __contains__(self, owner: int) -> bool:
        return owner in self._places

    def __getitem__(self, owner: int) -> int:
        return self._places[owner]

    def owner(self, place: int) -> int:
        return self._owners[place]

    def take(self, owner: int) -> int:
        """The owner's place, a free one if it has none yet."""
        if owner not in self._places:
            place = self._freed.pop() if self._freed else len(self._places)
            self._places[owner], self._owners[place] = place, owner
        return self._places[owner]

    def free(self, owner: int) -> None:
        place = self._places.pop(owner)
        del self._owners[place]
        self._freed.append(place)


def profile_tables(tables: Sequence[ir.Table], extern: ir.ExternInstance) -> list[ir.Table]:
    return [t for t in tables if implementation(t) is extern]
