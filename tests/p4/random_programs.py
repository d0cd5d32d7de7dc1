"""Random programs with their meaning: statements, functions, actions, tables, whole packets.

As random_expressions.py has it for expressions: left-to-right evaluation, copy-in and copy-out,
exit and return, loops, validity, stacks, each in a few lines of Python.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from random_expressions import (
    FIELDS,
    HEADERS,
    SMALL,
    STACK,
    Break,
    Callable_,
    Continue,
    Exit,
    Expressions,
    Return,
    Run,
    State,
    header,
)


class Programs(Expressions):
    # -------------------------------------------------------------------------- statements

    def block(self, size: int, depth: int) -> tuple[str, Run]:
        saved = self.locals
        self.locals = [*saved, dict(saved[-1])]
        made = [self.statement(depth) for _ in range(self.rng.randrange(1, size + 1))]
        self.locals = saved

        def run(s: State) -> None:
            for _, step in made:
                step(s)

        return "{ " + " ".join(text for text, _ in made) + " }", run

    def statement(self, depth: int) -> tuple[str, Run]:
        rng = self.rng
        kinds: list[Callable[[int], tuple[str, Run]]] = [self._assign] * 5 + [self._declare] * 2
        if depth > 0:
            kinds += [self._if] * 3 + [self._switch, self._for, self._for_in]
            kinds += [lambda d: self.block(2, d - 1)]
        if self.functions or self.actions:
            kinds += [self._call] * 3
        if self.where != "function":
            kinds += [self._validity] * 2
        if self.where == "control" and self.tables:
            kinds += [self._apply] * 2
        if depth < 2:
            kinds += [self._leave]
        while True:
            try:
                return rng.choice(kinds)(depth)
            except LookupError:
                continue

    def _assign(self, depth: int) -> tuple[str, Run]:
        rng = self.rng
        width = rng.choice((3, 8, 8, 16, 32))
        target = self.place(width, 2)
        text, value = self.expression(width, 2)
        if rng.random() < 0.3:
            op = rng.choice(["+", "-", "&", "|", "^"])

            def compound(s: State) -> None:
                get, put = target.fix(s)
                old, v = get(), value(s)
                result = {"+": old + v, "-": old - v, "&": old & v, "|": old | v, "^": old ^ v}[op]
                put(result & ((1 << width) - 1))

            return f"{target.text} {op}= {text};", compound

        def plain(s: State) -> None:
            _, put = target.fix(s)
            put(value(s))

        return f"{target.text} = {text};", plain

    def _declare(self, depth: int) -> tuple[str, Run]:
        width, name = self.rng.choice((8, 16, 32)), self.fresh("v")
        text, value = self.expression(width, 2)
        self.locals[-1][name] = width

        def run(s: State) -> None:
            s.local[name] = value(s)

        return f"bit<{width}> {name} = {text};", run

    def _if(self, depth: int) -> tuple[str, Run]:
        (c, t), (a, x) = self.truth(1), self.block(3, depth - 1)
        if self.rng.random() < 0.5:
            return f"if ({c}) {a}", lambda s: x(s) if t(s) else None
        b, y = self.block(2, depth - 1)
        return f"if ({c}) {a} else {b}", lambda s: x(s) if t(s) else y(s)

    def _switch(self, depth: int) -> tuple[str, Run]:
        e, value = self.expression(8, 1)
        e = f"({e}) & 3"
        labels = self.rng.sample(range(4), 3)
        bodies = [self.block(2, depth - 1) for _ in range(3)]
        falls = self.rng.random() < 0.4
        first = f"{labels[0]}: " if falls else f"{labels[0]}: {bodies[0][0]} "
        text = f"switch ({e}) {{ {first}{labels[1]}: {bodies[1][0]} {labels[2]}: {bodies[2][0]} }}"

        def run(s: State) -> None:
            got = value(s) & 3
            if got == labels[0]:
                bodies[1 if falls else 0][1](s)
            elif got in labels[1:]:
                bodies[labels.index(got)][1](s)

        return text, run

    def _loop(self, body: Run) -> Callable[[State], bool]:
        """One turn; true when the loop is to end."""

        def turn(s: State) -> bool:
            try:
                body(s)
            except Break:
                return True
            except Continue:
                pass
            return False

        return turn

    def _for(self, depth: int) -> tuple[str, Run]:
        name, turns = self.fresh("i"), self.rng.randrange(5)
        text, turn = self._loop_body(name, depth)

        def run(s: State) -> None:
            s.local[name] = 0
            while s.local[name] < turns:
                if turn(s):
                    return
                s.local[name] += 1

        return f"for (bit<8> {name} = 0; {name} < {turns}; {name} = {name} + 1) {text}", run

    def _for_in(self, depth: int) -> tuple[str, Run]:
        name, low = self.fresh("i"), self.rng.randrange(250)
        high = low + self.rng.randrange(-1, 4)
        text, turn = self._loop_body(name, depth)

        def run(s: State) -> None:
            for value in range(low, high + 1):
                s.local[name] = value
                if turn(s):
                    return

        return f"for (bit<8> {name} in 8w{low} .. 8w{max(high, 0)}) {text}", run

    def _loop_body(self, name: str, depth: int) -> tuple[str, Callable[[State], bool]]:
        saved = self.locals
        self.locals = [*saved, {**saved[-1], name: 8}]
        self.readonly.add(name)
        self.loops += 1
        text, body = self.block(3, min(depth - 1, 1))
        self.loops -= 1
        self.locals = saved
        return text, self._loop(body)

    def _leave(self, depth: int) -> tuple[str, Run]:
        """exit, return, break or continue, seldom taken: behind a condition."""
        c, t = self.truth(0)
        kinds = ["return"] + (["exit"] if self.where != "function" else [])
        kinds += ["break", "continue"] if self.loops else []
        kind = self.rng.choice(kinds)
        text, value = kind, None
        if kind == "return" and self.result:
            e, value = self.expression(self.result, 1)
            text = f"return {e}"

        def run(s: State) -> None:
            if not t(s):
                return
            if kind == "return":
                raise Return(None if value is None else value(s))
            raise {"exit": Exit, "break": Break, "continue": Continue}[kind]

        return f"if ({c}) {{ {text}; }}", run

    def _call(self, depth: int) -> tuple[str, Run]:
        made = self.rng.choice(self.functions + (self.actions if self.where != "function" else []))
        text, run = self._arguments(made, 1)
        return f"{made.name}({text});", run

    def _validity(self, depth: int) -> tuple[str, Run]:
        rng = self.rng
        kind = rng.randrange(6)
        name, other = rng.sample(HEADERS, 2)
        if kind == 0:
            return f"h.{name}.setInvalid();", lambda s: s.headers[name].update(valid=False)
        if kind == 1:
            (a, x), (b, y) = self.expression(8, 1), self.expression(8, 1)

            def build(s: State) -> None:
                k, v = x(s), y(s)
                s.headers[name].update(valid=True, k=k, v=v)

            return f"h.{name} = {{ {a}, {b} }};", build
        if kind == 2:
            return f"h.{name} = h.{other};", lambda s: s.headers[name].update(s.headers[other])
        if kind == 3:
            at = rng.randrange(STACK)
            return f"h.stack[{at}] = h.{name};", lambda s: s.stack[at].update(s.headers[name])
        count = rng.randrange(1, 3)
        if kind == 4:

            def push(s: State) -> None:
                s.stack[:] = ([header() for _ in range(count)] + s.stack)[:STACK]

            return f"h.stack.push_front({count});", push

        def pop(s: State) -> None:
            s.stack[:] = s.stack[count:] + [header() for _ in range(count)]

        return f"h.stack.pop_front({count});", pop

    def _apply(self, depth: int) -> tuple[str, Run]:
        name, _, apply = self.rng.choice(self.tables)
        return f"{name}.apply();", lambda s: apply(s)

    # --------------------------------------------------------------------------- programs

    def _body(
        self, parameters: list[tuple[str, str, int]], where: str, result: int
    ) -> tuple[str, Run]:
        before = (self.where, self.locals, self.result, self.readonly)
        self.where, self.result = where, result
        self.locals = [{n: w for n, _, w in parameters}]
        self.readonly = {n for n, d, _ in parameters if d in ("in", "")}
        texts: list[str] = []
        steps: list[Run] = []
        for name, direction, width in parameters:  # an out parameter is set before it is read
            if direction == "out":
                e, value = f"{width}w7", (lambda s, name=name: s.local.__setitem__(name, 7))
                texts.append(f"{name} = {e};")
                steps.append(value)
        text, body = self.block(4, 2)
        texts.append(text)
        steps.append(body)
        if result:
            e, value = self.expression(result, 2)

            def give(s: State) -> None:
                raise Return(value(s))

            texts.append(f"return {e};")
            steps.append(give)
        self.where, self.locals, self.result, self.readonly = before

        def run(s: State) -> None:
            for step in steps:
                step(s)

        return " ".join(texts), run

    def program(self) -> tuple[str, Callable[[bytes], bytes]]:
        """The text between types.p4 and frame.p4, and packet in -> packet out."""
        rng = self.rng
        globals_: list[str] = []
        for _ in range(3):
            name, result = self.fresh("f"), rng.choice((0, 8, 8, 16))
            directions = rng.choices(("in", "inout", "out"), k=rng.randrange(1, 4))
            parameters = [(self.fresh("p"), d, rng.choice((8, 8, 16))) for d in directions]
            text, run = self._body(parameters, "function", result)
            shown = ", ".join(f"{d} bit<{w}> {n}" for n, d, w in parameters)
            kind = f"bit<{result}>" if result else "void"
            globals_.append(f"{kind} {name}({shown}) {{ {text} }}")
            self.functions.append(Callable_(name, parameters, run, result))
        locals_: list[str] = []
        for _ in range(2):
            name = self.fresh("act")
            directions = rng.choices(("in", "inout"), k=rng.randrange(2))
            parameters = [(self.fresh("p"), d, 8) for d in directions]
            parameters += [(self.fresh("p"), "", 8) for _ in range(rng.randrange(2))]
            text, run = self._body(parameters, "action", 0)
            shown = ", ".join(f"{d} bit<{w}> {n}".strip() for n, d, w in parameters)
            locals_.append(f"action {name}({shown}) {{ {text} }}")
            self.actions.append(Callable_(name, parameters, run))
        locals_.append(self._table())
        text, run = self.block(7, 3)
        source = "\n".join(globals_) + (
            "\n#define OWN_INGRESS\ncontrol MyIngress(inout headers_t h, inout meta_t m, "
            "inout standard_metadata_t s) {\n" + "\n".join(locals_) + f"\napply {text}\n}}\n"
        )

        def meaning(packet: bytes) -> bytes:
            d, at = {}, 0
            for n, w in FIELDS.items():
                d[n] = int.from_bytes(packet[at : at + w // 8], "big")
                at += w // 8
            state = State(d, {n: header() for n in HEADERS}, [header() for _ in range(STACK)])
            with contextlib.suppress(Exit, Return):
                run(state)
            out = b"".join(state.d[n].to_bytes(w // 8, "big") for n, w in FIELDS.items())
            for each in [*state.headers.values(), *state.stack]:
                out += bytes(each[n] for n in SMALL) if each["valid"] else b""
            return out + packet[at:]

        return source, meaning

    def _table(self) -> str:
        """A table on a field with constant entries, whose actions set fields."""
        rng, name = self.rng, self.fresh("t")
        key, low = rng.choice([n for n in FIELDS if FIELDS[n] == 8]), rng.randrange(250)
        target = rng.choice([n for n in FIELDS if FIELDS[n] == 8])
        leaves = rng.random() < 0.3
        entries = {low + i: rng.randrange(256) for i in range(4)} | {rng.randrange(4): 9}

        def apply(s: State) -> tuple[bool, int]:
            value = entries.get(s.d[key])
            if value is None:
                s.d[target] = s.d[target] ^ 0x55
                return False, 1
            s.d[target] = value
            if leaves and value & 1:
                raise Exit
            return True, 0

        self.tables.append((name, key, apply))
        leave = f"if ({name}_v & 1 == 1) {{ exit; }}" if leaves else ""
        listed = " ".join(f"{k}: {name}_set({v});" for k, v in entries.items())
        return (
            f"action {name}_set(bit<8> {name}_v) {{ h.d.{target} = {name}_v; {leave} }}\n"
            f"action {name}_flip() {{ h.d.{target} = h.d.{target} ^ 0x55; }}\n"
            f"table {name} {{ key = {{ h.d.{key}: exact; }}\n"
            f"actions = {{ {name}_set; {name}_flip; }}\n"
            f"const entries = {{ {listed} }} default_action = {name}_flip(); }}"
        )
