"""P4Info: the control-plane view of a program, as P4Runtime defines it (p4/config/v1/p4info.proto).

Input: IR. Output: the protobuf message. Ids are stable: the object's kind in the high byte, a hash
of its name in the rest (section 6.3 of the P4Runtime specification); `@id` overrides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from weft.p4 import protos
from weft.p4.compiler import ir
from weft.p4.compiler.ir.walk import blocks, statements
from weft.p4.protos import enum

# Kinds (P4Ids.Prefix).
ACTION, TABLE, VALUE_SET, CONTROLLER_HEADER = 0x01, 0x02, 0x03, 0x04
ACTION_PROFILE, COUNTER, DIRECT_COUNTER, METER = 0x11, 0x12, 0x13, 0x14
DIRECT_METER, REGISTER, DIGEST = 0x15, 0x16, 0x17

DEFAULT_TABLE_SIZE = 1024

_MATCH_TYPES = {
    "exact": "EXACT", "lpm": "LPM", "ternary": "TERNARY", "range": "RANGE", "optional": "OPTIONAL"
}  # fmt: skip


def p4info(program: ir.Program) -> Any:
    """The program's `p4.config.v1.P4Info` message."""
    return _Writer(program).write()


def hash_name(name: str) -> int:
    """Jenkins' one-at-a-time hash, which spreads ids over 24 bits."""
    value = 0
    for byte in name.encode():
        value = (value + byte) & 0xFFFFFFFF
        value = (value + (value << 10)) & 0xFFFFFFFF
        value ^= value >> 6
    value = (value + (value << 3)) & 0xFFFFFFFF
    value ^= value >> 11
    return (value + (value << 15)) & 0xFFFFFFFF


class _Ids:
    def __init__(self) -> None:
        self._taken: set[int] = set()
        self._given: dict[tuple[int, str], int] = {}

    def of(self, kind: int, name: str, annotations: Iterable[ir.Annotation] = ()) -> int:
        known = self._given.get((kind, name))
        if known is not None:
            return known
        chosen = next((a.values[0] for a in annotations if a.name == "id" and a.values), None)
        if isinstance(chosen, int):
            number = chosen if chosen >> 24 else kind << 24 | chosen
        else:
            suffix = hash_name(name) & 0xFFFFFF
            while kind << 24 | suffix in self._taken or suffix == 0:
                suffix = (suffix + 1) & 0xFFFFFF
            number = kind << 24 | suffix
        self._taken.add(number)
        self._given[kind, name] = number
        return number


def _width(type_: ir.Type) -> int:
    match type_:
        case ir.BitsType(width=width):
            return width
        case ir.BoolType():
            return 1
        case ir.EnumType(underlying=ir.BitsType(width=width)):
            return width
        case ir.EnumType() | ir.ErrorType():
            return 32
        case ir.VarbitType(max_width=width):
            return width
    return 0


