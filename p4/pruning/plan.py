"""Which operator of a query the switch can take, from the query's text alone.

`analyse` reads SQL (DuckDB's dialect) and says which columns each table must provide, which
conditions its workers can decide by themselves, and what may be pushed. The master runs the same
text over what survives, so all that matters is that no row is pruned that could change the answer;
a query of another shape is not pushed, and runs all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify

DIALECT = "duckdb"


class QueryError(ValueError):
    """A query that cannot be read, or names tables or columns that are not there."""


@dataclass(frozen=True, slots=True)
class Use:
    """A table in a query: its needed columns, and the condition its workers decide."""

    table: str
    columns: tuple[str, ...]
    where: str | None


@dataclass(frozen=True, slots=True)
class Distinct:
    table: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TopN:
    table: str
    column: str
    n: int
    descending: bool
    alone: bool  # no second sort key decides among equals


@dataclass(frozen=True, slots=True)
class GroupBest:
    """GROUP BY with MAX (`descending`: MIN) of one column."""

    table: str
    keys: tuple[str, ...]
    value: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Having:
    """Groups whose SUM of `value` (COUNT when None) is above `bound`."""

    table: str
    keys: tuple[str, ...]
    value: str | None
    bound: float


@dataclass(frozen=True, slots=True)
class SemiJoin:
    """Drops rows of `table` whose `keys` no row of `by` has in its `by_keys`."""

    table: str
    keys: tuple[str, ...]
    by: str
    by_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Join:
    """Semi-joins that change no answer, one after another. Those that `analyse` finds are all that
    there are; which of them pay, and in which order, the optimizer says."""

    steps: tuple[SemiJoin, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    table: str
    condition: exp.Expression


@dataclass(frozen=True, slots=True)
class Skyline:
    """Points that no other dominates; `largest[i]` says whether more is better."""

    table: str
    columns: tuple[str, ...]
    largest: tuple[bool, ...]


Push = Distinct | TopN | GroupBest | Having | Join | Filter | Skyline


@dataclass(frozen=True, slots=True)
class Query:
    """What `analyse` found: `pushes` are alternatives; when there is none, `reason` says why."""

    sql: str
    uses: tuple[Use, ...]
    pushes: tuple[Push, ...]
    reason: str = ""


def analyse(sql: str, schemas: Mapping[str, Mapping[str, str]]) -> Query:
    """`schemas` maps tables to columns to types (any names). Raises `QueryError`."""
    try:
        tree: Any = sqlglot.parse_one(sql, dialect=DIALECT)
        names = {name.lower(): name for name in schemas}
        _check_tables(tree, names)
        tree = qualify(tree, schema=_lowered(schemas), dialect=DIALECT, quote_identifiers=False)
    except sqlglot.errors.SqlglotError as problem:
        raise QueryError(f"cannot plan {sql!r}: {problem}") from problem
    whole = _whole(tree, schemas, names)
    if not isinstance(tree, exp.Select):
        return Query(sql, whole, (), "not a single SELECT")
    for kind, what in ((exp.Subquery, "a subquery"), (exp.CTE, "WITH"), (exp.SetOperation, "UNION"),
                       (exp.Window, "a window function"), (exp.Exists, "EXISTS")):  # fmt: skip
        if tree.find(kind):
            return Query(sql, whole, (), f"{what} needs rows that its text does not show")
    if len(list(tree.find_all(exp.Select))) > 1:
        return Query(sql, whole, (), "a subquery needs rows that its text does not show")
    return _Reader(sql, tree, schemas, names).read(whole)


def skyline_sql(table: str, largest: Mapping[str, bool]) -> str:
    """Rows that no other row dominates. Two columns: by one sweep over the best of each value of
    the first. Three: by its definition, which is quadratic."""
    name, columns = quoted(table), [quoted(c) for c in largest]
    sides = list(largest.values())
    if len(columns) == 3:
        better = [f"o.{c} {'>' if up else '<'} t.{c}" for c, up in zip(columns, sides, strict=True)]
        good = [f"o.{c} {'>' if up else '<'}= t.{c}" for c, up in zip(columns, sides, strict=True)]
        return (f"SELECT t.* FROM {name} t WHERE NOT EXISTS (SELECT 1 FROM {name} o WHERE "
                f"{' AND '.join(good)} AND ({' OR '.join(better)}))")  # fmt: skip
    (x, y), (x_up, y_up) = columns, sides
    best, order, beats = "MAX" if y_up else "MIN", "DESC" if x_up else "ASC", ">" if y_up else "<"
    missing = f"{x} IS NULL OR {y} IS NULL"
    return (
        f"WITH skyline_best AS (SELECT {x} AS skyline_x, {best}({y}) AS skyline_y FROM {name} "
        f"WHERE NOT ({missing}) GROUP BY {x}), "
        f"skyline_ahead AS (SELECT skyline_x, skyline_y, {best}(skyline_y) OVER (ORDER BY "
        f"skyline_x {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS skyline_least "
        f"FROM skyline_best) "
        f"SELECT t.* FROM {name} t JOIN skyline_ahead ON t.{x} = skyline_x AND t.{y} = skyline_y "
        f"WHERE skyline_least IS NULL OR skyline_y {beats} skyline_least "
        f"UNION ALL SELECT t.* FROM {name} t WHERE {missing}"
    )


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _parts(condition: Any) -> list[Any]:
    """What a conjunction asks for, one by one."""
    return [*condition.flatten()] if isinstance(condition, exp.And) else [condition]


def _check_tables(tree: exp.Expression, names: Mapping[str, str]) -> None:
    own = {c.alias.lower() for c in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if table.name.lower() not in {*names, *own}:
            there = ", ".join(sorted(names.values()))
            raise QueryError(f"no table {table.name}; there are {there}")


def _lowered(schemas: Mapping[str, Mapping[str, str]]) -> dict[str, object]:
    return {t.lower(): {c.lower(): "unknown" for c in cols} for t, cols in schemas.items()}


def _whole(
    tree: exp.Expression, schemas: Mapping[str, Mapping[str, str]], names: Mapping[str, str]
) -> tuple[Use, ...]:
    """Every table with every column: always right."""
    found = {names[t.name.lower()] for t in tree.find_all(exp.Table) if t.name.lower() in names}
    return tuple(Use(name, tuple(schemas[name]), None) for name in sorted(found))


class _Reader:
    """One SELECT without subqueries."""

    def __init__(
        self, sql: str, tree: exp.Select, schemas: Mapping[str, Mapping[str, str]],
        names: Mapping[str, str],
    ) -> None:  # fmt: skip
        self.sql, self.tree = sql, tree
        tables = list(tree.find_all(exp.Table))
        self.alias = {t.alias_or_name: names[t.name.lower()] for t in tables}
        self.once = len(set(self.alias.values())) == len(tables)
        self.columns = {t: {c.lower(): c for c in schemas[t]} for t in self.alias.values()}
        self.joins: list[exp.Join] = tree.args.get("joins") or []
        self.outer = any(j.side in ("LEFT", "RIGHT", "FULL") for j in self.joins)
        self.odd = any(j.kind in ("SEMI", "ANTI", "ASOF") or j.method for j in self.joins)

    def read(self, whole: tuple[Use, ...]) -> Query:
        if not self.once:
            return Query(self.sql, whole, (), "a table occurs twice")
        if self.odd:
            return Query(self.sql, whole, (), "only inner and outer joins are pushed")
        uses = tuple(
            Use(table, self._needed(alias), self._where(alias))
            for alias, table in self.alias.items()
        )
        pushes = self._join() if len(self.alias) > 1 else self._single()
        reason = "" if pushes else "no operator of the switch applies"
        return Query(self.sql, uses, tuple(pushes), reason)

    # --------------------------------------------------------------------------- columns

    def _of(self, e: exp.Expression) -> list[tuple[str, str]]:
        """(alias, column) of every column in an expression."""
        return [(c.table, c.name) for c in e.find_all(exp.Column)]

    def _real(self, alias: str, column: str) -> str:
        return self.columns[self.alias[alias]][column.lower()]

    def _needed(self, alias: str) -> tuple[str, ...]:
        named = {c.name for c in self.tree.find_all(exp.Column) if c.table == alias}
        known = {self._real(alias, name) for name in named if name.lower() in
                 self.columns[self.alias[alias]]}  # fmt: skip
        return tuple(sorted(known)) or tuple(sorted(self.columns[self.alias[alias]].values()))[:1]

    def _conjuncts(self) -> list[exp.Expression]:
        where: Any = self.tree.args.get("where")
        return _parts(where.this) if where else []

    def _where(self, alias: str) -> str | None:
        """Conditions on this table alone; under an outer join only for its preserved side."""
        if self.outer and alias not in self._preserved():
            return None
        mine = []
        for condition in self._conjuncts():
            tables = {t for t, _ in self._of(condition)}
            if tables == {alias}:
                plain = condition.copy()
                for column in plain.find_all(exp.Column):
                    column.set("table", None)
                mine.append(f"({plain.sql(dialect=DIALECT)})")
        return " AND ".join(mine) or None

    def _preserved(self) -> set[str]:
        first = self.tree.args["from_" if "from_" in self.tree.args else "from"].this.alias_or_name
        if len(self.joins) != 1:
            return set()
        join = self.joins[0]
        return {"LEFT": {first}, "RIGHT": {join.this.alias_or_name}}.get(join.side, set())

    def _column(self, e: exp.Expression | None) -> tuple[str, str] | None:
        """(alias, column) if the expression is a plain column or an alias of one."""
        if isinstance(e, exp.Column) and not e.table:
            e = next((p.this for p in self.tree.expressions
                      if isinstance(p, exp.Alias) and p.alias == e.name), e)  # fmt: skip
        if isinstance(e, exp.Column) and e.table in self.alias:
            return e.table, self._real(e.table, e.name)
        return None

    # ------------------------------------------------------------------------- one table

    def _single(self) -> list[Push]:
        ((alias, table),) = self.alias.items()
        tree, group = self.tree, self.tree.args.get("group")
        aggregates = [a for p in tree.expressions for a in p.find_all(exp.AggFunc)]
        having = tree.args.get("having")
        if group is not None:
            keys = self._keys(group.expressions)
            if keys is None or (len(group.args) > 1 and any(
                group.args.get(k) for k in ("grouping_sets", "cube", "rollup", "totals", "all")
            )):  # fmt: skip
                return []
            if having is not None and (found := self._having(table, keys, having)):
                return [found]
            everywhere = aggregates + [a for e in (having, tree.args.get("order")) if e
                                       for a in e.find_all(exp.AggFunc)]  # fmt: skip
            return self._grouped(alias, table, keys, everywhere)
        if aggregates:
            return self._filter(table)
        if tree.args.get("distinct") and not tree.args["distinct"].args.get("on"):
            shown = {self._real(t, c) for p in tree.expressions for t, c in self._of(p)}
            return [Distinct(table, tuple(sorted(shown)))] if shown else []
        if (found_n := self._top_n(table)) is not None:
            return [found_n]
        return self._filter(table)

    def _keys(self, expressions: Sequence[exp.Expression]) -> tuple[str, ...] | None:
        """Columns that decide the group; several may stand in one expression."""
        resolved = [
            next((p for p in self.tree.expressions if p.alias == e.name), e)
            if isinstance(e, exp.Column) and not e.table else e
            for e in expressions
        ]  # fmt: skip
        if any(e.find(exp.AggFunc) or isinstance(e, exp.Literal) for e in resolved):
            return None
        found = {self._real(t, c) for e in resolved for t, c in self._of(e)}
        return tuple(sorted(found)) or None

    def _grouped(
        self, alias: str, table: str, keys: tuple[str, ...], aggregates: list[exp.AggFunc]
    ) -> list[Push]:
        if not aggregates:
            return [Distinct(table, keys)]
        best = {(type(a), self._column(a.this)) for a in aggregates}
        if len(best) == 1:
            ((kind, column),) = best
            plain = all(not a.expressions for a in aggregates)
            if kind in (exp.Max, exp.Min) and column is not None and plain:
                return [GroupBest(table, keys, column[1], kind is exp.Min)]
        return self._filter(table)

    def _having(self, table: str, keys: tuple[str, ...], having: exp.Expression) -> Having | None:
        for part in _parts(having.this):
            found = self._above(part)
            if found is None:
                continue
            aggregate, bound = found
            if isinstance(aggregate, exp.Count) and isinstance(aggregate.this, exp.Star):
                return Having(table, keys, None, bound)
            column = self._column(aggregate.this)
            if isinstance(aggregate, exp.Sum) and column is not None:
                return Having(table, keys, column[1], bound)
        return None

    @staticmethod
    def _above(part: exp.Expression) -> tuple[exp.Expression, float] | None:
        """(aggregate, bound) of a comparison that asks for more than a positive number."""
        if isinstance(part, exp.LT | exp.LTE):
            left, right = part.expression, part.this
        elif isinstance(part, exp.GT | exp.GTE):
            left, right = part.this, part.expression
        else:
            return None
        try:
            bound = float(right.name) if isinstance(right, exp.Literal) else -1.0
        except ValueError:
            return None
        # ">=" is weakened: the sketch asks for more than a bound just below.
        if isinstance(part, exp.GTE | exp.LTE):
            bound -= max(abs(bound), 1.0) * 1e-9
        return (left, bound) if bound > 0 else None

    def _top_n(self, table: str) -> TopN | None:
        order, limit = self.tree.args.get("order"), self.tree.args.get("limit")
        if order is None or limit is None or not isinstance(limit, exp.Limit):
            return None
        column = self._column(order.expressions[0].this)
        offset = self.tree.args.get("offset")
        try:
            n = int(limit.expression.name) + (int(offset.expression.name) if offset else 0)
        except ValueError:
            return None
        if column is None or n < 1:
            return None
        descending = bool(order.expressions[0].args.get("desc"))
        return TopN(table, column[1], n, descending, len(order.expressions) == 1)

    def _filter(self, table: str) -> list[Push]:
        where = self.tree.args.get("where")
        return [Filter(table, where.this)] if where is not None else []

    # --------------------------------------------------------------------------- joins

    def _join(self) -> list[Push]:
        """Semi-joins by every equality between two tables; outer joins only of two tables."""
        prune = [True, True]
        conditions = [] if self.outer else self._conjuncts()
        for join in self.joins:
            on = join.args.get("on")
            if on is not None:
                conditions += _parts(on)
        if self.outer:  # rows of the preserved side are in the answer whatever they meet
            side = self.joins[0].side
            if side == "FULL" or len(self.alias) != 2:
                return []
            prune = [side == "RIGHT", side == "LEFT"]
        steps = []
        for (left, right), keys in self._equalities(conditions).items():
            ours, theirs = tuple(a for a, _ in keys), tuple(b for _, b in keys)
            one, other = self.alias[left], self.alias[right]
            steps += [SemiJoin(one, ours, other, theirs)] * prune[0]
            steps += [SemiJoin(other, theirs, one, ours)] * prune[1]
        return [Join(tuple(steps))] if steps else []

    def _equalities(
        self, conditions: Sequence[exp.Expression]
    ) -> dict[tuple[str, str], list[tuple[str, str]]]:
        """Pairs of columns that must be equal, by the pair of tables, in the query's order."""
        pairs: dict[tuple[str, str], list[tuple[str, str]]] = {}
        order = list(self.alias)
        for condition in conditions:
            if not isinstance(condition, exp.EQ):
                continue
            a, b = self._column(condition.this), self._column(condition.expression)
            if a is None or b is None or a[0] == b[0]:
                continue
            if order.index(a[0]) > order.index(b[0]):
                a, b = b, a
            pairs.setdefault((a[0], b[0]), []).append((a[1], b[1]))
        return pairs
