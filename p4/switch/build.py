"""Compiles generated C into a shared object and opens it.

Results are cached by content (program, runtime, flags, compiler) under the user's cache directory:
the second load of a program compiles nothing. The runtime is compiled once for all programs.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import cffi

RUNTIME = Path(__file__).parent / "runtime"
_FLAGS = ("-std=gnu11", "-O2", "-fPIC", "-fno-semantic-interposition")
_SANITIZE = ("-std=gnu11", "-O1", "-g", "-fPIC", "-fsanitize=address,undefined",
             "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")  # fmt: skip
_DEADLINE_S = 900


class CompilerError(RuntimeError):
    """No C compiler, or one that refused what we generated."""


def compiler() -> list[str]:
    """The C compiler: $CC, else cc, gcc or clang; raises `CompilerError` with what to do."""
    given = os.environ.get("CC")
    for candidate in [given] if given else ["cc", "gcc", "clang"]:
        words = shlex.split(candidate)
        if words and shutil.which(words[0]):
            return words
    raise CompilerError(
        (f"$CC names '{given}', which cannot be found" if given else "no C compiler found")
        + ": P4 programs run as native code; install one (Debian, Ubuntu: apt install gcc), "
        "or name yours in $CC"
    )


def cache_dir() -> Path:
    """$XDG_CACHE_HOME/weft/p4, by default ~/.cache/weft/p4."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "weft" / "p4"


def shared_object(text: str, *, trace: bool = False, sanitize: bool = False) -> Path:
    """The path of the compiled program."""
    cc = compiler()
    flags = [*(_SANITIZE if sanitize else _FLAGS), *(["-DWEFT_TRACE"] if trace else [])]
    runtime = {
        p.name: p.read_bytes() for p in sorted(RUNTIME.iterdir()) if p.suffix in (".c", ".h")
    }
    key = hashlib.sha256(repr((cc, _identity(cc[0]), flags, sorted(runtime.items()))).encode())
    runtime_object = cache_dir() / f"runtime-{key.hexdigest()[:32]}.o"
    key.update(text.encode())
    target = cache_dir() / f"program-{key.hexdigest()[:32]}.so"
    if target.exists():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            _build(cc, flags, text, Path(scratch), runtime_object, target)
    except OSError as problem:
        raise CompilerError(
            f"cannot write compiled P4 programs to {target.parent}: {problem.strerror}; "
            "set XDG_CACHE_HOME to a folder that can be written"
        ) from problem
    return target


@cache
def _identity(program: str) -> tuple[str, int, int]:
    """Tells one compiler from the next without starting it."""
    path = Path(shutil.which(program) or program).resolve()
    stat = path.stat()
    return str(path), stat.st_size, stat.st_mtime_ns


def _build(
    cc: list[str], flags: list[str], text: str, scratch: Path, runtime: Path, target: Path
) -> None:
    """Program and runtime are compiled side by side; finished files are moved into place whole."""
    source, program = scratch / "program.c", scratch / "program.o"
    source.write_text(text, encoding="utf-8")
    jobs = [[*cc, *flags, "-w", "-I", str(RUNTIME), "-c", str(source), "-o", str(program)]]
    if not runtime.exists():
        made = scratch / "runtime.o"
        jobs.append([*cc, *flags, "-c", str(RUNTIME / "all.c"), "-o", str(made)])
    _run(*jobs)
    if len(jobs) == 2:
        made.replace(runtime)
    linked = scratch / "program.so"
    link = [*flags, "-shared", "-Wl,-Bsymbolic", str(program), str(runtime)]
    _run([*cc, *link, "-o", str(linked)])
    linked.replace(target)


def _run(*commands: list[str]) -> None:
    """Compilers start processes of their own: each is a process group, so that all end together."""
    jobs: list[subprocess.Popen[str]] = []
    end = time.monotonic() + _DEADLINE_S
    try:
        for command in commands:
            jobs.append(
                subprocess.Popen(
                    command,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                )
            )
        said = [job.communicate(timeout=end - time.monotonic())[1] for job in jobs]
    except subprocess.TimeoutExpired as problem:
        raise CompilerError(
            f"the C compiler took longer than {_DEADLINE_S} s; "
            "the program is too large, or the machine too busy"
        ) from problem
    finally:
        for job in jobs:
            if job.returncode is None:
                os.killpg(job.pid, signal.SIGKILL)
                job.communicate()
    for job, text in zip(jobs, said, strict=True):
        if job.returncode:
            lines = "\n".join(text.strip().splitlines()[:20])
            raise CompilerError(
                f"the C compiler failed ({commands[0][0]}, exit code {job.returncode}); "
                f"this is a fault of Weft's code generator or of the compiler:\n{lines}"
            )


@cache
def ffi() -> Any:
    """cffi's view of runtime/weft_p4.h."""
    header = (RUNTIME / "weft_p4.h").read_text(encoding="utf-8")
    plain = "\n".join(line for line in header.splitlines() if not line.startswith("#"))
    made = cffi.FFI()
    made.cdef(plain)
    return made


def load(text: str, *, trace: bool = False, sanitize: bool = False) -> Any:
    """The compiled program as a cffi library."""
    return ffi().dlopen(str(shared_object(text, trace=trace, sanitize=sanitize)))
