"""Random expressions with their meaning: P4 text, and beside it a Python closure that does it.

Every generator method returns (text, action). The closures follow the specification's text, on
plain Python ints and dicts. They share nothing with the compiler, so that a mistake of its front
end shows as well. Statements and whole programs are made of them in random_programs.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

FIELDS = {"op": 8, "a": 8, "b": 8, "c": 8, "x": 16, "y": 16, "z": 32}
SMALL = {"k": 8, "v": 8}
HEADERS = ("one", "two")
STACK = 4

Run = Callable[["State"], Any]


class Exit(Exception):
    pass


class Return(Exception):
    def __init__(self, value: int | None = None) -> None:
        self.value = value


class Break(Exception):
    pass


class Continue(Exception):
    pass


def header() -> dict[str, Any]:
    return {"valid": False} | dict.fromkeys(SMALL, 0)


@dataclass
class State:
    """What a program can see: the headers, and a stack of scopes with local variables."""

    d: dict[str, int]
    headers: dict[str, dict[str, Any]]
    stack: list[dict[str, Any]]
    frames: list[dict[str, int]] = field(default_factory=lambda: [{}])

    @property
    def local(self) -> dict[str, int]:
        return self.frames[-1]


@dataclass
class Place:
    """An l-value: how it is written, its width, and `fix`, which gives a getter and a setter."""

    text: str
    width: int
    fix: Callable[[State], tuple[Callable[[], int], Callable[[int], None]]]


@dataclass
class Callable_:
    """A function or action that was generated: parameters are (name, direction, width)."""

    name: str
    parameters: list[tuple[str, str, int]]
    body: Run
    result: int = 0  # width; 0: none


class Expressions:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.functions: list[Callable_] = []
        self.actions: list[Callable_] = []
        self.tables: list[tuple[str, str, Run]] = []  # name, key text, run -> (hit, action index)
        self.locals: list[dict[str, int]] = [{}]  # widths of variables in scope
        self.where = "control"
        self.loops = 0
        self.result = 0
        self.names = 0
        self.readonly: set[str] = set()

    # ---------------------------------------------------------------------------- l-values

    def fresh(self, stem: str) -> str:
        self.names += 1
        return f"{stem}{self.names}"

    def place(self, width: int, depth: int) -> Place:
        """Something of that width that can be written; falls back to a slice of a field."""
        rng = self.rng
        choices: list[Callable[[], Place]] = []
        if self.where != "function":
            choices += [lambda n=n: self._field(n) for n, w in FIELDS.items() if w == width]
            if width == 8:
                choices += [self._header_field, lambda: self._stack_field(depth)]
        names = [n for n, w in self.locals[-1].items() if w == width and n not in self.readonly]
        choices += [lambda n=n: self._local(n) for n in names] * 2
        wider = [n for n, w in self.locals[-1].items() if w > width and n not in self.readonly]
        choices += [lambda n=n: self._slice(self._local(n), width) for n in wider]
        if self.where != "function":
            choices += [
                lambda n=n: self._slice(self._field(n), width)
                for n, w in FIELDS.items() if w > width
            ]  # fmt: skip
        if not choices:
            raise LookupError(width)
        return rng.choice(choices)()

    def _field(self, name: str) -> Place:
        def fix(s: State) -> tuple[Callable[[], int], Callable[[int], None]]:
            return (lambda: s.d[name]), (lambda v: s.d.__setitem__(name, v))

        return Place(f"h.d.{name}", FIELDS[name], fix)

    def _local(self, name: str) -> Place:
        def fix(s: State) -> tuple[Callable[[], int], Callable[[int], None]]:
            frame = s.local
            return (lambda: frame[name]), (lambda v: frame.__setitem__(name, v))

        return Place(name, self.locals[-1][name], fix)

    @staticmethod
    def _of(target: dict[str, Any], name: str) -> tuple[Callable[[], int], Callable[[int], None]]:
        def put(v: int) -> None:
            if target["valid"]:
                target[name] = v

        return (lambda: target[name] if target["valid"] else 0), put

    def _header_field(self) -> Place:
        name, part = self.rng.choice(HEADERS), self.rng.choice(list(SMALL))
        return Place(f"h.{name}.{part}", 8, lambda s: self._of(s.headers[name], part))

    def _stack_field(self, depth: int) -> Place:
        part = self.rng.choice(list(SMALL))
        if depth <= 0 or self.rng.random() < 0.5:
            at = self.rng.randrange(STACK)
            return Place(f"h.stack[{at}].{part}", 8, lambda s: self._of(s.stack[at], part))
        text, index = self.expression(8, depth - 1)
        text = f"h.d.op & {text}"  # never a constant, which would have to be in range

        def fix(s: State) -> tuple[Callable[[], int], Callable[[int], None]]:
            i = s.d["op"]
            i &= index(s)
            return self._of(s.stack[i] if i < STACK else header(), part)

        return Place(f"h.stack[{text}].{part}", 8, fix)

    def _slice(self, base: Place, width: int) -> Place:
        low = self.rng.randrange(base.width - width + 1)
        mask = ((1 << width) - 1) << low

        def fix(s: State) -> tuple[Callable[[], int], Callable[[int], None]]:
            get, put = base.fix(s)
            return (lambda: (get() & mask) >> low), (lambda v: put(get() & ~mask | v << low))

        return Place(f"{base.text}[{low + width - 1}:{low}]", width, fix)

    # ------------------------------------------------------------------------- expressions

    def expression(self, width: int, depth: int) -> tuple[str, Run]:
        rng, ones = self.rng, (1 << width) - 1
        if depth <= 0 or rng.random() < 0.15:
            return self._leaf(width)
        kind = rng.randrange(11)
        if kind < 4:
            return self._binary(width, depth)
        if kind == 4:
            (a, x), by = self.expression(width, depth - 1), rng.randrange(width + 3)
            if rng.random() < 0.5:
                return f"({a} << {by})", lambda s: x(s) << by & ones
            return f"({a} >> {by})", lambda s: x(s) >> by
        if kind == 5:
            (c, t), (a, x), (b, y) = (
                self.truth(depth - 1), self.expression(width, depth - 1),
                self.expression(width, depth - 1),
            )  # fmt: skip
            return f"({c} ? {a} : {b})", lambda s: x(s) if t(s) else y(s)
        if kind == 6 and width > 1:
            low = rng.randrange(1, width)
            (a, x), (b, y) = (
                self.expression(width - low, depth - 1),
                self.expression(low, depth - 1),
            )
            return f"({a} ++ {b})", lambda s: x(s) << low | y(s)
        if kind == 7:
            wide = rng.choice([w for w in (8, 16, 32, 40) if w >= width])
            (a, x), low = self.expression(wide, depth - 1), rng.randrange(wide - width + 1)
            return f"({a})[{low + width - 1}:{low}]", lambda s: x(s) >> low & ones
        if kind == 8:
            other = rng.choice((4, 8, 16, 32))
            a, x = self.expression(other, depth - 1)
            return f"((bit<{width}>){a})", lambda s: x(s) & ones
        if kind == 9:
            a, x = self.expression(width, depth - 1)
            op = rng.choice("~-")
            return f"({op}{a})", lambda s: (~x(s) if op == "~" else -x(s)) & ones
        made = self._call_value(width, depth)
        return made or self._leaf(width)

    def _leaf(self, width: int) -> tuple[str, Run]:
        rng = self.rng
        if rng.random() < 0.25:
            n = rng.choice((0, 1, (1 << width) - 1, rng.getrandbits(width)))
            return f"{width}w{n}", lambda s: n
        readable = [n for n, w in self.locals[-1].items() if w == width]
        if readable and rng.random() < 0.5:
            name = rng.choice(readable)
            return name, lambda s: s.local[name]
        try:
            p = self.place(width, 0)
        except LookupError:
            return f"{width}w3" if width > 1 else "1w1", lambda s: 3 if width > 1 else 1
        return p.text, lambda s: p.fix(s)[0]()

    def _binary(self, width: int, depth: int) -> tuple[str, Run]:
        ones = (1 << width) - 1
        (a, x), (b, y) = self.expression(width, depth - 1), self.expression(width, depth - 1)
        op = self.rng.choice(["+", "-", "*", "&", "|", "^", "|+|", "|-|"])

        def run(s: State) -> int:
            p, q = x(s), y(s)
            if op == "|+|":
                return min(p + q, ones)
            if op == "|-|":
                return max(p - q, 0)
            return {"+": p + q, "-": p - q, "*": p * q, "&": p & q, "|": p | q, "^": p ^ q}[
                op
            ] & ones

        return f"({a} {op} {b})", run

    def truth(self, depth: int) -> tuple[str, Run]:
        rng = self.rng
        kind = rng.randrange(6)
        if kind == 0 and depth > 0:
            (a, x), (b, y) = self.truth(depth - 1), self.truth(depth - 1)
            if rng.random() < 0.5:
                return f"({a} && {b})", lambda s: x(s) and y(s)
            return f"({a} || {b})", lambda s: x(s) or y(s)
        if kind == 1 and self.where != "function":
            name = rng.choice(HEADERS)
            return f"h.{name}.isValid()", lambda s: s.headers[name]["valid"]
        if kind == 2 and self.where == "control" and self.tables:
            name, _, apply = rng.choice(self.tables)
            hit = rng.random() < 0.5
            text = f"{name}.apply().{'hit' if hit else 'miss'}"
            return text, lambda s: apply(s)[0] == hit
        if kind == 3 and depth > 0:
            a, x = self.truth(depth - 1)
            return f"(!{a})", lambda s: not x(s)
        width = rng.choice((8, 16))
        (a, x), (b, y) = self.expression(width, depth), self.expression(width, depth)
        op = rng.choice(["==", "!=", "<", "<=", ">", ">="])

        def run(s: State) -> bool:
            p, q = x(s), y(s)
            return {"==": p == q, "!=": p != q, "<": p < q, "<=": p <= q, ">": p > q, ">=": p >= q}[
                op
            ]

        return f"({a} {op} {b})", run

    # ------------------------------------------------------------------------------- calls

    def _arguments(self, made: Callable_, depth: int) -> tuple[str, Callable[[State], Any]]:
        """Argument texts, and what gives (values of the parameters, copy-out)."""
        texts: list[str] = []
        parts: list[Callable[[State], tuple[int, Callable[[int], None] | None]]] = []
        for _, direction, width in made.parameters:
            if direction in ("in", ""):
                text, value = self.expression(width, depth)
                parts.append(lambda s, value=value: (value(s), None))
            else:
                p = self.place(width, depth)
                text = p.text

                def resolve(
                    s: State, p: Place = p, read: bool = direction == "inout"
                ) -> tuple[int, Callable[[int], None] | None]:
                    get, put = p.fix(s)
                    return (get() if read else 0), put

                parts.append(resolve)
            texts.append(text)

        def run(s: State) -> Any:
            given = [part(s) for part in parts]
            s.frames.append(
                {n: v for (n, _, _), (v, _) in zip(made.parameters, given, strict=True)}
            )
            result = None
            try:
                made.body(s)
            except Return as returned:
                result = returned.value
            finally:
                frame = s.frames.pop()
                for (name, _, _), (_, put) in zip(made.parameters, given, strict=True):
                    if put is not None:
                        put(frame[name])
            return result

        return ", ".join(texts), run

    def _call_value(self, width: int, depth: int) -> tuple[str, Run] | None:
        fitting = [f for f in self.functions if f.result == width]
        if not fitting:
            return None
        made = self.rng.choice(fitting)
        try:
            text, run = self._arguments(made, depth - 1)
        except LookupError:
            return None
        return f"{made.name}({text})", run
