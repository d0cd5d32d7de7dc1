"""Random parsers with their meaning: states, selects, sub-parsers, look-ahead, stacks, varbits.

The model walks the same random description over the packet's bytes with plain Python: the rules are
those of the specification's sections on data extraction and header stacks. What a failed parse has
done so far stays; the bytes that it did not take are the payload.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

STACK = 3
ERRORS = ("NoError", "PacketTooShort", "NoMatch", "StackOutOfBounds", "HeaderTooShort", "Mine")
TYPES = """
error { Mine }
header pair_t { bit<8> k; bit<8> v; }
header wide_t { bit<4> hi; bit<20> mid; bit<8> low; }
header option_t { bit<8> n; varbit<32> data; }
header result_t { bit<8> code; bit<8> acc; bit<8> last; }
struct headers_t { result_t result; pair_t one; wide_t wide; option_t option; pair_t[3] stack; }
struct meta_t { bit<8> acc; bit<8> last; }
"""
REST = """
control V(inout headers_t h, inout meta_t m) { apply { } }
control I(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.result.setValid();
        h.result.acc = m.acc;
        h.result.last = m.last;
        h.result.code = 255;
        %s
    }
}
control E(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { } }
control D(packet_out p, in headers_t h) { apply { p.emit(h); } }
V1Switch(P(), V(), I(), E(), V(), D()) main;
"""


class Rejected(Exception):
    def __init__(self, error: str) -> None:
        self.error = error


@dataclass
class Parse:
    """One packet under way."""

    data: bytes
    at: int = 0
    acc: int = 0
    last: int = 0
    headers: dict[str, bytes] = field(default_factory=dict)
    stack: list[bytes] = field(default_factory=list)

    def take(self, count: int) -> bytes:
        found = self.look(count)
        self.at += count
        return found

    def look(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise Rejected("PacketTooShort")
        return self.data[self.at : self.at + count]


Step = Callable[[Parse], None]
Choice = Callable[[Parse], str]


class Parsers:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    # -------------------------------------------------------------------------- statements

    def step(self) -> tuple[str, Step]:
        kinds = [self._extract, self._extract, self._next, self._next, self._acc, self._acc,
                 self._varbit, self._lookahead, self._advance, self._verify, self._if]  # fmt: skip
        return self.rng.choice(kinds)()

    def _extract(self) -> tuple[str, Step]:
        name, size = self.rng.choice((("one", 2), ("wide", 4)))

        def run(p: Parse) -> None:
            p.headers[name] = p.take(size)

        return f"p.extract(h.{name});", run

    def _next(self) -> tuple[str, Step]:
        use = self.rng.random() < 0.6

        def run(p: Parse) -> None:
            if len(p.stack) == STACK:
                raise Rejected("StackOutOfBounds")
            p.stack.append(p.take(2))
            if use:
                p.acc = (p.acc + p.stack[-1][1]) & 255

        return "p.extract(h.stack.next);" + (" m.acc = m.acc + h.stack.last.v;" if use else ""), run

    def _acc(self) -> tuple[str, Step]:
        """Arithmetic on the metadata, with the last look-ahead or a header that may be invalid."""
        name = self.rng.choice(("one", None))
        n = self.rng.randrange(256)

        def run(p: Parse) -> None:
            value = p.last if name is None else p.headers.get("one", b"\0\0")[0]
            p.acc = (p.acc ^ value) + n & 255

        return f"m.acc = (m.acc ^ {'m.last' if name is None else 'h.one.k'}) + {n};", run

    def _varbit(self) -> tuple[str, Step]:
        """A size in bytes from the packet: up to 7, of which 4 fit."""

        def run(p: Parse) -> None:
            size = p.look(1)[0] & 7
            if p.at + 1 + size > len(p.data):
                raise Rejected("PacketTooShort")
            if size > 4:
                raise Rejected("HeaderTooShort")
            p.headers["option"] = p.take(1 + size)

        text = "p.extract(h.option, (bit<32>)(p.lookahead<bit<8>>() & 7) << 3);"
        return text, run

    def _lookahead(self) -> tuple[str, Step]:
        if self.rng.random() < 0.5:

            def second(p: Parse) -> None:
                p.last = p.look(2)[1]

            return "m.last = p.lookahead<pair_t>().v;", second

        def middle(p: Parse) -> None:
            p.last = int.from_bytes(p.look(4), "big") >> 16 & 255

        return "m.last = p.lookahead<wide_t>().mid[15:8];", middle

    def _advance(self) -> tuple[str, Step]:
        if self.rng.random() < 0.5:
            return "p.advance(8);", lambda p: void(p.take(1))
        return "p.advance((bit<32>)m.acc[1:0] << 3);", lambda p: void(p.take(p.acc & 3))

    def _verify(self) -> tuple[str, Step]:
        n, name = self.rng.randrange(256), self.rng.choice(("Mine", "NoMatch"))

        def run(p: Parse) -> None:
            if p.acc == n:
                raise Rejected(name)

        return f"verify(m.acc != {n}, error.{name});", run

    def _if(self) -> tuple[str, Step]:
        (a, x), (b, y), n = self.step(), self.step(), self.rng.randrange(256)

        def run(p: Parse) -> None:
            (x if p.acc > n else y)(p)

        return f"if (m.acc > {n}) {{ {a} }} else {{ {b} }}", run

    # ------------------------------------------------------------------------- transitions

    def transition(self, states: list[str]) -> tuple[str, Choice, list[str]]:
        """Its text, what it chooses, and all that it may lead to."""
        rng = self.rng
        if rng.random() < 0.25:
            to = rng.choice(states)
            return f"transition {to};", lambda p: to, [to]
        keys: list[tuple[str, Callable[[Parse], int]]] = [
            ("m.acc", lambda p: p.acc), ("m.last", lambda p: p.last),
            ("p.lookahead<bit<8>>()", lambda p: p.look(1)[0]),
        ]  # fmt: skip
        chosen = rng.sample(keys, rng.randrange(1, 3))
        cases: list[tuple[list[Callable[[int], bool]], str]] = []
        text = f"transition select({', '.join(t for t, _ in chosen)}) {{ "
        for _ in range(rng.randrange(1, 5)):
            sets = [self._set() for _ in chosen]
            to = rng.choice(states)
            shown = ", ".join(t for t, _ in sets)
            text += f"({shown}): {to}; " if len(sets) > 1 else f"{shown}: {to}; "
            cases.append(([test for _, test in sets], to))
        ends = []
        if rng.random() < 0.6:
            to = rng.choice(states)
            text += f"default: {to}; "
            cases.append(([lambda v: True] * len(chosen), to))
        else:
            ends = [] if [t for t, _ in sets] == ["_"] else ["reject"]

        def run(p: Parse) -> str:
            values = [value(p) for _, value in chosen]
            for tests, to in cases:
                if all(test(v) for test, v in zip(tests, values, strict=True)):
                    return to
            raise Rejected("NoMatch")

        return text + "}", run, [*ends, *(to for _, to in cases)]

    def _set(self) -> tuple[str, Callable[[int], bool]]:
        rng = self.rng
        a, b = rng.randrange(256), rng.choice((1, 3, 0x80, 0xF0))
        kind = rng.randrange(4)
        if kind == 0:
            return str(a), lambda v: v == a
        if kind == 1:
            return f"{a} &&& {b}", lambda v: v & b == a & b
        if kind == 2:
            low, high = sorted((a, rng.randrange(256)))
            return f"{low} .. {high}", lambda v: low <= v <= high
        return "_", lambda v: True

    # ----------------------------------------------------------------------------- programs

    def states(self, names: list[str], sub: str, run_sub: Step | None) -> tuple[str, Step]:
        """Texts of states, the first being `start`, and what walks them. Some way leads out."""
        table: dict[str, tuple[list[Step], Choice]] = {}
        ways: dict[str, list[str]] = {}
        text = ""
        for name in names:
            steps = [self.step() for _ in range(self.rng.randrange(1, 4))]
            if run_sub is not None and self.rng.random() < 0.4:
                steps.append((sub, run_sub))
            to, choose, ways[name] = self.transition([*names, "accept", "accept", "reject"])
            text += f"state {name} {{ {' '.join(t for t, _ in steps)} {to} }}\n"
            table[name] = [s for _, s in steps], choose
        seen = ["start"]
        for name in seen:  # grows
            seen += [way for way in ways.get(name, []) if way not in seen]
        if "accept" not in seen and "reject" not in seen:
            return self.states(names, sub, run_sub)

        def run(p: Parse) -> None:
            state = "start"
            for _ in range(1000):
                steps, choose = table[state]
                for each in steps:
                    each(p)
                state = choose(p)
                if state == "accept":
                    return
                if state == "reject":
                    raise Rejected("NoError")
            raise RecursionError  # a loop that takes nothing: the switch gives such packets up

        return text, run

    def program(self) -> tuple[str, Callable[[bytes], bytes | None]]:
        """Source, and packet in -> packet out (None: the parser runs for ever)."""
        head = "packet_in p, inout headers_t h, inout meta_t m"
        inner, run_inner = self.states(["start", "more"], "", None)
        outer, run_outer = self.states(["start", "a", "b", "c"], "sub.apply(p, h, m);", run_inner)
        checks = " ".join(
            f"if (s.parser_error == error.{e}) {{ h.result.code = {i}; }}"
            for i, e in enumerate(ERRORS)
        )
        source = (
            "#include <core.p4>\n#include <v1model.p4>\n" + TYPES
            + f"parser Sub({head}) {{\n{inner}}}\n"
            + "parser P(packet_in p, out headers_t h, inout meta_t m, "
            + f"inout standard_metadata_t s) {{\nSub() sub;\n{outer}}}\n" + REST % checks
        )  # fmt: skip

        def meaning(packet: bytes) -> bytes | None:
            p, error = Parse(packet), "NoError"
            try:
                run_outer(p)
            except Rejected as problem:
                error = problem.error
            except RecursionError:
                return None
            out = bytes((ERRORS.index(error), p.acc, p.last))
            for name in ("one", "wide", "option"):
                out += p.headers.get(name, b"")
            return out + b"".join(p.stack) + packet[p.at :]

        return source, meaning


def void(_: object) -> None:
    """For lambdas whose value nobody wants."""
