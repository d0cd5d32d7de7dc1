"""eBPF without a compiler or a library: instructions packed by hand, bpf(2) by ctypes.

Programs are attached as tcx links (Linux 6.6), which vanish with their descriptor: whatever happens
to the process that made them, nothing stays behind. Formats: linux/bpf.h, RFC 9669.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass, field

MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, PROG_LOAD, LINK_CREATE = 0, 1, 2, 5, 28
MAP_TYPE_ARRAY, PROG_TYPE_SCHED_CLS, TCX_EGRESS = 2, 3, 47
SYSCALL = {"x86_64": 321, "aarch64": 280}
LICENCE = b"Apache-2.0"
LOG_BYTES = 1 << 16

_libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command: int, attributes: bytes, what: str) -> int:
    number = SYSCALL.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"{what}: bpf(2) has no known number on {platform.machine()}")
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    answer = _libc.syscall(number, command, buffer, len(attributes))
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return int(answer)


class Array:
    """A map from 0 .. entries - 1 to as many 64-bit numbers as there are names."""

    def __init__(self, entries: int, names: tuple[str, ...]) -> None:
        self.names = names
        self._format = f"={len(names)}Q"
        size = struct.calcsize(self._format)
        attributes = struct.pack("=IIIII", MAP_TYPE_ARRAY, 4, size, entries, 0)
        self.fd = _bpf(MAP_CREATE, attributes, "a map of ports")

    def offset(self, name: str) -> int:
        return 8 * self.names.index(name)

    def read(self, entry: int) -> dict[str, int]:
        value = ctypes.create_string_buffer(struct.calcsize(self._format))
        self._at(MAP_LOOKUP, entry, value)
        return dict(zip(self.names, struct.unpack(self._format, value.raw), strict=True))

    def change(self, entry: int, **values: int) -> None:
        """Set some numbers of an entry; programs that run meanwhile may lose a count."""
        packed = struct.pack(self._format, *(self.read(entry) | values).values())
        self._at(MAP_UPDATE, entry, ctypes.create_string_buffer(packed, len(packed)))

    def _at(self, command: int, entry: int, value: ctypes.Array[ctypes.c_char]) -> None:
        key = ctypes.c_uint32(entry)
        where = ctypes.addressof(key), ctypes.addressof(value)
        _bpf(command, struct.pack("=IIQQQ", self.fd, 0, *where, 0), f"entry {entry} of a map")


@dataclass
class Code:
    """Instructions in the making. Registers are numbers; jumps name labels that come later."""

    words: list[tuple[int, int, int, int]] = field(default_factory=list)
    """Opcode, registers, offset, immediate."""
    labels: dict[str, int] = field(default_factory=dict)
    jumps: list[tuple[int, str]] = field(default_factory=list)

    def emit(
        self, code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0
    ) -> None:
        self.words.append((code, source << 4 | to, offset, value))

    def label(self, name: str) -> None:
        self.labels[name] = len(self.words)

    def set(self, to: int, value: int) -> None:
        self.emit(0xB7, to, value=value)

    def copy(self, to: int, source: int) -> None:
        self.emit(0xBF, to, source)

    def add(self, to: int, value: int) -> None:
        self.emit(0x07, to, value=value)

    def calculate(self, to: int, how: str, source: int) -> None:
        self.emit({"+": 0x0F, "-": 0x1F, "*": 0x2F}[how], to, source)

    def shift_right(self, to: int, bits: int) -> None:
        self.emit(0x77, to, value=bits)

    def load(self, to: int, base: int, offset: int, size: int = 8) -> None:
        self.emit({8: 0x79, 4: 0x61, 2: 0x69, 1: 0x71}[size], to, base, offset)

    def store(self, base: int, offset: int, source: int) -> None:
        self.emit(0x7B, base, source, offset)

    def store_value(self, base: int, offset: int, value: int, size: int) -> None:
        self.emit({4: 0x62, 2: 0x6A}[size], base, 0, offset, value)

    def count(self, base: int, offset: int) -> None:
        """Add one to a number in memory; spoils register 1."""
        self.load(1, base, offset)
        self.add(1, 1)
        self.store(base, offset, 1)

    def call(self, helper: int) -> None:
        self.emit(0x85, value=helper)

    def map(self, to: int, fd: int) -> None:
        self.emit(0x18, to, 1, value=fd)  # BPF_PSEUDO_MAP_FD
        self.emit(0)

    def jump(self, label: str) -> None:
        self.jumps.append((len(self.words), label))
        self.emit(0x05)

    def jump_if(self, register: int, how: str, other: int, label: str, *, value: bool) -> None:
        """Compare with a register, or with an immediate `value`; unsigned."""
        code = {"==": 0x15, "!=": 0x55, ">": 0x25, ">=": 0x35, "<": 0xA5, "<=": 0xB5}[how]
        self.jumps.append((len(self.words), label))
        if value:
            self.emit(code, register, value=other)
        else:
            self.emit(code | 0x08, register, other)

    def end(self, verdict: int) -> None:
        self.set(0, verdict)
        self.emit(0x95)

    def assemble(self) -> bytes:
        words = list(self.words)
        for at, label in self.jumps:
            code, registers, _, value = words[at]
            words[at] = (code, registers, self.labels[label] - at - 1, value)
        return b"".join(
            struct.pack("=BBhi", code, registers, offset, value)
            for code, registers, offset, value in words
        )


def load(code: Code, name: str) -> int:
    """A descriptor of the program. Raises OSError, with the verifier's last words."""
    instructions = code.assemble()
    text = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(LICENCE)
    log = ctypes.create_string_buffer(LOG_BYTES)

    def attempt(level: int) -> int:
        logged = (level, LOG_BYTES, ctypes.addressof(log)) if level else (0, 0, 0)
        where = ctypes.addressof(text), ctypes.addressof(licence)
        head = (PROG_TYPE_SCHED_CLS, len(instructions) // 8)
        attributes = struct.pack("=IIQQIIQII16s", *head, *where, *logged, 0, 0, name.encode())
        return _bpf(PROG_LOAD, attributes, f"loading the program {name}")

    try:
        return attempt(0)
    except PermissionError:
        raise
    except OSError as error:
        try:
            return attempt(1)
        except OSError:
            words = log.value.decode(errors="replace").strip().splitlines()[-4:]
            raise OSError(error.errno, f"{error.strerror}: {'; '.join(words)}") from None


def attach(program: int, index: int) -> int:
    """A link of the program to what leaves an interface of the calling thread's namespace."""
    attributes = struct.pack("=IIIIIIQ", program, index, TCX_EGRESS, 0, 0, 0, 0)
    return _bpf(LINK_CREATE, attributes, f"attaching to interface {index} (tcx: Linux 6.6)")
