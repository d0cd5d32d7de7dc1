"""Constructors of IR expressions that simplify as they build.

Constants fold; members and validity of literals resolve; equality of aggregates is spelled out in
scalar comparisons. Everything here is pure.
"""

from __future__ import annotations

from weft.p4.compiler import ir, values
from weft.p4.compiler import types as t
from weft.p4.compiler.source import Location

Struct = ir.StructType | ir.HeaderType | ir.HeaderUnionType
TRUE = ir.Const(1, ir.BOOL)
FALSE = ir.Const(0, ir.BOOL)


def boolean(truth: bool) -> ir.Const:
    return TRUE if truth else FALSE


def _bits(type_: ir.Type) -> t.Type:
    """The checker's view of a scalar type, for arithmetic."""
    if isinstance(type_, ir.BitsType):
        return t.Bits(type_.width, type_.signed)
    return t.BOOL


def unary(op: ir.UnaryOp, operand: ir.Expression, location: Location) -> ir.Expression:
    if isinstance(operand, ir.Const):
        value = values.unary(op.value, operand.value, _bits(operand.type))
        assert isinstance(value, int)
        return ir.Const(int(value), operand.type, location)
    return ir.Unary(op, operand, operand.type, location)


def binary(
    op: ir.BinaryOp, left: ir.Expression, right: ir.Expression, location: Location
) -> ir.Expression:
    """`left op right`; raises `ArithmeticError` when constant operands have no result."""
    type_: ir.Type = left.type
    if op in _COMPARISONS:
        type_ = ir.BOOL
    elif op is ir.BinaryOp.CONCAT:
        assert isinstance(left.type, ir.BitsType) and isinstance(right.type, ir.BitsType)
        type_ = ir.BitsType(left.type.width + right.type.width, left.type.signed)
    if isinstance(left, ir.Const) and isinstance(right, ir.Const):
        value = values.binary(
            op.value, left.value, right.value, _bits(left.type), _bits(right.type)
        )
        assert isinstance(value, int)
        return ir.Const(int(value), type_, location)
    if op in _DIVISIONS and isinstance(left, ir.Const) and left.value == 0:
        return left
    if op is ir.BinaryOp.LAND:
        if isinstance(left, ir.Const):
            return right if left.value else FALSE
        if isinstance(right, ir.Const):
            return left if right.value else FALSE
    if op is ir.BinaryOp.LOR:
        if isinstance(left, ir.Const):
            return TRUE if left.value else right
        if isinstance(right, ir.Const):
            return TRUE if right.value else left
    return ir.Binary(op, left, right, type_, location)


_COMPARISONS = {
    ir.BinaryOp.EQ, ir.BinaryOp.NE, ir.BinaryOp.LT, ir.BinaryOp.LE, ir.BinaryOp.GT, ir.BinaryOp.GE
}  # fmt: skip


_DIVISIONS = {ir.BinaryOp.DIV, ir.BinaryOp.MOD}


def negate(e: ir.Expression, location: Location) -> ir.Expression:
    if isinstance(e, ir.Unary) and e.op is ir.UnaryOp.NOT:
        return e.operand
    return unary(ir.UnaryOp.NOT, e, location)


def conjunction(parts: list[ir.Expression], location: Location) -> ir.Expression:
    result: ir.Expression = TRUE
    for part in parts:
        result = binary(ir.BinaryOp.LAND, result, part, location)
    return result


def member(base: ir.Expression, name: str, location: Location) -> ir.Expression:
    type_ = base.type
    assert isinstance(type_, Struct)
    index = next(i for i, f in enumerate(type_.fields) if f.name == name)
    if isinstance(base, ir.StructValue):
        return base.fields[index]
    if isinstance(base, ir.ZeroValue):
        return zero(type_.fields[index].type, location)
    return ir.Member(base, name, type_.fields[index].type, location)


def zero(type_: ir.Type, location: Location) -> ir.Expression:
    """The default value: a constant for scalars."""
    if isinstance(type_, ir.BitsType | ir.BoolType | ir.EnumType | ir.ErrorType):
        return ir.Const(0, type_, location)
    return ir.ZeroValue(type_, location)


def slice_of(base: ir.Expression, high: int, low: int, location: Location) -> ir.Expression:
    type_ = ir.BitsType(high - low + 1)
    if isinstance(base, ir.Const):
        return ir.Const((base.value >> low) & ((1 << type_.width) - 1), type_, location)
    if isinstance(base, ir.Slice):
        return slice_of(base.base, base.low + high, base.low + low, location)
    return ir.Slice(base, high, low, type_, location)


