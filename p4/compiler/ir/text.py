"""The IR as text, for people and for tests: `weft p4 ir` prints it."""

from __future__ import annotations

from collections.abc import Iterator

from weft.p4.compiler import ir
from weft.p4.compiler.ir.walk import blocks


def program_text(program: ir.Program) -> str:
    """Functions, then every parser and control instance."""
    lines: list[str] = []
    for function in program.functions:
        lines.append(f"function {function.unique_name}({_parameters(function.parameters)})")
        lines += _block(function.body, 1)
    for action in program.actions:
        lines += _action(action, 0)
    for block in blocks(program):
        lines.append("")
        lines += _parser(block) if isinstance(block, ir.Parser) else _control(block)
    return "\n".join(lines).strip("\n") + "\n"


def _indent(depth: int, text_: str) -> str:
    return "    " * depth + text_


def _parameters(parameters: tuple[ir.Variable, ...]) -> str:
    return ", ".join(
        f"{p.direction.value} {type_text(p.type)} {p.unique_name}".strip() for p in parameters
    )


def _action(action: ir.Action, depth: int) -> list[str]:
    head = f"action {action.unique_name}({_parameters(action.parameters)})"
    return [_indent(depth, head), *_block(action.body, depth + 1)]


def _parser(parser: ir.Parser) -> list[str]:
    lines = [f"parser {parser.control_plane_name}({_parameters(parser.parameters)})"]
    lines += _block(parser.prologue, 1)
    for state in parser.states.values():
        lines.append(_indent(1, f"state {state.name}"))
        lines += _block(state.body, 2)
        transition = state.transition
        if isinstance(transition, ir.Goto):
            lines.append(_indent(2, f"goto {transition.target}"))
            continue
        lines.append(_indent(2, f"select ({', '.join(map(text, transition.keys))})"))
        for case in transition.cases:
            patterns = ", ".join(map(pattern_text, case.patterns))
            lines.append(_indent(3, f"{patterns}: {case.target}"))
    return lines


def _control(control: ir.Control) -> list[str]:
    lines = [f"control {control.control_plane_name}({_parameters(control.parameters)})"]
    for action in control.actions:
        lines += _action(action, 1)
    for table in control.tables:
        lines += _table(table)
    return [*lines, _indent(1, "apply"), *_block(control.body, 2)]


def _table(table: ir.Table) -> list[str]:
    lines = [_indent(1, f"table {table.control_plane_name}"), *_block(table.prologue, 2)]
    for key in table.keys:
        lines.append(_indent(2, f"key {text(key.expression)}: {key.match_kind} as {key.name}"))
    lines.append(_indent(2, "actions " + ", ".join(a.action.unique_name for a in table.actions)))
    lines.append(_indent(2, f"default {_call(table.default_action)}"))
    for entry in table.entries:
        patterns = ", ".join(map(pattern_text, entry.patterns))
        lines.append(_indent(2, f"entry {entry.priority}: {patterns}: {_call(entry.call)}"))
    return lines


def _call(call: ir.ActionCall) -> str:
    return f"{call.action.unique_name}({', '.join(map(text, call.arguments))})"


def _block(block: ir.Block, depth: int) -> list[str]:
    return [_indent(depth + more, line) for s in block for more, line in _statement(s)]


def _nested(block: ir.Block) -> Iterator[tuple[int, str]]:
    for statement in block:
        for depth, line in _statement(statement):
            yield depth + 1, line


def _statement(s: ir.Statement) -> Iterator[tuple[int, str]]:
    match s:
        case ir.If(condition=condition, then=then, otherwise=otherwise):
            yield 0, f"if {text(condition)}"
            yield from _nested(then)
            if otherwise:
                yield 0, "else"
                yield from _nested(otherwise)
        case ir.Switch(subject=subject, cases=cases):
            yield 0, f"switch {text(subject)}"
            for case in cases:
                yield 1, "case " + (", ".join(map(text, case.labels)) or "default")
                for depth, line in _nested(case.body):
                    yield depth + 1, line
        case ir.Loop(head=head, condition=condition, body=body, step=step):
            yield 0, "loop"
            yield from _nested(head)
            yield 0, f"while {text(condition)}"
            yield from _nested(body)
            yield 0, "step"
            yield from _nested(step)
        case ir.Call(copy_out=copy_out):
            yield 0, _simple(s)
            if copy_out:
                yield 0, "copy out"
                yield from _nested(copy_out)
        case _:
            yield 0, _simple(s)


