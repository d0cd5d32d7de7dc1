"""Requests and answers as lines of JSON, over any two streams: pipes, or what ssh makes of them.

A request is ["NAME", argument, ...]; an answer is {"ok": value} or {"error": "text"}.
"""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Callable, Mapping
from typing import Any


class Hung(Exception):
    """No answer in time."""


class Channel:
    """The asking end."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._rest = b""

    def ask(self, deadline: float, name: str, *arguments: Any) -> Any:
        """Raises EOFError when the other end is gone, Hung, ValueError with its complaint."""
        try:
            _write(self._write, [name, *arguments])
        except OSError:
            raise EOFError from None
        return self.answer(deadline)

    def answer(self, deadline: float) -> Any:
        until = time.monotonic() + deadline
        while b"\n" not in self._rest:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._read], [], [], left)[0]:
                raise Hung
            part = os.read(self._read, 1 << 16)
            if not part:
                raise EOFError
            self._rest += part
        line, self._rest = self._rest.split(b"\n", 1)
        said = json.loads(line)
        if "error" in said:
            raise ValueError(said["error"])
        return said["ok"]


def serve(requests: Mapping[str, Callable[..., Any]], read: int, write: int) -> None:
    """The answering end, until the other one closes."""
    with os.fdopen(read, "rb", closefd=False) as lines:
        for line in lines:
            name, *arguments = json.loads(line)
            try:
                _write(write, {"ok": requests[name](*arguments)})
            except BrokenPipeError:
                return
            except Exception as error:
                _write(write, {"error": f"{type(error).__name__}: {error}"})


def _write(file: int, value: Any) -> None:
    data = json.dumps(value).encode() + b"\n"
    while data:
        data = data[os.write(file, data) :]