class _Writer:
    def __init__(self, program: ir.Program) -> None:
        self._program = program
        self._ids = _Ids()
        self._info: Any = protos.message("p4.config.v1.P4Info")()
        self._blocks = list(blocks(program))
        self._externs = [*program.externs, *(e for b in self._blocks for e in b.externs)]
        self._tables = [x for b in self._blocks if isinstance(b, ir.Control) for x in b.tables]
        self._names: list[str] = []

    def write(self) -> Any:
        package = self._program.main.type_name
        self._info.pkg_info.arch = "v1model" if package == "V1Switch" else package.lower()
        actions = self._actions()
        self._names = [
            *(t.control_plane_name for t in self._tables),
            *(a.control_plane_name for a in actions),
            *(e.control_plane_name for e in self._externs),
        ]
        for table in self._tables:
            self._table(table)
        for action in actions:
            self._action(action)
        for extern in self._externs:
            self._extern(extern)
        for block in self._blocks:
            if isinstance(block, ir.Parser):
                for value_set in block.value_sets:
                    self._value_set(value_set)
        self._packet_metadata()
        self._digests()
        return self._info

    # ----------------------------------------------------------------------------- shared

    def _actions(self) -> list[ir.Action]:
        """Every action that a table uses, wrappers of one action once."""
        found: dict[str, ir.Action] = {}
        for table in self._tables:
            for item in table.actions:
                found.setdefault(item.action.control_plane_name, item.action)
        return list(found.values())

    def _preamble(
        self, message: Any, kind: int, name: str, annotations: Iterable[ir.Annotation]
    ) -> None:
        annotations = list(annotations)
        message.preamble.id = self._ids.of(kind, name, annotations)
        message.preamble.name = name
        message.preamble.alias = self._alias(name)
        for annotation in annotations:
            if annotation.name not in ("name", "id"):
                message.preamble.annotations.append(_annotation(annotation))

    def _alias(self, name: str) -> str:
        """The shortest suffix of whole components that no other object shares."""
        parts = name.split(".")
        for length in range(1, len(parts)):
            suffix = ".".join(parts[-length:])
            rivals = {n for n in self._names if n == suffix or n.endswith("." + suffix)}
            if rivals <= {name}:
                return suffix
        return name

    def _typed(self, message: Any, type_: ir.Type, type_name: str | None) -> None:
        """bitwidth and type name, translated types at the width the controller sees."""
        message.bitwidth = _width(type_)
        new = self._program.new_types.get(type_name or "")
        if new is None:
            return
        message.type_name.name = new.name
        self._new_type(new)
        translation = next((a for a in new.annotations if a.name == "p4runtime_translation"), None)
        if translation is not None and len(translation.values) == 2:
            width = translation.values[1]
            message.bitwidth = width if isinstance(width, int) else 0

    def _new_type(self, new: ir.NewType) -> None:
        spec = self._info.type_info.new_types[new.name]
        for annotation in new.annotations:
            if annotation.name == "p4runtime_translation" and len(annotation.values) == 2:
                uri, width = annotation.values
                spec.translated_type.uri = str(uri)
                if isinstance(width, int):
                    spec.translated_type.sdn_bitwidth = width
                else:
                    spec.translated_type.sdn_string.SetInParent()
                return
        spec.original_type.CopyFrom(self._spec(new.underlying))

    # ----------------------------------------------------------------------------- tables

    def _table(self, table: ir.Table) -> None:
        message = self._info.tables.add()
        self._preamble(message, TABLE, table.control_plane_name, table.annotations)
        message.size = table.size if table.size is not None else DEFAULT_TABLE_SIZE
        number = 0
        for key in table.keys:
            if key.match_kind == "selector":
                continue
            number += 1
            field = message.match_fields.add()
            field.id = number
            field.name = key.name
            self._typed(field, key.expression.type, key.type_name)
            if key.match_kind in _MATCH_TYPES:
                field.match_type = enum("p4.config.v1.MatchField.MatchType")[
                    _MATCH_TYPES[key.match_kind]
                ]
            else:
                field.other_match_type = key.match_kind
        for item in table.actions:
            self._action_reference(message, item)
        if table.default_is_const:
            message.const_default_action_id = self._action_id(table.default_action.action)
        self._table_resources(message, table)
        message.is_const_table = bool(table.entries) and table.entries_are_const
        message.has_initial_entries = bool(table.entries)

    def _action_id(self, action: ir.Action) -> int:
        return self._ids.of(ACTION, action.control_plane_name, action.annotations)

    def _action_reference(self, message: Any, item: ir.TableAction) -> None:
        reference = message.action_refs.add()
        reference.id = self._action_id(item.action)
        if item.table_only:
            reference.scope = enum("p4.config.v1.ActionRef.Scope")["TABLE_ONLY"]
        if item.default_only:
            reference.scope = enum("p4.config.v1.ActionRef.Scope")["DEFAULT_ONLY"]
        for annotation in item.annotations:
            if annotation.name not in ("tableonly", "defaultonly"):
                reference.annotations.append(_annotation(annotation))

    def _table_resources(self, message: Any, table: ir.Table) -> None:
        for name, value in table.properties.items():
            if isinstance(value, ir.ExternInstance):
                kind = _KINDS.get(value.extern)
                if kind is None:
                    continue
                number = self._ids.of(kind, value.control_plane_name, value.annotations)
                if kind == ACTION_PROFILE:
                    message.implementation_id = number
                elif kind in (DIRECT_COUNTER, DIRECT_METER):
                    message.direct_resource_ids.append(number)
            elif name == "support_timeout" and isinstance(value, ir.Const) and value.value:
                behaviour = enum("p4.config.v1.Table.IdleTimeoutBehavior")["NOTIFY_CONTROL"]
                message.idle_timeout_behavior = behaviour

    def _action(self, action: ir.Action) -> None:
        message = self._info.actions.add()
        self._preamble(message, ACTION, action.control_plane_name, action.annotations)
        for number, parameter in enumerate(action.parameters, 1):
            field = message.params.add()
            field.id = number
            field.name = parameter.control_plane_name
            self._typed(field, parameter.type, parameter.type_name)
            for annotation in parameter.annotations:
                field.annotations.append(_annotation(annotation))

    # ----------------------------------------------------------------------------- externs

    def _extern(self, extern: ir.ExternInstance) -> None:
        kind = _KINDS.get(extern.extern)
        if kind is None:
            return
        lists = {
            ACTION_PROFILE: self._info.action_profiles, COUNTER: self._info.counters,
            DIRECT_COUNTER: self._info.direct_counters, METER: self._info.meters,
            DIRECT_METER: self._info.direct_meters, REGISTER: self._info.registers,
        }  # fmt: skip
        message = lists[kind].add()
        self._preamble(message, kind, extern.control_plane_name, extern.annotations)
        size = _constant(extern.arguments, "size")
        unit = _member(extern.arguments, "type")
        if kind == ACTION_PROFILE:
            message.size = size
            message.with_selector = extern.extern == "action_selector"
            users = [t for t in self._tables if extern in t.properties.values()]
            for table in users:
                message.table_ids.append(
                    self._ids.of(TABLE, table.control_plane_name, table.annotations)
                )
            limit = next((a for a in extern.annotations if a.name == "max_group_size"), None)
            if limit is not None and limit.values and isinstance(limit.values[0], int):
                message.max_group_size = limit.values[0]
        elif kind in (COUNTER, DIRECT_COUNTER):
            units = {"packets": "PACKETS", "bytes": "BYTES", "packets_and_bytes": "BOTH"}
            message.spec.unit = enum("p4.config.v1.CounterSpec.Unit")[units.get(unit, "PACKETS")]
        elif kind in (METER, DIRECT_METER):
            units = {"packets": "PACKETS", "bytes": "BYTES"}
            message.spec.unit = enum("p4.config.v1.MeterSpec.Unit")[units.get(unit, "PACKETS")]
        else:
            message.type_spec.CopyFrom(self._spec(extern.type_arguments[0]))
        if kind in (COUNTER, METER, REGISTER):
            message.size = size
        if kind in (DIRECT_COUNTER, DIRECT_METER):
            for table in self._tables:
                if extern in table.properties.values():
                    message.direct_table_id = self._ids.of(
                        TABLE, table.control_plane_name, table.annotations
                    )

    def _value_set(self, value_set: ir.ValueSet) -> None:
        message = self._info.value_sets.add()
        self._preamble(message, VALUE_SET, value_set.control_plane_name, value_set.annotations)
        message.size = value_set.size
        for number, key in enumerate(value_set.keys, 1):
            field = message.match.add()
            field.id = number
            field.name = key.name
            self._typed(field, key.type, key.type_name)
            kind = next((a.values[0] for a in key.annotations if a.name == "match"), "exact")
            field.match_type = enum("p4.config.v1.MatchField.MatchType")[
                _MATCH_TYPES.get(str(kind), "EXACT")
            ]

    # ------------------------------------------------------------- packets, digests, types

    def _packet_metadata(self) -> None:
        for type_ in self._program.types:
            if not isinstance(type_, ir.HeaderType):
                continue
            mark = next((a for a in type_.annotations if a.name == "controller_header"), None)
            if mark is None or not mark.values:
                continue
            message = self._info.controller_packet_metadata.add()
            name = str(mark.values[0])
            self._preamble(message, CONTROLLER_HEADER, name, type_.annotations)
            for number, field in enumerate(type_.fields, 1):
                item = message.metadata.add()
                item.id = number
                item.name = field.name
                self._typed(item, field.type, field.type_name)

    def _digests(self) -> None:
        seen: set[str] = set()
        for block in self._blocks:
            for call in _extern_calls(block):
                if call.method != "digest" or not call.type_arguments:
                    continue
                type_ = call.type_arguments[0]
                name = getattr(type_, "name", "digest")
                if name in seen:
                    continue
                seen.add(name)
                message = self._info.digests.add()
                self._preamble(message, DIGEST, name, ())
                message.type_spec.CopyFrom(self._spec(type_))

    def _spec(self, type_: ir.Type) -> Any:
        """The `P4DataTypeSpec` of a type; named types are described in type_info too."""
        spec: Any = protos.message("p4.config.v1.P4DataTypeSpec")()
        match type_:
            case ir.BitsType(width=width, signed=signed):
                kind = spec.bitstring.int if signed else spec.bitstring.bit
                kind.bitwidth = width
            case ir.BoolType():
                spec.bool.SetInParent()
            case ir.VarbitType(max_width=width):
                spec.bitstring.varbit.max_bitwidth = width
            case ir.ErrorType():
                spec.error.SetInParent()
                if not self._info.type_info.HasField("error"):
                    self._info.type_info.error.members.extend(self._program.errors)
            case ir.EnumType():
                self._enum(spec, type_)
            case ir.StructType(is_tuple=True):
                for field in type_.fields:
                    spec.tuple.members.append(self._spec(field.type))
            case ir.StructType():
                spec.struct.name = type_.name
                self._members(self._info.type_info.structs, type_)
            case ir.HeaderType():
                spec.header.name = type_.name
                self._header(type_)
            case ir.HeaderUnionType():
                spec.header_union.name = type_.name
            case ir.StackType(element=element, size=size):
                spec.header_stack.header.name = element.name
                spec.header_stack.size = size
        return spec

    def _enum(self, spec: Any, type_: ir.EnumType) -> None:
        info = self._info.type_info
        if type_.underlying is None:
            spec.enum.name = type_.name
            if type_.name not in info.enums:
                for member in type_.members:
                    info.enums[type_.name].members.add().name = member
            return
        spec.serializable_enum.name = type_.name
        if type_.name not in info.serializable_enums:
            entry = info.serializable_enums[type_.name]
            entry.underlying_type.bitwidth = type_.underlying.width
            length = (type_.underlying.width + 7) // 8
            for name, value in zip(type_.members, type_.values, strict=True):
                item = entry.members.add()
                item.name = name
                item.value = (value % (1 << type_.underlying.width)).to_bytes(length, "big")

    def _members(self, described: Any, type_: ir.StructType) -> None:
        if type_.name in described:
            return
        entry = described[type_.name]
        for field in type_.fields:
            member = entry.members.add()
            member.name = field.name
            member.type_spec.CopyFrom(self._spec(field.type))

    def _header(self, type_: ir.HeaderType) -> None:
        described = self._info.type_info.headers
        if type_.name in described:
            return
        entry = described[type_.name]
        for field in type_.fields:
            member = entry.members.add()
            member.name = field.name
            member.type_spec.CopyFrom(self._spec(field.type).bitstring)


