"""Compile-time values and the arithmetic on them (specification 1.2.5, section 8).

A value is an int (for bit, int<W> and int), a bool, a str, a `MemberValue` (enum member or
error), a tuple (lists, tuples, stacks) or a dict (structs, headers). `None` means: not known.
Operations wrap or saturate as the operand type says; they raise `ArithmeticError` where the
language has no result.
"""

from __future__ import annotations

from dataclasses import dataclass

from weft.p4.compiler import types as t

#: Larger compile-time numbers would only burn time and memory.
MAX_BITS = 1 << 16


@dataclass(frozen=True, slots=True)
class MemberValue:
    """`Type.member`; `number` is its value (serialisable enum), else its place in the enum."""

    type: t.Type
    member: str
    number: int


Value = int | bool | str | MemberValue | tuple["Value", ...] | dict[str, "Value"]


def wrap(number: int, type_: t.Type) -> int:
    """The number as the type can hold it (two's complement)."""
    if not isinstance(type_, t.Bits):
        return number
    if type_.width == 0:
        return 0
    number &= (1 << type_.width) - 1
    if type_.signed and number >> (type_.width - 1):
        number -= 1 << type_.width
    return number


def shown(number: int) -> str:
    """The number for a message; long ones are cut."""
    text = str(number) if abs(number) < 1 << 64 else hex(number)
    return text if len(text) <= 40 else f"{text[:20]}...{text[-8:]}"


def fits(number: int, type_: t.Bits) -> bool:
    return wrap(number, type_) == number


def bounds(type_: t.Bits) -> tuple[int, int]:
    """Smallest and largest value."""
    if type_.signed and type_.width:
        half = 1 << (type_.width - 1)
        return -half, half - 1
    return 0, (1 << type_.width) - 1


def unary(op: str, value: Value, type_: t.Type) -> Value:
    if op == "!":
        return not value
    assert isinstance(value, int)
    return wrap({"-": -value, "+": value, "~": ~value}[op], type_)


def binary(op: str, left: Value, right: Value, type_: t.Type, right_type: t.Type) -> Value:
    """`left op right`; `type_` is the type of the left operand (of both but for << >> ++)."""
    if op in ("==", "!="):
        return (left == right) == (op == "==")
    if op in ("&&", "||"):
        return bool(left and right) if op == "&&" else bool(left or right)
    if isinstance(left, str) and isinstance(right, str) and op == "++":
        return left + right
    assert isinstance(left, int) and isinstance(right, int)
    if op in ("<", "<=", ">", ">="):
        return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[op]
    if op == "++":
        assert isinstance(type_, t.Bits) and isinstance(right_type, t.Bits)
        joined = (left << right_type.width) | wrap(right, t.Bits(right_type.width))
        return wrap(joined, t.Bits(type_.width + right_type.width, type_.signed))
    if op in ("|+|", "|-|"):
        assert isinstance(type_, t.Bits)
        low, high = bounds(type_)
        return max(low, min(high, left + right if op == "|+|" else left - right))
    result = wrap(_arithmetic(op, left, right, type_), type_)
    if result.bit_length() > MAX_BITS:
        raise ArithmeticError(f"a number of more than {MAX_BITS} bits")
    return result


def _arithmetic(op: str, left: int, right: int, type_: t.Type) -> int:
    if op in ("/", "%"):
        if right == 0:
            raise ArithmeticError("division by zero")
        if left < 0 or right < 0:
            raise ArithmeticError(f"'{op}' is not defined for negative numbers")
        return left // right if op == "/" else left % right
    if op in ("<<", ">>"):
        return _shift(op, left, right, type_)
    return {
        "+": left + right,
        "-": left - right,
        "*": left * right,
        "&": left & right,
        "|": left | right,
        "^": left ^ right,
    }[op]


def _shift(op: str, left: int, right: int, type_: t.Type) -> int:
    if right < 0:
        raise ArithmeticError("shift by a negative amount")
    if op == ">>":
        return left >> min(right, MAX_BITS)
    if isinstance(type_, t.Bits) and right >= type_.width:
        return 0
    if right > MAX_BITS:
        raise ArithmeticError(f"shift by more than {MAX_BITS} bits")
    return left << right


def cast(value: Value, source: t.Type, target: t.Type) -> Value | None:
    """The value converted by an explicit or implicit cast; None when it has no scalar result."""
    source, target = t.resolve_new(source), t.resolve_new(target)
    if isinstance(value, MemberValue):
        if isinstance(target, t.Enum | t.Simple):
            if isinstance(target, t.Enum) and target != value.type:
                return member_of(target, value.number)
            return value
        value = value.number
    if isinstance(target, t.Bits):
        return wrap(int(value), target) if isinstance(value, int) else None
    if isinstance(target, t.Int):
        return int(value) if isinstance(value, int) else None
    if target == t.BOOL:
        return bool(value) if isinstance(value, int) else None
    if isinstance(target, t.Enum) and isinstance(value, int) and target.underlying:
        return member_of(target, wrap(value, target.underlying))
    return value


def member_of(type_: t.Enum, number: int) -> MemberValue:
    """The member of a serialisable enum with this value (a nameless one if there is none)."""
    for member in type_.declaration.members:
        known = member.initializer.value if member.initializer is not None else None
        if known == number:
            return MemberValue(type_, member.name, number)
    return MemberValue(type_, "", number)
