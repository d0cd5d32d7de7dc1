"""Implicit conversions and type inference (specification 1.2.5, sections 8.11.2, 8.12 and 8.21).

`convert` gives the expression as a value of the wanted type, with an `ImplicitCast` around it where
one is needed, or None when there is no implicit conversion. `unify` binds the type parameters of
a generic thing so that an argument fits its parameter.
"""

from __future__ import annotations

from weft.p4.compiler import ast, values
from weft.p4.compiler import types as t
from weft.p4.compiler.diagnostics import Diagnostics


def convert(e: ast.Expression, target: t.Type, d: Diagnostics) -> ast.Expression | None:
    source = e.type
    if source == target or isinstance(source, t.Unknown) or isinstance(target, t.Unknown):
        return e
    match source, target:
        case t.Int(), t.Bits():
            return _sized(e, target, d)
        case t.Enum(_, underlying), t.Bits() if underlying == target:
            return _implicit(e, target)
        case t.Literal(), _:
            return _from_list(e, target, d)
        case t.Record(), t.Struct():
            return _from_record(e, target, d)
        case t.InvalidHeader(), t.Struct() if target.kind != "struct":
            return _implicit(e, target)
        case t.Dots(), _:
            return _implicit(e, target)
        case t.Set(element), t.Set(wanted):
            return e if _set_fits(element, wanted) else None
    return None


def _implicit(e: ast.Expression, target: t.Type) -> ast.Expression:
    cast = ast.ImplicitCast(e.location, e)
    cast.type, cast.is_static = target, e.is_static
    if e.value is not None:
        cast.value = values.cast(e.value, e.type, target)
    return cast


def _sized(e: ast.Expression, target: t.Bits, d: Diagnostics) -> ast.Expression:
    value = e.value
    if isinstance(value, int) and not values.fits(value, target):
        low, high = values.bounds(target)
        d.warning(
            e.location,
            f"{values.shown(value)} does not fit {target} "
            f"({values.shown(low)}..{values.shown(high)}) and is truncated",
        )
    return _implicit(e, target)


def _set_fits(element: t.Type, wanted: t.Type) -> bool:
    return element == wanted or isinstance(element, t.Int | t.Unknown)


def _from_list(e: ast.Expression, target: t.Type, d: Diagnostics) -> ast.Expression | None:
    """A list expression becomes a struct, header, tuple, stack or list of its items."""
    if not isinstance(e, ast.ListExpression):
        return None
    wanted: list[t.Type]
    open_ended = bool(e.items) and isinstance(e.items[-1].type, t.Dots)
    given = len(e.items) - open_ended
    match target:
        case t.Struct() if target.kind != "header_union":
            wanted = [type_ for _, type_ in target.fields()]
        case t.Tuple(items):
            wanted = list(items)
        case t.Stack(element, size):
            wanted = [element] * (size if open_ended or given > size else given)
        case t.List(element):
            wanted = [element] * given
        case _:
            return None
    if given != len(wanted) and not (open_ended and given < len(wanted)):
        return None
    converted: list[ast.Expression] = []
    for item, type_ in zip(e.items[:given], wanted, strict=False):
        part = convert(item, type_, d)
        if part is None:
            return None
        converted.append(part)
    if open_ended:
        e.items[given].type = t.Dots()
        converted.append(e.items[given])
    result = ast.ListExpression(e.location, converted)
    return _typed(result, target, converted)


def _from_record(e: ast.Expression, target: t.Struct, d: Diagnostics) -> ast.Expression | None:
    if not isinstance(e, ast.StructExpression) or target.kind == "header_union":
        return None
    fields = dict(target.fields())
    given = {name for name, _ in e.pairs}
    if given - fields.keys() or (given != fields.keys() and not e.has_dots):
        return None
    pairs: list[tuple[str, ast.Expression]] = []
    for name, item in e.pairs:
        part = convert(item, fields[name], d)
        if part is None:
            return None
        pairs.append((name, part))
    result = ast.StructExpression(e.location, pairs, e.has_dots)
    typed = _typed(result, target, [p for _, p in pairs])
    if all(p.value is not None for _, p in pairs) and not e.has_dots:
        typed.value = {n: p.value for n, p in pairs if p.value is not None}
    return typed


def _typed(e: ast.Expression, target: t.Type, parts: list[ast.Expression]) -> ast.Expression:
    e.type = target
    e.is_static = all(p.is_static for p in parts)
    known = [p.value for p in parts]
    if isinstance(e, ast.ListExpression) and all(v is not None for v in known):
        if isinstance(target, t.Struct):
            names = [n for n, _ in target.fields()]
            e.value = {n: v for n, v in zip(names, known, strict=False) if v is not None}
        else:
            e.value = tuple(v for v in known if v is not None)
    return e


