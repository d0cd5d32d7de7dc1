"""The C API of `weft.h`, called through cffi.

The header itself is the declaration: what a C program compiles against is what Python drives, so
the two cannot drift apart. Nothing else in Weft's Python calls the native library directly.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from cffi import FFI

from weft._native import path
from weft.transport.errors import raise_for


def _declarations(header: str) -> str:
    """`weft.h` as cffi reads it: without preprocessor, with the values of its array sizes."""
    constants = dict(re.findall(r"^#define (WEFT_\w+) (\d+)$", header, flags=re.MULTILINE))
    body = re.sub(r"^#.*$", "", header, flags=re.MULTILINE)
    body = body.replace('extern "C" {', "", 1).replace("WEFT_API", "")
    body = body[: body.rindex(";") + 1]
    for name, value in constants.items():
        body = re.sub(rf"\[{name}\]", f"[{value}]", body)
    return body


@cache
def load() -> tuple[FFI, Any]:
    """The declarations and the library. Loading it twice gives the same library."""
    ffi = FFI()
    ffi.cdef(_declarations((path("include") / "weft" / "weft.h").read_text(encoding="utf-8")))
    return ffi, ffi.dlopen(str(path("libweft.so")))


def check(status: int) -> int:
    """Passes `WEFT_OK` and `WEFT_IN_PROGRESS` on; raises the thread's last error otherwise."""
    if status < 0:
        ffi, lib = load()
        error = ffi.new("weft_error*")
        lib.weft_last_error(error)
        raise_for(status, ffi.string(error.message).decode(), error.peer_rank, error.peer_id)
    return status


def raise_request_error(request: Any) -> None:
    """Raises the error of a finished request, if it has one."""
    ffi, lib = load()
    error = ffi.new("weft_error*")
    lib.weft_request_error(request, error)
    if error.status < 0:
        message = ffi.string(error.message).decode()
        raise_for(error.status, message, error.peer_rank, error.peer_id)


def text_of(function: Any, *arguments: Any) -> bytes:
    """Calls a function that hands out bytes by the length protocol of `weft_context_address`."""
    ffi, _ = load()
    length = ffi.new("size_t*", 0)
    function(*arguments, ffi.NULL, length)
    while True:
        room = length[0] + 64  # statistics may grow between the two calls
        buffer = ffi.new("char[]", room)
        length[0] = room
        status = function(*arguments, buffer, length)
        if status < 0 and length[0] > room:
            continue
        check(status)
        return bytes(ffi.buffer(buffer, length[0]))


def nanoseconds(seconds: float | None, default: int) -> int:
    """A time-out for C; `None` is the default."""
    return default if seconds is None else max(0, round(seconds * 1e9))
