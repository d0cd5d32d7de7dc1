"""Functions, actions, parsers and controls as C functions.

All take the packet first. A control's variables live in a frame that its actions and tables share.
Scalar parameters come by value when they are only read, everything else by pointer.
"""

from __future__ import annotations

from collections.abc import Iterable

from weft.p4.compiler import ir
from weft.p4.switch.codegen.body import Body
from weft.p4.switch.codegen.expressions import Expressions
from weft.p4.switch.codegen.layout import Layout, is_scalar, width, words
from weft.p4.switch.codegen.tables import table_function

_WRITTEN = (ir.Direction.OUT, ir.Direction.INOUT)
_STATIC = "static __attribute__((unused)) int"


def by_value(parameter: ir.Variable) -> bool:
    return is_scalar(parameter.type) and parameter.direction not in _WRITTEN


def _passed(parameters: Iterable[ir.Variable]) -> list[ir.Variable]:
    return [p for p in parameters if not isinstance(p.type, ir.PacketType)]


def _declared(layout: Layout, parameter: ir.Variable, prefix: str = "v_") -> str:
    star = "" if by_value(parameter) else "*"
    return f"{layout.storage(parameter.type)} {star}{prefix}{parameter.unique_name}"


def _place(parameters: Iterable[ir.Variable], x: Expressions, prefix: str) -> None:
    for parameter in _passed(parameters):
        name = f"{prefix}{parameter.unique_name}"
        x.places[parameter] = name if by_value(parameter) else f"(*{name})"


def _signature(layout: Layout, parameters: Iterable[ir.Variable], *, frame: str = "") -> str:
    given = ["struct wf_packet *pk"]
    if frame:
        given.append(f"struct {frame} *F")
    given += [_declared(layout, p) for p in _passed(parameters)]
    return ", ".join(given)


def prototype(layout: Layout, item: ir.Function | ir.Action | ir.Parser | ir.Control,
              owner: ir.Control | None = None) -> str:  # fmt: skip
    frame = f"fr_{owner.unique_name}" if owner is not None else ""
    text = _signature(layout, item.parameters, frame=frame)
    if isinstance(item, ir.Function) and not isinstance(item.result_type, ir.VoidType):
        text += f", {layout.storage(item.result_type)} *result_"
    return f"{_STATIC} fn_{item.unique_name}({text})"


def table_prototype(index: int, owner: ir.Control) -> str:
    return (
        f"{_STATIC} tb_{index}(struct wf_packet *pk, struct fr_{owner.unique_name} *F, "
        "uint32_t *hit, uint32_t *run)"
    )


def frame(layout: Layout, control: ir.Control) -> str:
    """The struct with a control's parameters and variables."""
    fields = [f"{_declared(layout, p)};" for p in _passed(control.parameters)]
    fields += [f"{layout.storage(v.type)} v_{v.unique_name};" for v in control.locals]
    inner = " ".join(fields) or "uint8_t nothing;"
    return f"struct fr_{control.unique_name} {{ {inner} }};"


def function(body: Body, item: ir.Function | ir.Action, owner: ir.Control | None) -> None:
    _place(item.parameters, body.expressions, "v_")
    body.line(f"{prototype(body.layout, item, owner)} {{")
    if owner is not None:
        body.line("(void)F;")
    body.line("(void)pk;")
    body.locals(item.locals)
    body.block(item.body)
    body.line("return WF_DONE;")
    body.line("}")


def control(body: Body, item: ir.Control) -> None:
    _place(item.parameters, body.expressions, "F->v_")
    for variable in item.locals:
        body.expressions.places[variable] = f"F->v_{variable.unique_name}"
    for action in item.actions:
        function(body, action, item)
    for index, table in enumerate(body.names.tables):
        if any(table is own for own in item.tables):
            table_function(body, index, table, table_prototype(index, item))
    body.line(f"{prototype(body.layout, item)} {{")
    body.line(f"struct fr_{item.unique_name} frame_, *F = &frame_;")
    for parameter in _passed(item.parameters):
        body.line(f"F->v_{parameter.unique_name} = v_{parameter.unique_name};")
    body.line("(void)F;")
    body.block(item.body)
    body.line("return WF_DONE;")
    body.line("}")