def why_not(source: t.Type, target: t.Type) -> str:
    """What a diagnostic adds when there is no implicit conversion."""
    if isinstance(source, t.Literal | t.Record) and isinstance(target, t.Struct | t.Tuple):
        fields = target.fields() if isinstance(target, t.Struct) else []
        if isinstance(target, t.Tuple):
            fields = [(f"item {i}", item) for i, item in enumerate(target.items)]
        if isinstance(source, t.Record):
            names = dict(fields)
            unknown = [n for n in source.names if n not in names]
            if unknown:
                return f"; {target} has no field '{unknown[0]}'"
            missing = [n for n in names if n not in source.names]
            if missing:
                return f"; field '{missing[0]}' is missing"
            fields = [(n, names[n]) for n in source.names]
        elif len(fields) != len(source.items):
            return f"; {target} has {len(fields)} fields, {len(source.items)} given"
        for (name, wanted), given in zip(fields, source.items, strict=False):
            if wanted != given and not isinstance(given, t.Int):
                return f"; '{name}' is {wanted}, given {given}"
    if isinstance(source, t.Enum) and isinstance(target, t.Bits) and source.underlying is None:
        return "; only an enum with an underlying type has a numeric value"
    if isinstance(t.resolve_new(source), t.Bits | t.Int | t.Enum) and isinstance(
        t.resolve_new(target), t.Bits | t.Enum
    ):
        return f"; write a cast: ({target})..."
    return ""


# ------------------------------------------------------------------------------ inference


def unify(pattern: t.Type, actual: t.Type, free: set[ast.TypeParameter], bound: Bound) -> bool:
    """Bind the `free` type parameters in `pattern` so that `actual` can stand for it."""
    match pattern, actual:
        case (_, t.Unknown()) | (t.Simple("_"), _):
            return True
        case t.Variable(parameter), _ if parameter in free:
            return _bind(parameter, actual, bound)
        case _, t.Variable(parameter) if parameter in free:
            return True
        case (t.Struct(a, p), t.Struct(b, q)) | (t.Extern(a, p), t.Extern(b, q)):
            return a is b and _unify_all(p, q, free, bound)
        case t.Block(), t.Block():
            return unify_blocks(pattern, actual, free, bound)
        case t.Tuple(p), t.Tuple(q) | t.Literal(q):
            return _unify_all(p, q, free, bound)
        case t.Stack(p, n), t.Stack(q, m):
            return n == m and unify(p, q, free, bound)
        case t.List(p), t.List(q):
            return unify(p, q, free, bound)
        case t.List(p) | t.Stack(p, _), t.Literal(items):
            return all(unify(p, q, free, bound) for q in items)
        case t.Struct(), t.Literal(items):
            fields = pattern.fields()
            pairs = zip(fields, items, strict=False)
            return all(unify(p, q, free, bound) for (_, p), q in pairs)
        case t.Struct(), t.Record(names, items):
            own = dict(pattern.fields())
            pairs_ = zip(names, items, strict=True)
            return all(n in own and unify(own[n], q, free, bound) for n, q in pairs_)
    return True  # nothing to infer here; the conversion decides


Bound = dict[ast.TypeParameter, t.Type]


def _bind(parameter: ast.TypeParameter, actual: t.Type, bound: Bound) -> bool:
    if isinstance(actual, t.Literal):
        actual = t.Tuple(actual.items)
    if isinstance(actual, t.Dots | t.InvalidHeader):
        return True
    known = bound.get(parameter)
    if known is None or known == actual:
        bound[parameter] = actual
        return True
    if isinstance(known, t.Int) and isinstance(actual, t.Bits):
        bound[parameter] = actual
        return True
    if isinstance(known, t.Record) and isinstance(actual, t.Struct):
        bound[parameter] = actual
        return True
    if isinstance(known, t.Tuple) and isinstance(actual, t.Struct):
        bound[parameter] = actual
        return True
    if isinstance(actual, t.Record | t.Tuple) and isinstance(known, t.Struct | t.Tuple):
        return True
    return isinstance(actual, t.Int) and isinstance(t.resolve_new(known), t.Bits)


def _unify_all(
    patterns: tuple[t.Type, ...], actuals: tuple[t.Type, ...], free: set[ast.TypeParameter],
    bound: Bound,
) -> bool:  # fmt: skip
    if len(patterns) != len(actuals):
        return not patterns or not actuals
    pairs = zip(patterns, actuals, strict=True)
    return all(unify(p, a, free, bound) for p, a in pairs)


def unify_blocks(
    pattern: t.Block, actual: t.Block, free: set[ast.TypeParameter], bound: Bound
) -> bool:
    """A parser or control fits a parser or control type when their parameters do, one by one."""
    if pattern.declaration is actual.declaration:
        return _unify_all(pattern.arguments, actual.arguments, free, bound)
    if pattern.kind != actual.kind:
        return False
    wanted, given = pattern.parameters(), actual.parameters()
    if len(wanted) != len(given):
        return False
    # A generic prototype as the actual has type parameters of its own, free to become anything.
    free = free | set(actual.signature.type_parameters)
    for (p, p_type), (q, q_type) in zip(wanted, given, strict=True):
        if p.direction != q.direction or not unify(p_type, q_type, free, bound):
            return False
        left = t.substitute(p_type, bound)
        right = t.substitute(q_type, bound)
        if t.ANY in (left, right) or t.variables(left) or t.variables(right):
            continue
        if left != right:
            return False
    return True
