"""WHERE for the switch: comparisons of columns with constants, in intervals and a truth table.

What the switch cannot decide (LIKE, arithmetic, a fourth column) is replaced by TRUE in the formula
without negations, which only keeps more rows (Cheetah, section 4.1); the master applies the rest.
Bit i of the truth table's key says that comparison i may hold; only a formula that is false with
those bits prunes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from sqlglot import exp

from weft.p4.pruning.codes import Scale, ordered
from weft.p4.pruning.tables import Table

_MOST_COMPARISONS, _MOST_COLUMNS, _TOP = 8, 3, (1 << 32) - 1
_Kind = type[exp.Expression]
_FLIPPED: dict[_Kind, _Kind] = {
    exp.LT: exp.GT,
    exp.GT: exp.LT,
    exp.LTE: exp.GTE,
    exp.GTE: exp.LTE,
    exp.EQ: exp.EQ,
}
_NEGATED: dict[_Kind, _Kind] = {
    exp.LT: exp.GTE,
    exp.GTE: exp.LT,
    exp.GT: exp.LTE,
    exp.LTE: exp.GT,
    exp.EQ: exp.NEQ,
    exp.NEQ: exp.EQ,
}

#: A formula without negations: a comparison's number, a constant, or (is it AND?, parts).
Formula = int | bool | tuple[bool, tuple["Formula", ...]]


@dataclass(frozen=True, slots=True)
class Weakened:
    """`may[i]` are the code ranges (inclusive) of its column in which comparison i may hold."""

    columns: tuple[str, ...]
    scales: dict[str, Scale]
    may: tuple[tuple[str, tuple[tuple[int, int], ...]], ...]
    formula: Formula
    text: str

    def intervals(self, column: str) -> list[tuple[int, int, int]]:
        """(first code, last code, bits that may hold there); other columns' bits are set."""
        mine = [(i, ranges) for i, (name, ranges) in enumerate(self.may) if name == column]
        cuts = {1, _TOP + 1}
        for _, ranges in mine:
            cuts |= {edge for low, high in ranges for edge in (low, high + 1)}
        edges = sorted(c for c in cuts if 1 <= c <= _TOP + 1)
        made = []
        for low, end in itertools.pairwise(edges):
            bits = 0xFF
            for i, ranges in mine:
                if not any(a <= low and end - 1 <= b for a, b in ranges):
                    bits &= ~(1 << i)
            made.append((low, end - 1, bits))
        return made

    def false_keys(self) -> list[int]:
        """Keys of the truth table under which no row can satisfy the condition."""
        used, high = len(self.may), 0xFF
        unused = high ^ ((1 << used) - 1)
        return [bits | unused for bits in range(1 << used) if not holds(self.formula, bits)]


def holds(formula: Formula, bits: int) -> bool:
    if isinstance(formula, bool):
        return formula
    if isinstance(formula, int):
        return bool(bits >> formula & 1)
    is_and, parts = formula
    return (all if is_and else any)(holds(p, bits) for p in parts)


def weaken(condition: exp.Expression, table: Table) -> Weakened | None:
    """None when nothing is left of the condition."""
    reader = _Reader(table)
    formula = reader.read(condition, False)
    if formula is True or not reader.may:
        return None
    shown = ", ".join(reader.shown)
    scales = {c: table.scale(c) for c in reader.columns}
    return Weakened(tuple(reader.columns), scales, tuple(reader.may), formula, shown)