def cast(operand: ir.Expression, target: ir.Type, location: Location) -> ir.Expression:
    if operand.type == target:
        return operand
    if isinstance(operand, ir.Const) and isinstance(target, ir.BitsType):
        return ir.Const(values.wrap(operand.value, _bits(target)), target, location)
    if isinstance(operand, ir.Const) and isinstance(target, ir.BoolType | ir.EnumType):
        return ir.Const(operand.value, target, location)
    return ir.Cast(operand, target, location)


def is_valid(header: ir.Expression, location: Location) -> ir.Expression:
    """Validity of a header; of a union: is any member valid."""
    if isinstance(header, ir.StructValue):
        return TRUE
    if isinstance(header, ir.ZeroValue):
        return FALSE
    if isinstance(header.type, ir.HeaderUnionType):
        result: ir.Expression = FALSE
        for field in header.type.fields:
            part = is_valid(member(header, field.name, location), location)
            result = part if result == FALSE else binary(ir.BinaryOp.LOR, result, part, location)
        return result
    return ir.IsValid(header, location=location)


def element(stack: ir.Expression, index: int, location: Location) -> ir.Expression:
    assert isinstance(stack.type, ir.StackType)
    if isinstance(stack, ir.StackValue):
        if index < len(stack.elements):
            return stack.elements[index]
        return ir.ZeroValue(stack.type.element, location)
    if isinstance(stack, ir.ZeroValue):
        return ir.ZeroValue(stack.type.element, location)
    return ir.Index(stack, ir.Const(index, ir.BIT32), stack.type.element, location)


def equal(left: ir.Expression, right: ir.Expression, location: Location) -> ir.Expression:
    """`left == right`, spelled out for aggregates (specification 1.2.5, sections 8.16 to 8.19)."""
    type_ = left.type
    if isinstance(type_, ir.HeaderType):
        a, b = is_valid(left, location), is_valid(right, location)
        same = conjunction([a, b, _fields(left, right, type_, location)], location)
        neither = conjunction([negate(a, location), negate(b, location)], location)
        return binary(ir.BinaryOp.LOR, neither, same, location)
    if isinstance(type_, ir.StructType | ir.HeaderUnionType):
        return _fields(left, right, type_, location)
    if isinstance(type_, ir.StackType):
        parts = [
            equal(element(left, i, location), element(right, i, location), location)
            for i in range(type_.size)
        ]
        return conjunction(parts, location)
    return binary(ir.BinaryOp.EQ, left, right, location)


def _fields(
    left: ir.Expression, right: ir.Expression, type_: Struct, location: Location
) -> ir.Expression:
    parts = [
        equal(member(left, f.name, location), member(right, f.name, location), location)
        for f in type_.fields
    ]
    return conjunction(parts, location)


# --------------------------------------------------------------------------- storage overlap


def root(e: ir.Expression) -> ir.Variable | None:
    """The variable that an l-value is part of."""
    while isinstance(e, ir.Member | ir.Index | ir.Slice):
        e = e.base
    return e.variable if isinstance(e, ir.VarRef) else None


def _path(e: ir.Expression) -> list[object]:
    path: list[object] = []
    while isinstance(e, ir.Member | ir.Index | ir.Slice):
        if isinstance(e, ir.Member):
            path.append(e.field)
        elif isinstance(e, ir.Index):
            path.append(e.index.value if isinstance(e.index, ir.Const) else None)
        e = e.base
    return path[::-1]


def overlap(a: ir.Expression, b: ir.Expression) -> bool:
    """May two l-values share storage? Unknown indices may be any."""
    if root(a) is None or root(a) is not root(b):
        return False
    return all(p == q or p is None or q is None for p, q in zip(_path(a), _path(b), strict=False))


def reads(e: ir.Expression) -> list[ir.Expression]:
    """The l-values that an expression reads (those outermost)."""
    match e:
        case ir.VarRef() | ir.Member() | ir.Index() | ir.Slice():
            found: list[ir.Expression] = [e] if root(e) is not None else []
            node: ir.Expression = e
            while isinstance(node, ir.Member | ir.Index | ir.Slice):
                if isinstance(node, ir.Index):
                    found += reads(node.index)
                node = node.base
            return found if root(e) is not None else found + reads(node)
        case ir.Unary(operand=operand) | ir.Cast(operand=operand):
            return reads(operand)
        case ir.Binary(left=left, right=right):
            return reads(left) + reads(right)
        case ir.Mux(condition=c, then=a, otherwise=b):
            return reads(c) + reads(a) + reads(b)
        case ir.IsValid(header=header):
            return reads(header)
        case ir.NextIndex(stack=stack):
            return reads(stack)
        case ir.StructValue(fields=parts) | ir.StackValue(elements=parts):
            return [r for p in parts for r in reads(p)]
    return []
