# ruff: noqa: E501 - P4 source in text
"""The compiled switch against the slow evaluator: generated programs, tables and packets."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from oracle import Installed, Oracle
from p4_programs import v1model

from weft.p4.compiler import compile_text
from weft.p4.switch import Switch

WIDTHS = (1, 3, 7, 8, 13, 16, 31, 32, 33, 48, 63, 64, 65, 100, 127, 128, 129, 192, 200, 256)


class Expressions:
    """Random typed P4 expressions over the variables `v<i>` of known types."""

    def __init__(self, rng: random.Random, variables: dict[str, tuple[int, bool]]) -> None:
        self._rng, self._variables = rng, variables

    def of(self, width: int, signed: bool, depth: int) -> str:
        rng = self._rng
        if depth == 0:
            return self._leaf(width, signed)
        a, b = (self.of(width, signed, depth - 1) for _ in range(2))
        kind = rng.randrange(12)
        if kind < 5:
            operators = ["+", "-", "*", "&", "|", "^"] + (["|+|", "|-|"] if width > 1 else [])
            return f"({a} {rng.choice(operators)} {b})"
        if kind == 5 and not signed:
            return f"({a} {rng.choice('/%')} {self._literal(width, False, nonzero=True)})"
        if kind == 6:
            by = self.of(rng.choice((3, 8, 70, 140)), False, 0)
            return f"({a} {rng.choice(['<<', '>>'])} {by})"
        if kind == 7:
            return f"({self.truth(depth - 1)} ? {a} : {b})"
        if kind == 8:
            return f"({rng.choice('-~')}{a})"
        if kind == 9 and not signed and width > 1:
            low = rng.randrange(1, width)
            high = self.of(width - low, False, depth - 1)
            return f"({high} ++ {self.of(low, False, depth - 1)})"
        if kind == 10 and not signed:
            wide = rng.choice([w for w in (*WIDTHS, 300) if w >= width])
            low = rng.randrange(0, wide - width + 1)
            return f"({self.of(wide, False, depth - 1)})[{low + width - 1}:{low}]"
        return self._converted(width, signed, depth)

    def truth(self, depth: int) -> str:
        rng = self._rng
        width, signed = rng.choice(WIDTHS), rng.random() < 0.4
        a, b = (self.of(width, signed, depth) for _ in range(2))
        test = f"({a} {rng.choice(['==', '!=', '<', '<=', '>', '>='])} {b})"
        return f"(!{test})" if rng.random() < 0.2 else test

    def _converted(self, width: int, signed: bool, depth: int) -> str:
        """Through a cast of sign, then of width: one cast may change only one of the two."""
        source = self._rng.choice(WIDTHS)
        flips = self._rng.random() < 0.5
        inner = self.of(source, signed != flips, depth - 1)
        kind = "int" if signed else "bit"
        if flips:
            inner = f"(({kind}<{source}>){inner})"
        return f"(({kind}<{width}>){inner})"

    def _leaf(self, width: int, signed: bool) -> str:
        same = [n for n, t in self._variables.items() if t == (width, signed)]
        if same and self._rng.random() < 0.8:
            return self._rng.choice(same)
        return self._literal(width, signed)

    def _literal(self, width: int, signed: bool, nonzero: bool = False) -> str:
        most = (1 << (width - 1 if signed else width)) - 1
        edges = [0, 1, most, most >> 1, self._rng.randrange(most + 1)]
        value = self._rng.choice(edges)
        value = max(1, value) if nonzero else min(value, most)
        text = f"{width}{'s' if signed else 'w'}{value}"
        return f"(-{text})" if signed and self._rng.random() < 0.3 else text


def expression_program(seed: int) -> str:
    """Reads one variable per width and sign from the packet and writes many expressions back."""
    rng = random.Random(seed)
    types = [(w, s) for w in WIDTHS for s in (False, True) if w > 1 or not s]
    variables = {f"h.given.v{i}": t for i, t in enumerate(types)}
    bits = sum(w for w, _ in types)
    fields = "".join(f"{'int' if s else 'bit'}<{w}> v{i}; " for i, (w, s) in enumerate(types))
    fields += f"bit<{-bits % 8}> pad; " if bits % 8 else ""
    results = [rng.choice(types) for _ in range(24)]
    out = "".join(f"{'int' if s else 'bit'}<{w}> r{i}; " for i, (w, s) in enumerate(results))
    total = sum(w for w, _ in results)
    out += f"bit<{-total % 8}> pad; " if total % 8 else ""
    make = Expressions(rng, variables)
    body = "h.made.setValid();"
    for i, (w, s) in enumerate(results):
        body += f"h.made.r{i} = {make.of(w, s, rng.randrange(1, 4))};\n"
    for i, (w, s) in enumerate(results):
        if w > 2 and not s:
            high = rng.randrange(1, w)
            low = rng.randrange(0, high + 1)
            body += f"h.made.r{i}[{high}:{low}] = {make.of(high - low + 1, False, 1)};\n"
    return f"""