class _Reader:
    def __init__(self, table: Table) -> None:
        self.table = table
        self.columns: list[str] = []
        self.may: list[tuple[str, tuple[tuple[int, int], ...]]] = []
        self.shown: list[str] = []

    def read(self, e: exp.Expression, negated: bool) -> Formula:
        match e:
            case exp.Paren():
                return self.read(e.this, negated)
            case exp.Not():
                return self.read(e.this, not negated)
            case exp.And() | exp.Or():
                is_and = isinstance(e, exp.And) != negated
                return _simple(is_and, [self.read(p, negated) for p in (e.this, e.expression)])
            case exp.Between() if not e.args.get("symmetric"):
                low = exp.GTE(this=e.this, expression=e.args["low"])
                high = exp.LTE(this=e.this, expression=e.args["high"])
                return _simple(not negated, [self.read(low, negated), self.read(high, negated)])
            case exp.In() if e.expressions:
                same = [exp.EQ(this=e.this, expression=v) for v in e.expressions]
                return _simple(negated, [self.read(s, negated) for s in same])
            case exp.LT() | exp.LTE() | exp.GT() | exp.GTE() | exp.EQ() | exp.NEQ():
                return self._comparison(e, negated)
        return True

    def _comparison(self, e: exp.Expression, negated: bool) -> Formula:
        left, right = e.this, e.expression
        kind: _Kind = type(e)
        if isinstance(right, exp.Column) and kind in _FLIPPED:
            left, right, kind = right, left, _FLIPPED[kind]
        if not isinstance(left, exp.Column):
            return True
        kind = _NEGATED[kind] if negated else kind
        names = {f.lower(): f for f in self.table.schema.names}
        name = names.get(left.name.lower())
        if name is None or (name not in self.columns and len(self.columns) == _MOST_COLUMNS):
            return True
        ranges = self._ranges(name, kind, right)
        if ranges is None or len(self.may) == _MOST_COMPARISONS:
            return True
        if name not in self.columns:
            self.columns.append(name)
        self.may.append((name, ranges))
        self.shown.append(f"{name} {_SYMBOL[kind]} {right.sql(dialect='duckdb')}")
        return len(self.may) - 1

    def _ranges(
        self, name: str, kind: _Kind, constant: exp.Expression
    ) -> tuple[tuple[int, int], ...] | None:
        """Codes of the column for which the comparison may hold; None if that cannot be said."""
        try:
            scale = self.table.scale(name)
            place = _place(constant, self.table.schema.field(name).type)
        except (TypeError, ValueError, pa.ArrowException):
            return None
        if place is None:
            return None
        number, whole = place  # `whole`: the constant is itself a value of the column
        step = number - scale.low
        code = (step >> scale.shift) + 1 if step >= 0 else 0
        code = min(code, _TOP)
        exact = scale.exact and whole
        below, above = (1, code - 1 if exact else code), (code + 1 if exact else code, _TOP)
        to, since = (1, code), (code, _TOP)
        made: dict[_Kind, tuple[tuple[int, int], ...]] = {
            exp.LT: (below,), exp.GT: (above,), exp.LTE: (to,), exp.GTE: (since,),
            exp.EQ: ((code, code),), exp.NEQ: (below, above) if exact else ((1, _TOP),),
        }  # fmt: skip
        return tuple((max(low, 1), high) for low, high in made[kind] if high >= max(low, 1))


_SYMBOL: dict[_Kind, str] = {
    exp.LT: "<",
    exp.GT: ">",
    exp.LTE: "<=",
    exp.GTE: ">=",
    exp.EQ: "=",
    exp.NEQ: "<>",
}


def _place(constant: exp.Expression, type_: pa.DataType) -> tuple[int, bool] | None:
    """A constant among a column's ordered numbers; whether it converts without loss."""
    negative = isinstance(constant, exp.Neg)
    literal = constant.this if isinstance(constant, exp.Neg | exp.Cast) else constant
    if not isinstance(literal, exp.Literal):
        return None
    text = ("-" if negative else "") + literal.name
    if literal.is_string:
        scalar, whole = pa.scalar(text).cast(type_), True
    elif pa.types.is_integer(type_):
        floor = int(np.floor(float(text))) if "." in text or "e" in text.lower() else int(text)
        scalar, whole = pa.scalar(floor, pa.int64()).cast(type_), str(floor) == text
    elif pa.types.is_floating(type_):
        scalar, whole = pa.scalar(float(text), pa.float64()), False
    elif pa.types.is_decimal(type_):
        scalar, whole = pa.scalar(text).cast(type_), True
    else:
        return None
    numbers, _ = ordered(pa.chunked_array([pa.array([scalar.as_py()], scalar.type)]))
    return int(numbers[0]), whole


def _simple(is_and: bool, parts: list[Formula]) -> Formula:
    """AND and OR with the constants taken out."""
    decided = not is_and
    if any(p is decided for p in parts):
        return decided
    left = tuple(p for p in parts if p is not is_and)
    return is_and if not left else left[0] if len(left) == 1 else (is_and, left)