def _simple(s: ir.Statement) -> str:
    match s:
        case ir.Assign(target=target, value=value):
            return f"{text(target)} = {text(value)}"
        case ir.SetValid(header=header, valid=valid):
            return f"{text(header)}.{'setValid' if valid else 'setInvalid'}()"
        case ir.IncrementNextIndex(stack=stack):
            return f"{text(stack)}.nextIndex += 1"
        case ir.PushFront(stack=stack, count=count):
            return f"{text(stack)}.push_front({count})"
        case ir.PopFront(stack=stack, count=count):
            return f"{text(stack)}.pop_front({count})"
        case ir.Return(value=value):
            return "return" if value is None else f"return {text(value)}"
        case ir.Call(callee=callee, arguments=arguments, result=result):
            return _assigned(result, f"{callee.unique_name}({_arguments(arguments)})")
        case ir.ExternCall(instance=instance, method=method, arguments=arguments, result=result):
            name = f"{instance.unique_name}.{method}" if instance is not None else method
            return _assigned(result, f"{name}({_arguments(arguments)})")
        case ir.ApplyTable(table=table, hit=hit, action_run=action_run):
            return _assigned(hit or action_run, f"apply {table.unique_name}")
        case ir.Extract(header=header, varbit_size=size):
            return f"extract {text(header)}" + (f", {text(size)}" if size is not None else "")
        case ir.Lookahead(target=target):
            return f"{text(target)} = lookahead"
        case ir.Advance(bits=bits):
            return f"advance {text(bits)}"
        case ir.PacketLength(target=target):
            return f"{text(target)} = packet length"
        case ir.Emit(header=header):
            return f"emit {text(header)}"
        case ir.Verify(condition=condition, error=error):
            return f"verify {text(condition)}, error {text(error)}"
    return type(s).__name__.lower()  # exit, break, continue


def _assigned(target: ir.Expression | None, call: str) -> str:
    return call if target is None else f"{text(target)} = {call}"


def _arguments(arguments: tuple[ir.Argument, ...]) -> str:
    return ", ".join(f"{a.direction.value} {text(a.value)}".strip() for a in arguments)


def pattern_text(pattern: ir.Pattern) -> str:
    match pattern:
        case ir.Any():
            return "_"
        case ir.Exact(value=value):
            return text(value)
        case ir.Masked(value=value, mask=mask):
            return f"{text(value)} &&& {text(mask)}"
        case ir.Range(low=low, high=high):
            return f"{text(low)}..{text(high)}"
        case ir.InValueSet(value_set=value_set):
            return value_set.name


def type_text(type_: ir.Type) -> str:
    match type_:
        case ir.BitsType(width=width, signed=signed):
            return f"{'int' if signed else 'bit'}<{width}>"
        case ir.VarbitType(max_width=width):
            return f"varbit<{width}>"
        case ir.StackType(element=element, size=size):
            return f"{element.name}[{size}]"
        case ir.BoolType():
            return "bool"
        case ir.ErrorType():
            return "error"
        case ir.StringType():
            return "string"
        case ir.VoidType():
            return "void"
    return type_.name


def text(e: ir.Expression) -> str:
    """An expression in source-like form."""
    match e:
        case ir.Const(value=value, type=type_):
            if isinstance(type_, ir.BoolType):
                return "true" if value else "false"
            if isinstance(type_, ir.EnumType) and type_.underlying is None:
                return type_.members[value]
            return hex(value) if value > 9 else str(value)
        case ir.StringConst(value=string):
            return f'"{string}"'
        case ir.ZeroValue(type=type_):
            return f"zero {type_text(type_)}"
        case ir.VarRef(variable=variable):
            return variable.unique_name
        case ir.Member(base=base, field=name):
            return f"{text(base)}.{name}"
        case ir.Index(base=base, index=index):
            return f"{text(base)}[{text(index)}]"
        case ir.NextIndex(stack=stack):
            return f"{text(stack)}.nextIndex"
        case ir.Slice(base=base, high=high, low=low):
            return f"{_tight(base)}[{high}:{low}]"
        case ir.Unary(op=op, operand=operand):
            return f"{op.value}{_tight(operand)}"
        case ir.Binary(op=op, left=left, right=right):
            return f"{_tight(left)} {op.value} {_tight(right)}"
        case ir.Mux(condition=condition, then=then, otherwise=otherwise):
            return f"{_tight(condition)} ? {_tight(then)} : {_tight(otherwise)}"
        case ir.Cast(operand=operand, type=type_):
            return f"({type_text(type_)}){_tight(operand)}"
        case ir.IsValid(header=header):
            return f"{text(header)}.isValid()"
        case ir.InstanceRef(instance=instance):
            return instance.unique_name
        case ir.StructValue(fields=parts) | ir.StackValue(elements=parts):
            return "{ " + ", ".join(map(text, parts)) + " }"


def _tight(e: ir.Expression) -> str:
    return f"({text(e)})" if isinstance(e, ir.Binary | ir.Mux) else text(e)