#include <core.p4>
#include <v1model.p4>
header given_t {{ {fields} }}
header made_t {{ {out} }}
struct headers_t {{ given_t given; made_t made; }}
struct meta_t {{ }}
parser P(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {{
    state start {{ p.extract(h.given); transition accept; }} }}
control V(inout headers_t h, inout meta_t m) {{ apply {{ }} }}
control I(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {{ apply {{ {body} }} }}
control E(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {{ apply {{ }} }}
control C(inout headers_t h, inout meta_t m) {{ apply {{ }} }}
control D(packet_out p, in headers_t h) {{ apply {{ p.emit(h); }} }}
V1Switch(P(), V(), I(), E(), C(), D()) main;
"""


def packets(rng: random.Random, size: int, count: int) -> Iterator[bytes]:
    """Random bytes, with the patterns that arithmetic breaks on among them."""
    yield bytes(size)
    yield b"\xff" * size
    for _ in range(count):
        choice = [
            rng.randbytes(size),
            bytes(rng.choice((0, 0, 0x80, 0xFF, 1)) for _ in range(size)),
        ]
        yield rng.choice(choice)


def agree(switch: Switch, oracle: Oracle, port: int, data: bytes) -> None:
    assert [(o.port, o.data) for o in switch.send(port, data)] == oracle.run(port, data), data.hex()


@pytest.mark.parametrize("seed", range(6))
def test_expressions(seed: int) -> None:
    text = expression_program(seed)
    program = compile_text(text)
    oracle = Oracle(program)
    rng = random.Random(seed)
    size = sum(w for w in WIDTHS for _ in (0, 1)) // 8 + 8
    with Switch(program) as switch:
        for data in packets(rng, size, 60):
            agree(switch, oracle, 0, data)


STATEMENTS = {
    "stacks": """
        h.stack[m.x] = h.small; h.stack.push_front(1); h.stack[0].setValid(); h.stack[0] = { 1, 2, 3 };
        h.stack[h.small.a].b = 7; h.stack.pop_front(2); m.x = h.stack[h.small.b & 3].a;
        h.small.c = h.stack[1].a ++ m.x; h.stack[3].setValid(); h.stack[3].a = m.x;
        if (h.stack[h.small.b].isValid()) { h.small.a = 99; }
    """,
    "validity": """
        h.small.setInvalid(); h.small.a = 5; m.x = h.small.a; h.small.setValid(); h.small.b = m.x + 1;
        h.either.small.setValid(); h.either.small.a = 3; h.either.large = h.ethernet;
        if (h.either.isValid() && !h.either.small.isValid()) { h.small.c = 17; }
        h.stack[2] = h.small;
    """,
    "loops": """
        for (bit<8> i = 0; i < 20; i = i + 1) { if (i == 3) continue; if (i > h.small.a) break;
            for (bit<8> j in 8w1 .. 8w4) { m.y = m.y + (bit<16>)(i ^ j); } }
        h.small.c = m.y;
    """,
    "switch": """
        switch (h.small.a & 7) { 0: { h.small.b = 1; } 1: 2: { h.small.b = 2; }
            default: { switch (h.ethernet.kind) { 1: { h.small.b = 4; } } } }
        h.small.c = h.small.c |+| 65000; m.s = (int<8>)h.small.a; m.s = m.s >> 1; h.small.a = (bit<8>)m.s;
    """,
    "multicast and drop": """
        if (h.small.a < 64) { s.mcast_grp = 7; } else if (h.small.a < 128) { mark_to_drop(s); }
        else { s.egress_spec = (bit<9>)h.small.b; }
    """,
}  # fmt: skip

STATES = """
    state start { p.extract(h.ethernet); transition select(h.ethernet.kind) {
        0 .. 0x3fff: accept; 0x8000 &&& 0x8000: pair; default: one; } }
    state one { p.extract(h.small); transition stack; }
    state pair { small_t ahead = p.lookahead<small_t>(); m.x = ahead.a; p.extract(h.small);
        verify(h.small.a != 0, error.NoMatch); transition select(h.small.a, h.small.b) {
        (1, _): stack; (_, 2 .. 200): option; } }
    state stack { p.extract(h.stack.next); transition select(h.stack.last.a) { 0 .. 100: stack; _: accept; } }
    state option { p.extract(h.option, (bit<32>)h.small.a << 1); transition accept; }
"""


@pytest.mark.parametrize("name", STATEMENTS)
def test_statements(name: str) -> None:
    program = compile_text(v1model(
        states=STATES, ingress=STATEMENTS[name], egress="h.ethernet.src[8:0] = s.egress_port;",
    ))  # fmt: skip
    groups = [(1, 10), (2, 11), (2, 12)]
    oracle = Oracle(program, groups={7: groups})
    rng = random.Random(name)
    with Switch(program) as switch:
        switch.multicast(7, groups)
        for data in packets(rng, 40, 200):
            kind = rng.choice((1, 0x3FFF, 0x4000, 0x8000, 0xFFFF))
            data = data[:12] + kind.to_bytes(2, "big") + data[14:]
            agree(switch, oracle, rng.randrange(512), data[: rng.choice((10, 14, 17, 18, 26, 40))])


KEYS = {
    "exact": "key = { h.small.a: exact; h.small.c: exact; }",
    "lpm": "key = { h.ethernet.kind: lpm; }",
    "exact and lpm": "key = { h.small.a: exact; h.ethernet.kind: lpm; }",
    "ternary": "key = { h.small.a: ternary; h.ethernet.kind: ternary; }",
    "lpm in ternary": "key = { h.small.a: ternary; h.ethernet.kind: lpm; }",
    "range": "key = { h.small.a: range; h.small.c: range; h.small.b: optional; }",
    "wide": 'key = { h.ethernet.dst ++ h.ethernet.src: ternary @name("both"); }',
    "wide lpm": 'key = { h.ethernet.dst ++ h.ethernet.src: lpm @name("both"); }',
}


@pytest.mark.parametrize("kind", KEYS)
def test_tables(kind: str) -> None:
    """Random entries come and go; after each change random packets must meet the right one."""
    program = compile_text(v1model(
        states="state start { p.extract(h.ethernet); p.extract(h.small); transition accept; }",
        ingress_locals=f"""
            action mark(bit<32> tag, bit<9> port) {{ m.z = tag; s.egress_spec = port; }}
            action drop() {{ mark_to_drop(s); }}
            table t {{ {KEYS[kind]} actions = {{ mark; drop; NoAction; }} size = 4096; }}""",
        ingress="t.apply(); h.ethernet.src = (bit<48>)m.z;",
    ))  # fmt: skip
    rng = random.Random(kind)
    with Switch(program) as switch:
        table = switch.table("t")
        oracle = Oracle(program, {"I.t": []})
        installed = oracle.entries["I.t"]
        live: list[tuple[int, Installed]] = []
        for step in range(400):
            if live and rng.random() < 0.35:
                handle, old = live.pop(rng.randrange(len(live)))
                table.remove(handle)
                installed.remove(old)
            else:
                matches = tuple(_random_match(rng, k.match_kind, k.expression.type.width)
                                for k in table.keys)  # type: ignore[union-attr]  # fmt: skip
                priority = step + 1 if table.needs_priority else 0
                if table.find([_given(m, k.match_kind) for m, k in zip(matches, table.keys, strict=True)],
                              priority):  # fmt: skip
                    continue
                arguments = (step, rng.randrange(500))
                given = [_given(m, k.match_kind) for m, k in zip(matches, table.keys, strict=True)]
                made = table.insert(given, "mark", arguments, priority=priority)
                rank = priority if table.needs_priority else max(
                    [m[1] for m, k in zip(matches, table.keys, strict=True) if k.match_kind == "lpm"],
                    default=0)  # fmt: skip
                added = Installed(made.matches, rank, 0, arguments)
                installed.append(added)
                live.append((made.handle, added))
            for _ in range(3):
                agree(switch, oracle, 0, _near(rng, installed, table.keys))


def _random_match(rng: random.Random, kind: str, bits: int) -> tuple[int, int]:
    ones = (1 << bits) - 1
    value = rng.randrange(4) << (bits - 3) | rng.randrange(min(8, ones + 1)) if bits >= 3 else 0
    if kind == "lpm":
        length = rng.randrange(bits + 1)
        return value & (ones ^ (ones >> length)), length
    if kind == "ternary":
        mask = rng.choice((0, ones, ones << (bits // 2) & ones, rng.getrandbits(bits)))
        return value & mask, mask
    if kind == "range":
        low, high = sorted((rng.randrange(ones + 1), rng.randrange(ones + 1)))
        return low, high
    if kind == "optional" and rng.random() < 0.5:
        return 0, 0
    return value, ones


def _given(match: tuple[int, int], kind: str) -> int | tuple[int, int] | None:
    if kind == "exact":
        return match[0]
    return None if kind == "optional" and match[1] == 0 else match


def _near(rng: random.Random, installed: list[Installed], keys: list[object]) -> bytes:
    """A packet whose fields are near some entry's, so that hits and near misses are common."""
    fields = {"dst": rng.getrandbits(48), "src": rng.getrandbits(48), "kind": rng.getrandbits(16),
              "a": rng.getrandbits(8), "b": rng.getrandbits(8), "c": rng.getrandbits(16)}  # fmt: skip
    if installed and rng.random() < 0.9:
        entry = rng.choice(installed)
        for (first, second), key in zip(entry.matches, keys, strict=True):
            name = key.name.rsplit(".", 1)[-1]  # type: ignore[attr-defined]
            value = first
            if key.match_kind == "range":  # type: ignore[attr-defined]
                value = rng.choice((first, second, (first + second) // 2, max(0, first - 1)))
            if name == "both":
                value ^= rng.getrandbits(20) if rng.random() < 0.5 else 0
                fields["dst"], fields["src"] = value >> 48, value & ((1 << 48) - 1)
            else:
                fields[name] = value ^ (rng.getrandbits(3) if rng.random() < 0.3 else 0)
    sizes = {"dst": 6, "src": 6, "kind": 2, "a": 1, "b": 1, "c": 2}
    octets = [fields[n] & ((1 << 8 * size) - 1) for n, size in sizes.items()]
    return b"".join(v.to_bytes(size, "big") for v, size in zip(octets, sizes.values(), strict=True))
