"""A running P4 switch.

    switch = Switch.load(Path("router.p4"))
    switch.table("ingress.ipv4_lpm").insert([("10.0.0.0", 8)], "forward", [2])
    for port, data in switch.send(1, packet): ...

One thread may send while another changes tables; changes take effect between two packets.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from weft.p4.compiler import compile_file, compile_text, ir
from weft.p4.switch import build
from weft.p4.switch.codegen import generate
from weft.p4.switch.codegen.layout import flatten, width, words
from weft.p4.switch.codegen.tables import match_keys
from weft.p4.switch.names import ControlError, find, from_words, signed
from weft.p4.switch.state import Counter, Meter, Register, ValueSet
from weft.p4.switch.tables import Action, Profile, Table, profile_tables

__all__ = ["ControlError", "Digest", "Output", "Stats", "Switch"]


class Output(NamedTuple):
    """A packet that leaves."""

    port: int
    data: bytes


class Digest(NamedTuple):
    """A message to the control plane: the struct's name and its values in order."""

    name: str
    values: tuple[int, ...]


@dataclass(frozen=True)
class Stats:
    received: int
    sent: int
    dropped: int
    overruns: int
    failed_asserts: int


class Switch:
    """One instance of a program, with its own state."""

    def __init__(
        self, program: ir.Program, *, seed: int = 1, trace: bool = False, sanitize: bool = False
    ) -> None:
        """Compiles (or finds in the cache) and starts; `seed` is that of `random`.

        Raises `CodegenError` for what v1model lacks, `CompilerError` without a C compiler.
        """
        self.program = program
        generated = generate(program)
        self.names = generated.names
        self.ffi = build.ffi()
        self.lib = build.load(generated.text, trace=trace, sanitize=sanitize)
        self.handle = self.lib.wf_open(seed)
        if self.handle == self.ffi.NULL:
            raise MemoryError("no memory for a switch")
        self._started = time.monotonic_ns()
        self._data_lock = threading.Lock()
        self._groups: dict[int, list[tuple[int, int]]] = {}
        self.sessions: dict[int, list[tuple[int, int]]] = {}
        self._open_objects()
        self._install_entries()

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        include_dirs: Sequence[Path] = (),
        defines: Mapping[str, str] | None = None,
        seed: int = 1,
        trace: bool = False,
        sanitize: bool = False,
    ) -> Switch:
        """From a source file; raises `CompileError` when the program is wrong."""
        program = compile_file(Path(path), include_dirs=include_dirs, defines=defines)
        return cls(program, seed=seed, trace=trace, sanitize=sanitize)

    @classmethod
    def from_text(cls, text: str, *, seed: int = 1, trace: bool = False, sanitize: bool = False
                  ) -> Switch:  # fmt: skip
        return cls(compile_text(text), seed=seed, trace=trace, sanitize=sanitize)

    def _open_objects(self) -> None:
        names = self.names
        self.profiles = {}
        for i, extern in enumerate(names.profiles):
            users = profile_tables(names.tables, extern)
            if users:
                self.profiles[extern.control_plane_name] = Profile(self, i, extern, users[0])
        self.tables: dict[str, Table] = {}
        for i, t in enumerate(names.tables):
            value = t.properties.get("implementation")
            profile = (
                self.profiles.get(value.control_plane_name)
                if isinstance(value, ir.ExternInstance)
                else None
            )
            self.tables[t.control_plane_name] = Table(self, i, t, profile)
        self.counters = {
            e.control_plane_name: Counter(self, i, e) for i, e in enumerate(names.counters)
        }
        self.registers = {
            e.control_plane_name: Register(self, i, e) for i, e in enumerate(names.registers)
        }
        self.meters = {e.control_plane_name: Meter(self, i, e) for i, e in enumerate(names.meters)}
        self.value_sets = {
            s.control_plane_name: ValueSet(self, i, s) for i, s in enumerate(names.sets)
        }

    def _install_entries(self) -> None:
        """The entries that the program itself lists."""
        for declaration in self.names.tables:
            table = self.tables[declaration.control_plane_name]
            for entry in declaration.entries:
                patterns = [
                    p for p, k in zip(entry.patterns, declaration.keys, strict=True)
                    if k.match_kind != "selector"
                ]  # fmt: skip
                matches = tuple(
                    _pattern(p, k) for p, k in zip(patterns, match_keys(declaration), strict=True)
                )
                arguments = tuple(
                    a.value & ((1 << width(a.type)) - 1) if isinstance(a, ir.Const) else 0
                    for a in entry.call.arguments
                )
                action = Action(entry.call.action.control_plane_name, arguments)
                table.add(matches, action, entry.priority, entry.is_const)

    # ----------------------------------------------------------------------------- packets

    def now_us(self) -> int:
        """Microseconds since the switch started."""
        return (time.monotonic_ns() - self._started) // 1000

    def send(self, port: int, data: bytes, now_us: int | None = None) -> list[Output]:
        """Runs one packet to its end; returns what leaves, in order."""
        now = self.now_us() if now_us is None else now_us
        with self._data_lock:
            self.check_open()
            count = self.lib.wf_run(self.handle, port, data, len(data), now)
            outputs = self.lib.wf_outputs(self.handle)
            return [
                Output(outputs[i].port, bytes(self.ffi.buffer(outputs[i].data, outputs[i].length)))
                for i in range(count)
            ]

    def send_many(self, port: int, packets: Sequence[bytes], rounds: int = 1) -> int:
        """Runs packets in native code alone; returns how many left. For measuring and soaking."""
        offsets = [0]
        for packet in packets:
            offsets.append(offsets[-1] + len(packet))
        array = self.ffi.new("uint32_t[]", offsets)
        with self._data_lock:
            self.check_open()
            left = self.lib.wf_run_many(
                self.handle, port, b"".join(packets), array, len(packets), rounds, self.now_us()
            )
            return int(left)

    def entry_points(self) -> tuple[int, int, int]:
        """Addresses of the switch, wf_run and wf_outputs, for native callers (native/fabric).

        Good until `close`. While a native caller runs packets, only control calls are allowed here.
        """
        self.check_open()
        parts = (self.handle, self.lib.wf_run, self.lib.wf_outputs)
        handle, run, outputs = (int(self.ffi.cast("uintptr_t", p)) for p in parts)
        return handle, run, outputs

    def log(self) -> str:
        """What log_msg wrote for the last packet."""
        self.check_open()
        length = self.ffi.new("uint32_t *")
        text = self.lib.wf_log(self.handle, length)
        return bytes(self.ffi.buffer(text, length[0])).decode(errors="replace")

    def events(self) -> list[tuple[int, int, int]]:
        """Trace events of the last packet (kind, subject, value); needs `trace=True`."""
        self.check_open()
        events = self.ffi.new("struct wf_event **")
        count = self.lib.wf_events(self.handle, events)
        return [(events[0][i].kind, events[0][i].subject, events[0][i].value) for i in range(count)]

    def stats(self) -> Stats:
        self.check_open()
        s = self.ffi.new("struct wf_stats *")
        self.lib.wf_stats_read(self.handle, s)
        return Stats(s.received, s.sent, s.dropped, s.overruns, s.failed_asserts)

    def digests(self) -> list[Digest]:
        """Takes all digests that wait."""
        self.check_open()
        which = self.ffi.new("uint32_t *")
        capacity = 4096
        buffer = self.ffi.new(f"uint64_t[{capacity}]")
        found: list[Digest] = []
        while self.lib.wf_digest(self.handle, which, buffer, capacity):
            type_ = self.names.digests[which[0]]
            values, at = [], 0
            for field in flatten(type_):
                count = words(width(field))
                values.append(signed(from_words(buffer[at + i] for i in range(count)), field))
                at += count
            found.append(Digest(getattr(type_, "name", "digest"), tuple(values)))
        return found

    # ----------------------------------------------------------------------------- control

    def table(self, name: str) -> Table:
        return find("table", name, self.tables)

    def counter(self, name: str) -> Counter:
        return find("counter", name, self.counters)

    def register(self, name: str) -> Register:
        return find("register", name, self.registers)

    def meter(self, name: str) -> Meter:
        return find("meter", name, self.meters)

    def profile(self, name: str) -> Profile:
        return find("action profile", name, self.profiles)

    def value_set(self, name: str) -> ValueSet:
        return find("value set", name, self.value_sets)

    def multicast(self, group: int, copies: Sequence[tuple[int, int]]) -> None:
        """Sets a multicast group's copies, (port, rid) each; none removes the group."""
        if group == 0:
            raise ControlError("multicast group 0 means: no multicast")
        ports = self.ffi.new("uint32_t[]", [p for p, _ in copies] or [0])
        rids = self.ffi.new("uint32_t[]", [r for _, r in copies] or [0])
        if self.lib.wf_multicast(self.handle, group, ports, rids, len(copies)):
            raise ControlError(f"multicast group {group} is out of range 1..65535")
        self._groups[group] = list(copies)

    def clone_session(
        self, session: int, copies: Sequence[tuple[int, int]] = (), *, group: int | None = None,
        length: int = 0,
    ) -> None:  # fmt: skip
        """Where clones go: copies (port, rid), a multicast group, or both; `length` cuts them."""
        ports = self.ffi.new("uint32_t[]", [p for p, _ in copies] or [0])
        rids = self.ffi.new("uint32_t[]", [r for _, r in copies] or [0])
        mgid = 0 if group is None else group + 1
        if self.lib.wf_clone_session(self.handle, session, ports, rids, len(copies), mgid, length):
            raise ControlError(f"clone session {session} is out of range 0..32767")
        self.sessions[session] = list(copies)

    def custom_crc(
        self, bits: int, polynomial: int, initial: int, final_xor: int, reflect_in: bool,
        reflect_out: bool,
    ) -> None:  # fmt: skip
        """Parameters of crc16_custom or crc32_custom. Not while packets run."""
        if bits not in (16, 32):
            raise ControlError("custom CRCs have 16 or 32 bits")
        with self._data_lock:
            self.lib.wf_custom_crc(
                self.handle, bits, polynomial, initial, final_xor, reflect_in, reflect_out
            )

    # --------------------------------------------------------------------------- lifetime

    def checked(self, status: int) -> None:
        if status:
            raise MemoryError("the switch has no memory for this")

    def check_open(self) -> None:
        if self.handle == self.ffi.NULL:
            raise ControlError("the switch is closed")

    def close(self) -> None:
        with self._data_lock:
            self.lib.wf_close(self.handle)
            self.handle = self.ffi.NULL

    def __enter__(self) -> Switch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _constant(e: ir.Expression) -> int:
    value = e.value if isinstance(e, ir.Const) else 0
    return value & ((1 << width(e.type)) - 1)


def _pattern(pattern: ir.Pattern, key: ir.Key) -> tuple[int, int]:
    """An entry's pattern as `Entry.matches` has it."""
    bits = width(key.expression.type)
    ones = (1 << bits) - 1
    match pattern:
        case ir.Masked(value=value, mask=mask):
            m = _constant(mask)
            if key.match_kind == "lpm":
                return _constant(value) & m, m.bit_count()
            return _constant(value) & m, m
        case ir.Range(low=low, high=high):
            return _constant(low), _constant(high)
        case ir.Exact(value=value):
            v = _constant(value)
            return v, {"lpm": bits, "range": v}.get(key.match_kind, ones)
    return (0, ones) if key.match_kind == "range" else (0, 0)
