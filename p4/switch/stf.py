"""STF test files: the Simple Test Framework of P4 compilers.

One command per line (`#` starts a comment); the commands are those of `_COMMANDS` below:

    add <table> [priority] <key>:<match>... <action>(<name>:<value>, ...) [= $<entry>]
    setdefault <table> <action>(...)
    packet <port> <hex>
    expect <port> [<hex, * for any digit>] [$]       ($: the packet ends there)
    check_counter <counter>(<index> or $<entry>) [packets|bytes] == <number>
    register_write, register_read, add_member, add_group, remove all, wait, no_packet
    and simple_switch_CLI's own for clone sessions, multicast groups, counters, registers, meters

The *largest* priority number wins, and of equal ones the first entry. (The first runner of these
files subtracts the number from 10000 before bmv2 sees it, whose lowest number wins.)

Strict rules: every packet that leaves must be expected, in order, on its port; ports without an
expectation must be silent; counters must be right; exact keys must be given. The lenient rules
(`upstream`) are those of the tests' original runner: silent ports and surplus packets are not
looked at, nor is a port that some `expect` names without a packet; counters are skipped; an exact
key that is left out is 0, and a ternary or lpm key without a mask has one bit per bit of the
digits that are written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from weft.p4.compiler import ir
from weft.p4.switch.codegen.layout import width
from weft.p4.switch.commands import CommandLine
from weft.p4.switch.names import ControlError, find
from weft.p4.switch.switch import Output, Switch
from weft.p4.switch.tables import Entry, Match, Table


class StfError(ControlError):
    """A line that is not STF; carries its place."""


@dataclass
class Expectation:
    line: int
    port: int
    pattern: str  # hex digits in lower case, `*` for any
    exact: bool  # the packet must end where the pattern does


@dataclass
class Result:
    """What a run found; no failures is a pass."""

    packets: int = 0
    checks: int = 0
    failures: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # with the reason


def matches(expected: Expectation, data: bytes) -> bool:
    digits = data.hex()
    if len(expected.pattern) > len(digits) or (
        expected.exact and len(expected.pattern) != len(digits)
    ):
        return False
    return all(e in ("*", d) for e, d in zip(expected.pattern, digits, strict=False))


#: Called after each packet with its port and bytes.
After = Callable[[int, bytes], None]


def run_file(
    switch: Switch, path: Path, *, upstream: bool = False, after: After | None = None
) -> Result:
    """Runs the file against a fresh switch."""
    text = path.read_text(encoding="utf-8")
    return run_text(switch, text, str(path), upstream=upstream, after=after)


def run_text(
    switch: Switch,
    text: str,
    name: str = "<stf>",
    *,
    upstream: bool = False,
    after: After | None = None,
) -> Result:
    return _Run(switch, name, upstream, after).run(text)


class _Run:
    def __init__(self, switch: Switch, name: str, upstream: bool, after: After | None) -> None:
        self._switch, self._name, self._upstream = switch, name, upstream
        self._after = after
        self._result = Result()
        self._expected: dict[int, list[Expectation]] = {}
        self._received: dict[int, list[tuple[int, bytes]]] = {}
        self._commands_of_bmv2 = CommandLine(switch)
        self._entries: dict[str, tuple[Table, Entry]] = {}  # by the name that `= $name` gave
        self._line = 0
        self._last: list[Output] = []

    def run(self, text: str) -> Result:
        for self._line, line in enumerate(text.splitlines(), 1):
            plain = line.split("#", 1)[0].strip()
            if not plain:
                continue
            word, _, rest = plain.partition(" ")
            command = self._commands.get(word.lower())
            try:
                if command is not None:
                    command(self, rest.strip())
                elif word.lower().startswith(_DIRECT):
                    self._commands_of_bmv2.run(f"{word.lower()} {rest}")
                else:
                    raise StfError(f"{self._name}:{self._line}: unknown command '{word}'")
            except StfError:
                raise
            except (ControlError, ValueError) as problem:
                raise StfError(f"{self._name}:{self._line}: {problem}") from problem
        self._compare()
        return self._result

    def _fail(self, line: int, message: str) -> None:
        self._result.failures.append(f"{self._name}:{line}: {message}")

    # ----------------------------------------------------------------------------- packets

    def _packet(self, rest: str) -> None:
        port, _, digits = rest.partition(" ")
        data = bytes.fromhex(re.sub(r"\s", "", digits))
        self._result.packets += 1
        self._last = self._switch.send(int(port, 0), data)
        if self._after is not None:
            self._after(int(port, 0), data)
        for output in self._last:
            self._received.setdefault(output.port, []).append((self._line, output.data))

    def _expect(self, rest: str) -> None:
        port, _, digits = rest.partition(" ")
        pattern = re.sub(r"\s", "", digits).lower()
        exact = pattern.endswith("$")
        pattern = pattern.rstrip("$")
        if not re.fullmatch(r"[0-9a-f*]*", pattern):
            raise ValueError(f"'{digits}' is no packet pattern")
        made = Expectation(self._line, int(port, 0), pattern, exact)
        self._expected.setdefault(made.port, []).append(made)

    def _no_packet(self, _: str) -> None:
        self._result.checks += 1
        if self._last:
            self._fail(self._line, f"a packet left on port {self._last[0].port}, none was expected")

    def _compare(self) -> None:
        for port, expected in self._expected.items():
            got = list(self._received.pop(port, []))
            if self._upstream and any(not e.pattern for e in expected):
                continue
            for e in expected:
                self._result.checks += 1
                if not got:
                    self._fail(e.line, f"nothing left on port {port}; expected {e.pattern}")
                    continue
                line, data = got.pop(0)
                if not matches(e, data):
                    end = "$" if e.exact else ""
                    self._fail(
                        e.line,
                        f"packet of line {line} left on port {port} as {data.hex()}; "
                        f"expected {e.pattern}{end}",
                    )
            self._surplus(port, got)
        for port, got in self._received.items():
            self._surplus(port, got)

    def _surplus(self, port: int, got: list[tuple[int, bytes]]) -> None:
        if not self._upstream:
            for line, data in got:
                self._fail(line, f"unexpected packet on port {port}: {data.hex()}")

    # ------------------------------------------------------------------------------ tables

    def _add(self, rest: str) -> None:
        rest, _, handle = (part.strip() for part in rest.partition("="))
        table, head, action, arguments = self._entry(rest)
        words = head.split()
        priority = 0
        if words and ":" not in words[0]:
            priority = int(words.pop(0), 0)
        if not table.declaration.largest_priority_wins:
            priority = -priority
        given: dict[str, Match] = {}
        if self._upstream:
            given = {k.name: 0 for k in table.keys if k.match_kind == "exact"}
        names = {k.name: k for k in table.keys}
        for word in words:
            name, _, value = word.partition(":")
            key = find(f"key of table {table.name}", _key_name(name, names), names)
            given[key.name] = _match(value, key, self._upstream)
        number = re.fullmatch(r"(member|group)\((\d+)\)", f"{action}({arguments})")
        if number:
            target = int(number[2])
            made = table.insert(
                given, priority=priority, member=target if number[1] == "member" else None,
                group=target if number[1] == "group" else None,
            )  # fmt: skip
        else:
            made = table.insert(given, action, _arguments(arguments), priority=priority)
        if handle:
            self._entries[handle.lstrip("$")] = table, made

    def _set_default(self, rest: str) -> None:
        table, head, action, arguments = self._entry(rest)
        if head:
            raise ValueError(f"unexpected '{head}'")
        table.set_default(action, _arguments(arguments))

    def _entry(self, rest: str) -> tuple[Table, str, str, str]:
        """The table, what stands between, the action's name and its arguments."""
        found = re.fullmatch(
            r"(?P<table>\S+)\s+(?P<head>.*?)\s*(?P<action>[\w.$]+)\s*\((?P<arguments>[^()]*)\)"
            r"\s*", rest,
        )  # fmt: skip
        if found is None:
            found = re.fullmatch(
                r"(?P<table>\S+)\s+(?P<head>.*?)\s*(?P<action>[\w.$]+)(?P<arguments>)", rest
            )
        if found is None:
            raise ValueError("expected a table, keys and an action")
        table = self._switch.table(found["table"])
        return table, found["head"], found["action"], found["arguments"]

    def _remove(self, rest: str) -> None:
        if rest != "all":
            raise ValueError("only 'remove all' is known")
        for table in self._switch.tables.values():
            table.clear()

    def _add_member(self, rest: str) -> None:
        """add_member <profile> <member> <action>(...)"""
        profile, member, call = rest.split(None, 2)
        action, _, arguments = call.partition("(")
        self._switch.profile(profile).set_member(
            int(member, 0), action.strip(), _arguments(arguments.rstrip(") "))
        )

    def _add_group(self, rest: str) -> None:
        """add_group <profile> <group> <member>..."""
        profile, group, *members = rest.split()
        self._switch.profile(profile).set_group(int(group, 0), [int(m, 0) for m in members])

    # ------------------------------------------------------------------------------- state

    def _check_counter(self, rest: str) -> None:
        if self._upstream:
            self._result.skipped.append(f"{self._name}:{self._line}: check_counter (lenient rules)")
            return
        found = re.fullmatch(
            r"([\w.]+)\s*\(\s*(\$?\w+)\s*\)\s*(packets|bytes)?\s*(==|!=|<=|>=|<|>)\s*(\w+)", rest
        )
        if found is None:
            raise ValueError("expected <counter>(<index>) [packets|bytes] == <number>")
        counts = self._counts(found[1], found[2])
        value, wanted = counts[found[3] == "bytes"], int(found[5], 0)
        self._result.checks += 1
        good = {
            "==": value == wanted, "!=": value != wanted, "<=": value <= wanted,
            ">=": value >= wanted, "<": value < wanted, ">": value > wanted,
        }[found[4]]  # fmt: skip
        if not good:
            self._fail(self._line, f"counter {found[1]}({found[2]}) is {value}, not {rest[-20:]}")

    def _counts(self, counter: str, cell: str) -> tuple[int, int]:
        """Packets and bytes of a cell, or of an entry of the table that has this direct counter."""
        if not cell.startswith("$"):
            return self._switch.counter(counter).read(int(cell, 0))
        table, entry = find("entry", cell[1:], self._entries)
        owned = table.declaration.properties.get("counters")
        known = {owned.control_plane_name: owned} if isinstance(owned, ir.ExternInstance) else {}
        find("direct counter", counter, known)
        return table.counts(entry)

    def _register_write(self, rest: str) -> None:
        name, index, value = rest.split()
        self._switch.register(name).write(int(index, 0), int(value, 0))

    def _register_read(self, rest: str) -> None:
        """register_read <register> <index> [<value that it must have>]"""
        name, index, *wanted = rest.split()
        value = self._switch.register(name).read(int(index, 0))
        self._result.checks += 1
        if wanted and value != int(wanted[-1], 0):
            self._fail(self._line, f"register {name}[{index}] is {value}, not {wanted[-1]}")

    def _nothing(self, _: str) -> None:
        """`wait`: packets run to their end at once here."""

    _commands: dict[str, Callable[[_Run, str], None]] = {  # noqa: RUF012
        "packet": _packet, "expect": _expect, "no_packet": _no_packet, "add": _add,
        "setdefault": _set_default, "remove": _remove, "check_counter": _check_counter,
        "register_write": _register_write, "register_read": _register_read, "wait": _nothing,
        "add_member": _add_member, "add_group": _add_group,
    }  # fmt: skip