# ---- parsers ----


def _cyclic(parser: ir.Parser) -> bool:
    """Does some path of states come back to where it was? (Kahn, CACM 1962, from the ends.)"""
    before: dict[str, list[str]] = {name: [] for name in parser.states}
    open_ways: dict[str, int] = {}
    for name, state in parser.states.items():
        ahead = {target for target in _targets(state) if target in parser.states}
        open_ways[name] = len(ahead)
        for target in ahead:
            before[target].append(name)
    ends = [name for name, ways in open_ways.items() if not ways]
    finished = 0
    while ends:
        finished += 1
        for name in before[ends.pop()]:
            open_ways[name] -= 1
            if not open_ways[name]:
                ends.append(name)
    return finished < len(parser.states)


def _targets(state: ir.State) -> list[str]:
    if isinstance(state.transition, ir.Goto):
        return [state.transition.target]
    return [case.target for case in state.transition.cases]


def parser(body: Body, item: ir.Parser) -> None:
    _place(item.parameters, body.expressions, "v_")
    body.line(f"{prototype(body.layout, item)} {{")
    body.locals(item.locals)
    body.block(item.prologue)
    body.line("goto st_start;")
    bounded = _cyclic(item)
    for state in item.states.values():
        number = len(body.names.states)
        body.names.states.append((item, state))
        body.line(f"st_{state.name}: __attribute__((unused));")
        if bounded:
            body.line("WF_STEP();")
        body.line(f"WF_TRACE(WF_EVENT_STATE, {number}, pk->at);")
        body.line("{")
        body.block(state.body)
        _transition(body, state.transition)
        body.line("}")
    body.line("}")


def _goto(target: str) -> str:
    if target == ir.ACCEPT:
        return "return WF_DONE;"
    return "return WF_REJECT;" if target == ir.REJECT else f"goto st_{target};"


def _transition(body: Body, transition: ir.Goto | ir.Select) -> None:
    if isinstance(transition, ir.Goto):
        body.line(_goto(transition.target))
        return
    x = body.expressions
    keys: list[ir.Expression] = []
    for key in transition.keys:
        holder = ir.Variable("key", body.fresh("k"), key.type, ir.VariableKind.TEMPORARY)
        body.locals([holder])
        body.store(ir.VarRef(holder, key.type), x.value(key))
        keys.append(ir.VarRef(holder, key.type))
    for case in transition.cases:
        tests = [
            test
            for pattern, key in zip(case.patterns, keys + keys[:1], strict=False)
            if (test := _matches(body, pattern, key, keys)) is not None
        ]
        body.line(f"if ({' && '.join(tests) or '1'}) {_goto(case.target)}")
        if not tests:
            return  # what follows can never be reached
    body.fail_if("1", "NoMatch")


def _matches(body: Body, pattern: ir.Pattern, key: ir.Expression, keys: list[ir.Expression]
             ) -> str | None:  # fmt: skip
    """The test of one pattern; None when it always matches."""
    x, type_ = body.expressions, key.type
    op = ir.BinaryOp
    value = x.value(key)
    match pattern:
        case ir.Any():
            return None
        case ir.Exact(value=wanted):
            return x.operate(op.EQ, value, x.value(wanted), type_)
        case ir.Masked(value=wanted, mask=mask):
            masked = [x.operate(op.AND, v, x.value(mask), type_) for v in (value, x.value(wanted))]
            return x.operate(op.EQ, masked[0], masked[1], type_)
        case ir.Range(low=low, high=high):
            above = x.operate(op.GE, value, x.value(low), type_)
            below = x.operate(op.LE, value, x.value(high), type_)
            return f"({above} && {below})"
    assert isinstance(pattern, ir.InValueSet)
    index = next(i for i, s in enumerate(body.names.sets) if s is pattern.value_set)
    parts = [w for k in keys for w in x.to_words(x.value(k), k.type)]
    count = sum(words(width(k.type)) for k in keys)
    return f"wf_in_set(pk->s, {index}, (const uint64_t[{count}]){{{', '.join(parts)}}})"
