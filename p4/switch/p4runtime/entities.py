"""P4Runtime entities to operations on the switch, and back (specification sections 9.1 to 9.9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from weft.p4 import protos
from weft.p4.compiler import ir
from weft.p4.switch.codegen.layout import is_signed, width
from weft.p4.switch.names import AlreadyExists, ControlError, NotFound
from weft.p4.switch.switch import Switch
from weft.p4.switch.tables import Action, Entry, Match, Table

INSERT, MODIFY, DELETE = 1, 2, 3  # Update.Type


class Unimplemented(ControlError):
    """An entity that this server does not have."""


def encode(value: int, type_: ir.Type) -> bytes:
    """The canonical binary string: as short as can be, at least one byte (section 8.4)."""
    bits = width(type_)
    if is_signed(type_) and bits and value >> (bits - 1):
        number = value - (1 << bits)
        return number.to_bytes((number + 1).bit_length() // 8 + 1, "big", signed=True)
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")


def decode(data: bytes, type_: ir.Type, what: str) -> int:
    """Any length is taken as long as the value fits (section 8.4, read-write symmetry)."""
    if not data:
        raise ControlError(f"{what}: an empty binary string")
    bits = width(type_)
    value = int.from_bytes(data, "big", signed=is_signed(type_))
    low = -(1 << (bits - 1)) if is_signed(type_) and bits else 0
    high = (1 << (bits - 1)) if is_signed(type_) and bits else 1 << bits
    if not low <= value < high:
        raise ControlError(f"{what}: {value:#x} does not fit into {bits} bits")
    return value & ((1 << bits) - 1)


class Entities:
    """Writes and reads for one switch and its P4Info."""

    def __init__(self, switch: Switch, info: Any) -> None:
        self._switch, self._info = switch, info
        self._names: dict[int, str] = {
            item.preamble.id: item.preamble.name
            for group in (
                info.tables, info.actions, info.action_profiles, info.counters,
                info.direct_counters, info.meters, info.direct_meters, info.registers,
                info.value_sets,
            )
            for item in group
        }  # fmt: skip
        self._ids = {(i >> 24, name): i for i, name in self._names.items()}
        self._infos = {t.preamble.id: t for t in info.tables}
        self._copies: dict[tuple[str, int], Any] = {}  # multicast groups and clone sessions

    def write(self, update: Any) -> None:
        """One update; raises `ControlError`."""
        kind = update.entity.WhichOneof("entity")
        writer = self._writers.get(kind or "")
        if writer is None:
            raise Unimplemented(f"entity '{kind}' cannot be written")
        writer(self, update.type, getattr(update.entity, kind))

    def read(self, entity: Any) -> Iterator[Any]:
        """All entities that the request's one stands for."""
        kind = entity.WhichOneof("entity")
        reader = self._readers.get(kind or "")
        if reader is None:
            raise Unimplemented(f"entity '{kind}' cannot be read")
        yield from reader(self, getattr(entity, kind))

    def _name(self, number: int, what: str) -> str:
        if number not in self._names:
            raise NotFound(f"there is no {what} with id {number:#010x}")
        return self._names[number]

    def _tables(self, number: int) -> list[tuple[int, Table]]:
        numbers = [number] if number else list(self._infos)
        return [(n, self._switch.tables[self._name(n, "table")]) for n in numbers]

    # ------------------------------------------------------------------------------ tables

    def _write_table(self, kind: int, entry: Any) -> None:
        table = self._switch.tables[self._name(entry.table_id, "table")]
        if entry.is_default_action:
            if kind != MODIFY:
                raise ControlError("the default action can only be modified")
            if entry.HasField("action"):
                table.set_default(**self._action(entry.action, table))
            else:
                declared = table.declaration.default_action
                values = [a.value for a in declared.arguments if isinstance(a, ir.Const)]
                table.set_default(declared.action.control_plane_name, values)
            return
        matches = self._matches(entry, table)
        found = table.find(matches, entry.priority)
        if kind == INSERT:
            if found is not None:
                raise AlreadyExists(f"table {table.name} has this entry")
            made = table.insert(
                matches, priority=entry.priority, idle_us=entry.idle_timeout_ns // 1000,
                **self._action(entry.action, table),
            )  # fmt: skip
            self._configure(entry, table, made)
            return
        if found is None:
            raise NotFound(f"table {table.name} has no such entry")
        if kind == DELETE:
            table.remove(found)
            return
        if entry.HasField("action"):
            table.modify(found, **self._action(entry.action, table))
        self._configure(entry, table, found)

    def _configure(self, entry: Any, table: Table, made: Entry) -> None:
        if entry.HasField("counter_data"):
            data = entry.counter_data
            table.set_counts(made, data.packet_count, data.byte_count)
        if entry.HasField("meter_config"):
            self._set_direct_meter(table, made, entry.meter_config)

    def _matches(self, entry: Any, table: Table) -> dict[str, Match]:
        fields = {f.id: f for f in self._infos[entry.table_id].match_fields}
        keys = {k.name: k for k in table.keys}
        found: dict[str, Match] = {}
        for match in entry.match:
            if match.field_id not in fields:
                raise ControlError(f"table {table.name} has no match field {match.field_id}")
            key = keys[fields[match.field_id].name]
            if key.name in found:
                raise ControlError(f"{table.name}: {key.name} is given twice")
            found[key.name] = self._match(match, key)
        missing = [k.name for k in table.keys if k.match_kind == "exact" and k.name not in found]
        if missing:
            raise ControlError(f"{table.name}: exact field {missing[0]} is missing")
        if table.needs_priority != (entry.priority > 0):
            need = "needs a priority above 0" if table.needs_priority else "takes no priority"
            raise ControlError(f"an entry of table {table.name} {need}")
        return found

    def _match(self, match: Any, key: ir.Key) -> Match:
        type_, what = key.expression.type, key.name
        kind = match.WhichOneof("field_match_type")
        if kind != key.match_kind:
            raise ControlError(f"{what} is matched by {key.match_kind}, not {kind}")
        if kind == "exact" or kind == "optional":
            return decode(getattr(match, kind).value, type_, what)
        if kind == "lpm":
            value, length = decode(match.lpm.value, type_, what), match.lpm.prefix_len
            if not 0 < length <= width(type_):
                raise ControlError(f"{what}: a prefix of {length} bits")
            if value & ((1 << (width(type_) - length)) - 1):
                raise ControlError(f"{what}: bits beyond the prefix are set")
            return value, length
        if kind == "range":
            return decode(match.range.low, type_, what), decode(match.range.high, type_, what)
        value, mask = (decode(d, type_, what) for d in (match.ternary.value, match.ternary.mask))
        if mask == 0 or value & ~mask:
            raise ControlError(f"{what}: not a canonical ternary match")
        return value, mask

    def _action(self, action: Any, table: Table) -> dict[str, Any]:
        """Arguments of `Table.insert` for a TableAction."""
        kind = action.WhichOneof("type")
        if kind == "action":
            return self._plain(action.action, table)
        if kind == "action_profile_member_id":
            return {"member": action.action_profile_member_id}
        if kind == "action_profile_group_id":
            return {"group": action.action_profile_group_id}
        raise Unimplemented(f"table {table.name}: action of kind '{kind}'")

    def _plain(self, action: Any, table: Table) -> dict[str, Any]:
        name = self._name(action.action_id, "action")
        declared = next(
            (a.action for a in table.declaration.actions if a.action.control_plane_name == name),
            None,
        )
        if declared is None:
            raise ControlError(f"table {table.name} has no action {name}")
        given = {p.param_id: p.value for p in action.params}
        if set(given) != set(range(1, len(declared.parameters) + 1)):
            raise ControlError(f"action {name} takes {len(declared.parameters)} parameters")
        values = [
            decode(given[i], p.type, f"{name}.{p.name}")
            for i, p in enumerate(declared.parameters, 1)
        ]
        return {"action": name, "arguments": values}

    def _read_table(self, wanted: Any) -> Iterator[Any]:
        for number, table in self._tables(wanted.table_id):
            if wanted.is_default_action:
                made = protos.message("p4.v1.Entity")()
                made.table_entry.table_id = number
                made.table_entry.is_default_action = True
                self._put_action(made.table_entry.action, table, table.default)
                yield made
                continue
            filters = {m.field_id: m for m in wanted.match}
            for entry in table.entries():
                made = protos.message("p4.v1.Entity")()
                self._put_entry(made.table_entry, number, table, entry)
                if wanted.HasField("counter_data"):
                    self._put_counts(made.table_entry.counter_data, table.counts(entry))
                same = {m.field_id: m for m in made.table_entry.match}
                if all(same.get(i) == m for i, m in filters.items()) and (
                    not wanted.priority or wanted.priority == entry.priority
                ):
                    yield made

    def idle(self) -> Iterator[tuple[tuple[int, int, int], Any]]:
        """Entries not hit for their time-out, by (table id, handle, time of the last hit)."""
        for number, table in self._tables(0):
            for entry in table.idle():
                made = protos.message("p4.v1.TableEntry")()
                self._put_entry(made, number, table, entry)
                yield (number, entry.handle, table.last_hit_us(entry)), made

    def _put_entry(self, message: Any, number: int, table: Table, entry: Entry) -> None:
        message.table_id = number
        message.priority = entry.priority if table.needs_priority else 0
        message.idle_timeout_ns = entry.idle_us * 1000
        fields = {f.name: f.id for f in self._infos[number].match_fields}
        for (first, second), key in zip(entry.matches, table.keys, strict=True):
            type_ = key.expression.type
            ones = (1 << width(type_)) - 1
            empty = (0, ones) if key.match_kind == "range" else (0, 0)
            if (first, second) == empty and width(type_):
                continue  # matches everything, so it is left out
            match = message.match.add()
            match.field_id = fields[key.name]
            if key.match_kind in ("exact", "optional"):
                getattr(match, key.match_kind).value = encode(first, type_)
            elif key.match_kind == "lpm":
                match.lpm.value, match.lpm.prefix_len = encode(first, type_), second
            elif key.match_kind == "range":
                match.range.low, match.range.high = encode(first, type_), encode(second, type_)
            else:
                match.ternary.value = encode(first, type_)
                match.ternary.mask = encode(second, type_)
        self._put_action(message.action, table, entry.action)

    def _put_action(self, message: Any, table: Table, action: Action) -> None:
        if action.member is not None and table.profile is not None:
            message.action_profile_member_id = table.profile.member_of(action.member)
        elif action.group is not None and table.profile is not None:
            message.action_profile_group_id = table.profile.group_of(action.group)
        else:
            self._put_plain(message.action, table.declaration, action)

    def _put_plain(self, message: Any, table: ir.Table, action: Action) -> None:
        message.action_id = self._ids[0x01, action.name]
        declared = next(
            a.action for a in table.actions if a.action.control_plane_name == action.name
        )
        for i, (p, value) in enumerate(zip(declared.parameters, action.arguments, strict=True), 1):
            item = message.params.add()
            item.param_id, item.value = i, encode(value, p.type)

    # --------------------------------------------------------------------- counters and meters

    def _put_counts(self, message: Any, counts: tuple[int, int]) -> None:
        message.packet_count, message.byte_count = counts

    def _direct_entry(self, message: Any) -> tuple[Table, Entry]:
        table = self._switch.tables[self._name(message.table_entry.table_id, "table")]
        matches = self._matches(message.table_entry, table)
        found = table.find(matches, message.table_entry.priority)
        if found is None:
            raise NotFound(f"table {table.name} has no such entry")
        return table, found

    def _write_direct_counter(self, kind: int, message: Any) -> None:
        table, entry = self._direct_entry(message)
        table.set_counts(entry, message.data.packet_count, message.data.byte_count)

    def _read_direct_counter(self, wanted: Any) -> Iterator[Any]:
        for number, table in self._tables(wanted.table_entry.table_id):
            chosen = table.entries()
            if wanted.table_entry.match:
                chosen = [self._direct_entry(wanted)[1]]
            for entry in chosen:
                made = protos.message("p4.v1.Entity")()
                target = made.direct_counter_entry
                self._put_entry(target.table_entry, number, table, entry)
                target.table_entry.ClearField("action")
                self._put_counts(target.data, table.counts(entry))
                yield made

    def _write_counter(self, kind: int, message: Any) -> None:
        counter = self._switch.counters[self._name(message.counter_id, "counter")]
        cells = [message.index.index] if message.HasField("index") else range(counter.size)
        for cell in cells:
            counter.write(cell, message.data.packet_count, message.data.byte_count)

    def _read_counter(self, wanted: Any) -> Iterator[Any]:
        names = [self._name(wanted.counter_id, "counter")] if wanted.counter_id else list(
            self._switch.counters
        )  # fmt: skip
        for name in names:
            counter = self._switch.counters[name]
            cells = [wanted.index.index] if wanted.HasField("index") else range(counter.size)
            for cell in cells:
                made = protos.message("p4.v1.Entity")()
                made.counter_entry.counter_id = self._ids[0x12, name]
                made.counter_entry.index.index = cell
                self._put_counts(made.counter_entry.data, counter.read(cell))
                yield made

    def _write_meter(self, kind: int, message: Any) -> None:
        meter = self._switch.meters[self._name(message.meter_id, "meter")]
        cells = [message.index.index] if message.HasField("index") else range(meter.size)
        config = message.config
        for cell in cells:
            if message.HasField("config"):
                meter.configure(cell, config.cir, config.cburst, config.pir, config.pburst)
            else:
                meter.reset(cell)

    def _write_direct_meter(self, kind: int, message: Any) -> None:
        table, entry = self._direct_entry(message)
        self._set_direct_meter(table, entry, message.config)

    def _set_direct_meter(self, table: Table, entry: Entry, config: Any) -> None:
        value = table.declaration.properties.get("meters")
        if not isinstance(value, ir.ExternInstance):
            raise ControlError(f"table {table.name} has no direct meter")
        self._switch.meters[value.control_plane_name].configure_entry(
            entry, config.cir, config.cburst, config.pir, config.pburst
        )

    def _write_register(self, kind: int, message: Any) -> None:
        register = self._switch.registers[self._name(message.register_id, "register")]
        cells = [message.index.index] if message.HasField("index") else range(register.size)
        value = decode(message.data.bitstring, register.scalar(), register.name)
        for cell in cells:
            register.write(cell, value)

    def _read_register(self, wanted: Any) -> Iterator[Any]:
        name = self._name(wanted.register_id, "register")
        register = self._switch.registers[name]
        type_ = register.scalar()
        cells = [wanted.index.index] if wanted.HasField("index") else range(register.size)
        for cell in cells:
            made = protos.message("p4.v1.Entity")()
            made.register_entry.register_id = wanted.register_id
            made.register_entry.index.index = cell
            value = register.read(cell)
            assert isinstance(value, int)
            made.register_entry.data.bitstring = encode(value & ((1 << width(type_)) - 1), type_)
            yield made

    # ------------------------------------------------------------------------- action profiles

    def _write_member(self, kind: int, message: Any) -> None:
        profile = self._switch.profiles[self._name(message.action_profile_id, "action profile")]
        number = message.member_id
        if kind == DELETE:
            profile.remove_member(number)
            return
        if (number in profile.members) != (kind == MODIFY):
            problem = NotFound if kind == MODIFY else AlreadyExists
            raise problem(f"member {number} of {profile.name}")
        table = next(t for t in self._switch.tables.values() if t.profile is profile)
        plain = self._plain(message.action, table)
        profile.set_member(number, plain["action"], plain["arguments"])

    def _read_member(self, wanted: Any) -> Iterator[Any]:
        for name, profile in self._switch.profiles.items():
            number = self._ids[0x11, name]
            table = next(t for t in self._switch.tables.values() if t.profile is profile)
            for member, action in profile.members.items():
                if wanted.action_profile_id not in (0, number):
                    continue
                if wanted.member_id not in (0, member):
                    continue
                made = protos.message("p4.v1.Entity")()
                target = made.action_profile_member
                target.action_profile_id, target.member_id = number, member
                self._put_plain(target.action, table.declaration, action)
                yield made

    def _write_group(self, kind: int, message: Any) -> None:
        profile = self._switch.profiles[self._name(message.action_profile_id, "action profile")]
        number = message.group_id
        if (number in profile.groups) != (kind != INSERT):
            problem = AlreadyExists if kind == INSERT else NotFound
            raise problem(f"group {number} of {profile.name}")
        if kind == DELETE:
            profile.remove_group(number)
            return
        members = [m.member_id for m in message.members for _ in range(max(1, m.weight))]
        profile.set_group(number, members)

    def _read_group(self, wanted: Any) -> Iterator[Any]:
        for name, profile in self._switch.profiles.items():
            number = self._ids[0x11, name]
            for group, members in profile.groups.items():
                if wanted.action_profile_id not in (0, number) or wanted.group_id not in (0, group):
                    continue
                made = protos.message("p4.v1.Entity")()
                target = made.action_profile_group
                target.action_profile_id, target.group_id = number, group
                for member in dict.fromkeys(members):
                    item = target.members.add()
                    item.member_id, item.weight = member, members.count(member)
                yield made

    # ---------------------------------------------------------------- replication, value sets

    def _write_replication(self, kind: int, message: Any) -> None:
        which = message.WhichOneof("type")
        if which is None:
            raise Unimplemented("a packet replication entry of no kind")
        entry = getattr(message, which)
        group = which == "multicast_group_entry"
        number = entry.multicast_group_id if group else entry.session_id
        if ((which, number) in self._copies) != (kind != INSERT):
            problem = AlreadyExists if kind == INSERT else NotFound
            raise problem(f"{which} {number}")
        copies = [] if kind == DELETE else [(_port(r), r.instance) for r in entry.replicas]
        if group:
            self._switch.multicast(number, copies)
        else:
            self._switch.clone_session(number, copies, length=entry.packet_length_bytes)
        if kind == DELETE:
            del self._copies[which, number]
        else:
            saved = protos.message("p4.v1.Entity")()
            saved.packet_replication_engine_entry.CopyFrom(message)
            self._copies[which, number] = saved

    def _read_replication(self, wanted: Any) -> Iterator[Any]:
        which = wanted.WhichOneof("type")
        number = 0
        if which == "multicast_group_entry":
            number = wanted.multicast_group_entry.multicast_group_id
        elif which == "clone_session_entry":
            number = wanted.clone_session_entry.session_id
        for (kind, index), saved in self._copies.items():
            if which in (None, kind) and number in (0, index):
                yield saved

    def _write_value_set(self, kind: int, message: Any) -> None:
        if kind != MODIFY:
            raise ControlError("a value set can only be modified")
        target = self._switch.value_sets[self._name(message.value_set_id, "value set")]
        target.set([[_field(m) for m in member.match] for member in message.members])

    def _write_digest(self, kind: int, message: Any) -> None:
        """Digests are always sent one by one; the configuration changes nothing."""

    _writers: dict[str, Callable[[Entities, int, Any], None]] = {  # noqa: RUF012
        "table_entry": _write_table, "direct_counter_entry": _write_direct_counter,
        "counter_entry": _write_counter, "meter_entry": _write_meter,
        "direct_meter_entry": _write_direct_meter, "register_entry": _write_register,
        "action_profile_member": _write_member, "action_profile_group": _write_group,
        "packet_replication_engine_entry": _write_replication,
        "value_set_entry": _write_value_set, "digest_entry": _write_digest,
    }  # fmt: skip
    _readers: dict[str, Callable[[Entities, Any], Iterator[Any]]] = {  # noqa: RUF012
        "table_entry": _read_table, "direct_counter_entry": _read_direct_counter,
        "counter_entry": _read_counter, "register_entry": _read_register,
        "action_profile_member": _read_member, "action_profile_group": _read_group,
        "packet_replication_engine_entry": _read_replication,
    }  # fmt: skip


def _port(replica: Any) -> int:
    """`egress_port` is a number, or bytes in `port` (since 1.4)."""
    if replica.WhichOneof("port_kind") == "port":
        return int.from_bytes(replica.port, "big")
    return int(replica.egress_port)


def _field(match: Any) -> bytes | tuple[int, int]:
    kind = match.WhichOneof("field_match_type")
    if kind == "exact":
        return bytes(match.exact.value)
    if kind == "lpm":
        return int.from_bytes(match.lpm.value, "big"), match.lpm.prefix_len
    if kind == "range":
        low, high = match.range.low, match.range.high
        return int.from_bytes(low, "big"), int.from_bytes(high, "big")
    value, mask = match.ternary.value, match.ternary.mask
    return int.from_bytes(value, "big"), int.from_bytes(mask, "big")