#: What files may say to simple_switch_CLI as it is.
_DIRECT = ("mirroring_", "mc_", "counter_", "register_", "meter_")


def _key_name(name: str, known: Iterable[str]) -> str:
    """The key that bmv2's files mean: `extra$0.h` is `extra[0].h`, `one.valid` is its isValid()."""
    name = re.sub(r"\$(\d+)", r"[\1]", name.strip('"'))
    if any(key == name or key.endswith(f".{name}") for key in known):
        return name
    return re.sub(r"(^|\.)(\$valid\$?|valid)$", r"\1isValid()", name)


def _arguments(text: str) -> dict[str, str] | list[str]:
    parts = [p.strip() for p in text.split(",") if p.strip()]
    if all(":" in p for p in parts):
        return {name.strip(): value.strip() for name, _, value in (p.partition(":") for p in parts)}
    return parts


def _match(text: str, key: ir.Key, upstream: bool) -> Match:
    """`5`, `5/8`, `5&&&0xff`, `5..9`, `5->9`, `0x1*` (any digit there)."""
    for separator in ("&&&", "..", "->", "/"):
        if separator in text:
            first, second = text.split(separator, 1)
            return first, second
    base = {"0x": 16, "0b": 2, "0o": 8}.get(text[:2].lower())
    by_digits = upstream and base is not None and key.match_kind in ("ternary", "lpm")
    if "*" not in text and not by_digits:
        return text
    if text == "*":
        return None
    if base is None:
        raise ValueError(f"'{text}': * stands for digits of 0x, 0b and 0o numbers only")
    value, mask = _wildcards(text[2:], base)
    if key.match_kind == "lpm" and by_digits:
        return value, min(mask.bit_count(), width(key.expression.type))
    if key.match_kind == "lpm":
        return value, width(key.expression.type) - (~mask & _ones(key)).bit_length()
    return value, mask & _ones(key)


def _ones(key: ir.Key) -> int:
    return (1 << width(key.expression.type)) - 1


def _wildcards(digits: str, base: int) -> tuple[int, int]:
    value = mask = 0
    for digit in digits:
        known = digit != "*"
        value = value * base + (int(digit, base) if known else 0)
        mask = mask * base + (base - 1 if known else 0)
    return value, mask


def pairs(paths: list[Path]) -> Iterator[tuple[Path, Path]]:
    """(program, STF file) for files and folders: `x.stf` tests the `x.p4` beside it."""
    for path in paths:
        if path.is_dir():
            yield from pairs(sorted(path.rglob("*.stf")))
        elif path.suffix == ".stf":
            yield path.with_suffix(".p4"), path
        else:
            yield path, path.with_suffix(".stf")
