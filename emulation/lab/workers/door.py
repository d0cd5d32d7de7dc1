"""A door to a machine: runs a line for a shell there, with its streams and exit code, over TCP.

For machines that are reached by no command of the system (ssh), but by a process that some
scheduler has started there (ray_cluster.py): that process calls `Door.open()`. This file as a
program is the other end, and what an inventory's `command` is then:

    python door.py ADDRESS PORT KEYFILE LINE

Who connects shows the key; then frames pass: a byte that says which, a length, so many bytes. When
the caller is gone, however that came about, what it has started is killed.
It keeps strangers out; it does not encrypt. Standard library only, so that it starts quickly.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import struct
import sys
import threading
from contextlib import suppress
from pathlib import Path

HEADER = struct.Struct("!cI")
LINE, STDIN, STDOUT, STDERR, EXIT = b"l", b"0", b"1", b"2", b"x"
MOST = 1 << 16
"""Bytes of one frame."""
CONNECT_DEADLINE = 20.0
KEY_DEADLINE = 10.0
GOODBYE_DEADLINE = 10.0
NOT_RUN = 255
"""Exit code when the door is shut, as ssh's."""


class Door:
    """The end that runs what it is told."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()
        self._server: asyncio.Server | None = None

    async def open(self, address: str) -> int:
        """Listen there; returns the port. Serves while the event loop runs."""
        self._server = await asyncio.start_server(self._serve, address, 0, limit=4 * MOST)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            shown = await asyncio.wait_for(reader.readexactly(len(self._key)), KEY_DEADLINE)
            if secrets.compare_digest(shown, self._key):
                kind, line = await asyncio.wait_for(_read(reader), KEY_DEADLINE)
                if kind == LINE:
                    await self._run(line.decode(), reader, writer)
        except (OSError, EOFError, TimeoutError):
            pass
        finally:
            writer.close()

    async def _run(
        self, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", line, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        assert process.stdin and process.stdout and process.stderr
        said = asyncio.gather(
            _copy(process.stdout, STDOUT, writer), _copy(process.stderr, STDERR, writer)
        )
        listening = asyncio.create_task(_feed(reader, process.stdin))
        ending = asyncio.ensure_future(self._end(process, said, writer))
        try:
            # `listening` ends before the program does only when the caller is gone.
            await asyncio.wait([listening, ending], return_when=asyncio.FIRST_COMPLETED)
            if ending.done():  # Closing on input that is unread would take back what was said.
                await asyncio.wait([listening], timeout=GOODBYE_DEADLINE)
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            for task in (listening, ending):
                task.cancel()
            await asyncio.gather(listening, ending, return_exceptions=True)

    async def _end(
        self,
        process: asyncio.subprocess.Process,
        said: asyncio.Future[tuple[None, None]],
        writer: asyncio.StreamWriter,
    ) -> None:
        await said
        await _write(writer, EXIT, struct.pack("!i", await process.wait()))


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind, size = HEADER.unpack(await reader.readexactly(HEADER.size))
    if size > 64 * MOST:
        raise EOFError
    return kind, await reader.readexactly(size)


async def _write(writer: asyncio.StreamWriter, kind: bytes, data: bytes) -> None:
    writer.write(HEADER.pack(kind, len(data)) + data)
    await writer.drain()


async def _copy(source: asyncio.StreamReader, kind: bytes, writer: asyncio.StreamWriter) -> None:
    while data := await source.read(MOST):
        await _write(writer, kind, data)


async def _feed(reader: asyncio.StreamReader, stdin: asyncio.StreamWriter) -> None:
    """Until the caller is gone. An empty frame is the end of its standard input."""
    with suppress(EOFError, OSError):
        while True:
            _, data = await _read(reader)
            with suppress(OSError):  # a program may close what it does not read
                if data:
                    stdin.write(data)
                    await stdin.drain()
                else:
                    stdin.close()


# --- The calling end


def main() -> int:
    address, port, key, line = sys.argv[1:]
    shown = Path(key).read_bytes()
    try:
        with socket.create_connection((address, int(port)), CONNECT_DEADLINE) as door:
            door.settimeout(None)
            door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _call(door, shown, line.encode())
    except EOFError:
        reason = "it was closed"
    except OSError as error:  # a stranger's input is not read, so that its connection is reset
        reason = error.strerror or str(error)
    print(f"door {address}:{port}: {reason}", file=sys.stderr)
    return NOT_RUN


def _call(door: socket.socket, key: bytes, line: bytes) -> int:
    """The exit code of the line. EOFError where the door is closed before there is one."""
    door.sendall(key + HEADER.pack(LINE, len(line)) + line)
    threading.Thread(target=_send_input, args=(door,), daemon=True).start()
    with door.makefile("rb") as frames:
        while len(header := frames.read(HEADER.size)) == HEADER.size:
            kind, size = HEADER.unpack(header)
            if len(data := frames.read(size)) < size:
                break
            if kind == EXIT:
                code = int(struct.unpack("!i", data)[0])
                return code if code >= 0 else 128 - code
            _put(1 if kind == STDOUT else 2, data)
    raise EOFError


def _put(file: int, data: bytes) -> None:
    with suppress(BrokenPipeError):
        while data:
            data = data[os.write(file, data) :]


def _send_input(door: socket.socket) -> None:
    with suppress(OSError):
        while True:
            data = os.read(0, MOST)
            door.sendall(HEADER.pack(STDIN, len(data)) + data)
            if not data:
                return


if __name__ == "__main__":
    sys.exit(main())