_KINDS = {
    "action_profile": ACTION_PROFILE, "action_selector": ACTION_PROFILE, "counter": COUNTER,
    "direct_counter": DIRECT_COUNTER, "meter": METER, "direct_meter": DIRECT_METER,
    "register": REGISTER,
}  # fmt: skip


def _constant(arguments: Mapping[str, ir.Expression | ir.ExternInstance], name: str) -> int:
    value = arguments.get(name)
    return value.value if isinstance(value, ir.Const) else 0


def _member(arguments: Mapping[str, ir.Expression | ir.ExternInstance], name: str) -> str:
    value = arguments.get(name)
    if isinstance(value, ir.Const) and isinstance(value.type, ir.EnumType):
        return value.type.members[value.value]
    return ""


def _annotation(annotation: ir.Annotation) -> str:
    if not annotation.values:
        return f"@{annotation.name}"
    values = ", ".join(f'"{v}"' if isinstance(v, str) else str(v) for v in annotation.values)
    return f"@{annotation.name}({values})"


def _extern_calls(block: ir.Parser | ir.Control) -> Iterator[ir.ExternCall]:
    bodies: list[ir.Block] = []
    if isinstance(block, ir.Control):
        bodies = [block.body, *(a.body for a in block.actions)]
    else:
        bodies = [s.body for s in block.states.values()]
    for body in bodies:
        for statement in statements(body):
            if isinstance(statement, ir.ExternCall):
                yield statement
