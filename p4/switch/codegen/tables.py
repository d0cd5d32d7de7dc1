"""Tables: key words, lookup, and the call of the action that the entry names.

A table function computes the key (`Table.prologue` first), asks the runtime, and switches on the
action. Keys are words in the order of `keys`, selector fields left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from weft.p4.compiler import ir
from weft.p4.switch.codegen.body import Body
from weft.p4.switch.codegen.externs import algorithm
from weft.p4.switch.codegen.layout import CodegenError, is_scalar, width, words
from weft.p4.switch.codegen.packets import bit_string

KINDS = {
    "exact": "WF_EXACT", "lpm": "WF_LPM", "ternary": "WF_TERNARY", "optional": "WF_TERNARY",
    "range": "WF_RANGE",
}  # fmt: skip


def match_keys(table: ir.Table) -> list[ir.Key]:
    """The keys that entries match on."""
    return [k for k in table.keys if k.match_kind != "selector"]


def key_words(keys: list[ir.Key]) -> int:
    return sum(words(width(k.expression.type)) for k in keys)


def implementation(table: ir.Table) -> ir.ExternInstance | None:
    value = table.properties.get("implementation")
    return value if isinstance(value, ir.ExternInstance) else None


def selector_bits(profile: ir.ExternInstance) -> int:
    """How many bits of the selector's hash count."""
    value = profile.arguments.get("outputWidth")
    return min(64, value.value) if isinstance(value, ir.Const) else 64


def table_function(body: Body, index: int, table: ir.Table, prototype: str) -> None:
    """`int tb_<index>(pk, F, hit, run)`."""
    body.line(f"{prototype} {{")
    body.locals(table.locals)
    body.block(table.prologue)
    keys = match_keys(table)
    if keys:
        _key(body, keys)
        body.line(f"struct wf_entry *e_ = wf_lookup(pk->s, {index}, key_);")
    else:
        body.line("struct wf_entry *e_ = NULL;")
    body.line("*hit = e_ != NULL;")
    body.line(f"WF_TRACE(e_ ? WF_EVENT_TABLE : WF_EVENT_MISS, {index}, (uintptr_t)e_);")
    body.line("uint64_t hash_ = 0;")
    profile = implementation(table)
    if profile is not None and profile.extern == "action_selector":
        _selector(body, table, profile)
    body.line(f"const struct wf_action_call *call_ = wf_call_of(pk, {index}, e_, hash_);")
    body.line("if (!call_) return WF_DONE;")
    if any(isinstance(v, ir.ExternInstance) and v.extern.startswith("direct_")
           for v in table.properties.values()):  # fmt: skip
        body.line(f"wf_current(pk->s)[{index}] = e_;")
    body.line("*run = call_->target;")
    body.line(f"WF_TRACE(WF_EVENT_ACTION, {index}, call_->target);")
    body.line("const uint64_t *d_ = call_->data;")
    body.line("(void)d_;")
    body.line("switch (call_->target) {")
    for number, item in enumerate(table.actions):
        given = ["pk"] + (["F"] if id(item.action) in body.names.owners else [])
        position = 0
        for parameter in item.action.parameters:
            text = body.expressions.from_words("d_", position, parameter.type)
            cast = "" if width(parameter.type) > 128 else f"({body.layout.storage(parameter.type)})"
            given.append(f"{cast}{text}")
            position += words(width(parameter.type))
        body.line(f"case {number}: return fn_{item.action.unique_name}({', '.join(given)});")
    body.line("default: return WF_DONE;")
    body.line("}")
    body.line("}")


def _key(body: Body, keys: list[ir.Key]) -> None:
    parts: list[str] = []
    for key in keys:
        type_ = key.expression.type
        if key.match_kind not in KINDS:
            raise CodegenError(key.location, f"v1model has no match kind '{key.match_kind}'")
        if not is_scalar(type_):
            raise CodegenError(key.location, f"a key of this type cannot be matched: {key.name}")
        text = body.expressions.value(key.expression)
        if width(type_) > 64:
            name = body.fresh("k")
            body.line(f"{body.layout.computed(type_)} {name} = {text};")
            text = name
        parts += body.expressions.to_words(text, type_)
    body.line(f"const uint64_t key_[] = {{{', '.join(parts)}}};")


def _selector(body: Body, table: ir.Table, profile: ir.ExternInstance) -> None:
    """The hash that picks a member; computed only where the entry is a group."""
    fields = [k.expression for k in table.keys if k.match_kind == "selector"]
    type_ = ir.StructType(
        "selector", tuple(ir.Field(f"f{i}", e.type) for i, e in enumerate(fields)), is_tuple=True
    )
    body.line(f"if (wf_is_group(pk->s, e_, {_table_index(body, table)})) {{")
    buffer, bits = bit_string(body, ir.StructValue(tuple(fields), type_))
    method = algorithm(profile.arguments.get("algorithm"))
    body.line(f"hash_ = wf_hash(pk->s, {method}, {buffer}, {bits}, NULL, 0);")
    body.line(f"hash_ &= (uint64_t)wf_ones({selector_bits(profile)});")
    body.line("}")


def _table_index(body: Body, table: ir.Table) -> int:
    return next(i for i, t in enumerate(body.names.tables) if t is table)


def constant_words(e: ir.Expression) -> list[int]:
    """A constant scalar as words."""
    value = e.value if isinstance(e, ir.Const) else 0
    value &= (1 << width(e.type)) - 1
    return [(value >> (64 * i)) & 0xFFFFFFFFFFFFFFFF for i in range(words(width(e.type)))]


def description(index: int, table: ir.Table, profiles: Mapping[int, int]) -> tuple[str, str]:
    """Static data for `struct wf_table_info`: what stands before, and the initialiser."""
    position, keys = 0, []
    for key in match_keys(table):
        bits = width(key.expression.type)
        keys.append(f"{{{KINDS[key.match_kind]}, {bits}, {position}}}")
        position += words(bits)
    actions = [a.action for a in table.actions]
    number = next(i for i, a in enumerate(actions) if a is table.default_action.action)
    data = [w for a in table.default_action.arguments for w in constant_words(a)]
    before = (
        f"static const struct wf_key keys{index}[] = {{{', '.join(keys) or '{0, 0, 0}'}}};\n"
        f"static const uint64_t default{index}[] = "
        f"{{{', '.join(f'UINT64_C({w})' for w in data) or '0'}}};"
    )
    profile = implementation(table)
    place = profiles[id(profile)] if profile is not None else -1
    info = (
        f"{{{len(keys)}, {position}, keys{index}, {number}, {len(data)}, default{index}, {place}}}"
    )
    return before, info
