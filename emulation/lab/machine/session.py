"""Programs inside a machine, started from outside: one byte stream carries any number of sessions.

A session is one program. Three processes have a part in it, all of them this file, which imports
nothing but the standard library, because one of them runs in a machine that emulates every
instruction:

- `session.py agent DEVICE` (or the number of a file descriptor) runs in the machine, starts the
  programs and ends them;
- `session.py exec FD COMMAND...` stands for a program outside, as `docker exec` does: standard
  streams, exit code and signals are the program's own, and when it is killed the program is, too;
- `Switchboard`, in the lab's process, joins the `exec`s to the one stream of their machine.

A frame is (session, kind, length) and that many bytes. The agent believes the switchboard, which
believes its `exec`s: all run as the same user, and the machine is thrown away afterwards.
"""

from __future__ import annotations

import functools
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

HEAD = struct.Struct("!IBI")
START, INPUT, OUTPUT, ERRORS, SIGNAL, EXIT, READY = range(7)
"""START: JSON of {argv, env, cwd}. INPUT, OUTPUT, ERRORS: bytes, none for the end of the stream.
SIGNAL: its number. EXIT: what subprocess calls the return code. READY: the agent is up."""
BLOCK = 1 << 16
NOT_FOUND = 127
"""What shells return for a program that cannot be started."""


class Frames:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """The frames that are whole now."""
        self._buffer += data
        while len(self._buffer) >= HEAD.size:
            session, kind, length = HEAD.unpack_from(self._buffer)
            end = HEAD.size + length
            if len(self._buffer) < end:
                return
            yield session, kind, bytes(self._buffer[HEAD.size : end])
            del self._buffer[:end]


def pack(session: int, kind: int, payload: bytes = b"") -> bytes:
    return HEAD.pack(session, kind, len(payload)) + payload


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


# --- In the machine


class Agent:
    """Starts programs and carries their streams. One thread; a program that does not read its
    input holds up all, so its input is kept here until it does."""

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._events = selectors.DefaultSelector()
        self._jobs: dict[int, _Job] = {}

    def serve(self) -> None:
        """Until the other side hangs up; then all programs are killed."""
        try:
            self._serve()
        except ConnectionError:  # they hung up while we spoke
            pass
        finally:
            for job in self._jobs.values():
                with suppress(ProcessLookupError):
                    os.killpg(job.process.pid, signal.SIGKILL)

    def _serve(self) -> None:
        frames = Frames()
        self._events.register(self._channel, selectors.EVENT_READ, None)
        self._send(0, READY)
        while True:
            for key, _ in self._events.select():
                if key.data is not None:
                    key.data(key.fd)
                    continue
                data = os.read(self._channel, BLOCK)
                if not data:
                    return
                for frame in frames.feed(data):
                    self._take(*frame)

    def _send(self, session: int, kind: int, payload: bytes = b"") -> None:
        _write_all(self._channel, pack(session, kind, payload))

    def _take(self, session: int, kind: int, payload: bytes) -> None:
        if kind == START:
            self._start(session, json.loads(payload))
        elif (job := self._jobs.get(session)) is None:
            pass  # it has ended meanwhile
        elif kind == INPUT:
            job.input(payload)
        elif kind == SIGNAL:
            with suppress(ProcessLookupError):
                os.killpg(job.process.pid, int(payload))

    def _start(self, session: int, order: dict[str, Any]) -> None:
        try:
            process = subprocess.Popen(
                order["argv"], env=order["env"], cwd=order["cwd"], start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
            )  # fmt: skip
        except OSError as error:
            self._send(session, ERRORS, f"{error.filename}: {error.strerror}\n".encode())
            self._send(session, EXIT, str(NOT_FOUND).encode())
            return
        self._jobs[session] = _Job(self, session, process, self._events)

    def output(self, session: int, kind: int, data: bytes) -> None:
        self._send(session, kind, data)

    def ended(self, session: int, code: int) -> None:
        del self._jobs[session]
        self._send(session, EXIT, str(code).encode())


class _Job:
    """One program. When it has ended, what is in its pipes is the last of its output: programs that
    it leaves behind may hold them open for ever."""

    def __init__(
        self, agent: Agent, session: int, process: subprocess.Popen[bytes],
        events: selectors.BaseSelector,
    ) -> None:  # fmt: skip
        assert process.stdin and process.stdout and process.stderr
        self.process = process
        self._agent, self._session, self._events = agent, session, events
        self._stdin: Any = process.stdin
        self._pipes = (process.stdin, process.stdout, process.stderr)
        self._open = {process.stdout.fileno(): OUTPUT, process.stderr.fileno(): ERRORS}
        self._waiting = bytearray()
        self._closing = False
        os.set_blocking(self._stdin.fileno(), False)
        for fd in self._open:
            events.register(fd, selectors.EVENT_READ, self._read)
        self._pid = os.pidfd_open(process.pid)
        events.register(self._pid, selectors.EVENT_READ, self._reap)

    def _read(self, fd: int) -> None:
        if fd not in self._open:  # reaped by an earlier event of the same round
            return
        data = os.read(fd, BLOCK)
        if data:
            self._agent.output(self._session, self._open[fd], data)
        else:
            self._drop(fd)

    def _drop(self, fd: int) -> None:
        self._events.unregister(fd)
        del self._open[fd]

    def _reap(self, fd: int) -> None:
        self._events.unregister(fd)
        os.close(fd)
        code = self.process.wait()
        for stream in list(self._open):  # what is in the pipes now is all that it has said
            os.set_blocking(stream, False)
            with suppress(BlockingIOError):
                while stream in self._open:
                    self._read(stream)
            if stream in self._open:
                self._drop(stream)
        if not self._stdin.closed:
            with suppress(KeyError):
                self._events.unregister(self._stdin)
        for pipe in self._pipes:
            with suppress(OSError):
                pipe.close()
        self._agent.ended(self._session, code)

    def input(self, data: bytes) -> None:
        self._waiting += data
        self._closing = self._closing or not data
        self._write(self._stdin.fileno() if not self._stdin.closed else -1)

    def _write(self, fd: int) -> None:
        if self._stdin.closed:
            return
        try:
            while self._waiting:
                del self._waiting[: os.write(fd, self._waiting)]
        except BlockingIOError:
            with suppress(KeyError):  # it is registered already
                self._events.register(self._stdin, selectors.EVENT_WRITE, self._write)
            return
        except OSError:
            self._waiting.clear()
            self._closing = True
        with suppress(KeyError):
            self._events.unregister(self._stdin)
        if self._closing:
            self._stdin.close()


# --- Outside


class Switchboard:
    """Joins `exec`s to their machine. `channel`: our end of the machine's byte stream.

    One thread, which never blocks but in select(): the agent may be waiting for us to take what it
    says before it takes anything itself.
    """

    def __init__(self, channel: socket.socket) -> None:
        self.ready = threading.Event()
        self._events = selectors.DefaultSelector()
        self._machine = _Line(channel, self._events, self._from_machine)
        self._lock = threading.Lock()  # protects _new
        self._new: list[socket.socket] = []
        self._callers: dict[int, _Line] = {}
        self._last = 0
        self._closed = False
        self._bell, self._ringer = socket.socketpair()
        self._events.register(self._bell, selectors.EVENT_READ, self._rung)
        self._thread = threading.Thread(target=self._run, daemon=True, name="switchboard")
        self._thread.start()

    def attach(self) -> socket.socket:
        """The socket that an `exec` needs; the caller closes it once the process has it."""
        ours, theirs = socket.socketpair()
        with self._lock:
            self._new.append(ours)
        self._ringer.send(b"!")
        return theirs

    def close(self) -> None:
        """Hang up on everybody. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._ringer.send(b"!")
        self._thread.join(timeout=5)
        for line in (self._machine, *self._callers.values()):
            line.close()
        for used in (self._bell, self._ringer, *self._new):
            used.close()

    def _run(self) -> None:
        while not self._closed:
            for key, mask in self._events.select():
                key.data(mask)
            if self._machine.crowded:
                continue  # callers wait until the machine has taken what there is
            for line in self._callers.values():
                line.listen(True)

    def _rung(self, mask: int) -> None:
        self._bell.recv(BLOCK)
        with self._lock:
            new, self._new = self._new, []
        for made in new:
            self._last += 1
            number = self._last
            heard = functools.partial(self._from_caller, number)
            self._callers[number] = _Line(made, self._events, heard)
            if not self._machine.alive:
                self._forget(number)

    def _from_caller(self, number: int, frame: tuple[int, int, bytes] | None) -> None:
        if frame is not None:
            self._machine.send(pack(number, *frame[1:]))
            self._callers[number].listen(not self._machine.crowded)
        elif number in self._callers:  # it has gone: so must its program
            self._machine.send(pack(number, SIGNAL, str(int(signal.SIGKILL)).encode()))
            self._forget(number)

    def _from_machine(self, frame: tuple[int, int, bytes] | None) -> None:
        if frame is None:  # it is gone, and with it all programs
            for number in list(self._callers):
                self._forget(number)
        elif frame[1] == READY:
            self.ready.set()
        elif (caller := self._callers.get(frame[0])) is not None:
            caller.send(pack(*frame))

    def _forget(self, number: int) -> None:
        self._callers.pop(number).close()


class _Line:
    """A socket to somebody who speaks in frames. What they do not take yet is kept. `heard` is
    called with each frame, and with None when they have hung up."""

    CROWD = 1 << 20

    def __init__(
        self,
        made: socket.socket,
        events: selectors.BaseSelector,
        heard: Callable[[tuple[int, int, bytes] | None], None],
    ) -> None:
        made.setblocking(False)
        self.alive = True
        self._socket, self._events, self._heard = made, events, heard
        self._frames = Frames()
        self._waiting = bytearray()
        self._watched = 0
        self.listen(True)

    @property
    def crowded(self) -> bool:
        return len(self._waiting) > self.CROWD

    def listen(self, wanted: bool) -> None:
        """Whether what they say is of interest now."""
        self._listening = wanted
        self._watch()

    def send(self, data: bytes) -> None:
        if self.alive:
            self._waiting += data
            self._flush()

    def close(self) -> None:
        if self.alive:
            self._flush()
            self.alive = False
            self._watch()
            self._socket.close()

    def _watch(self) -> None:
        wanted = selectors.EVENT_READ if self._listening else 0
        if self._waiting:
            wanted |= selectors.EVENT_WRITE
        if not self.alive:
            wanted = 0
        if wanted == self._watched:
            return
        if wanted == 0:
            self._events.unregister(self._socket)
        elif self._watched == 0:
            self._events.register(self._socket, wanted, self._ready)
        else:
            self._events.modify(self._socket, wanted, self._ready)
        self._watched = wanted

    def _ready(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush()
        if mask & selectors.EVENT_READ and self.alive:
            self._read()

    def _read(self) -> None:
        try:
            data = self._socket.recv(BLOCK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        for frame in self._frames.feed(data):
            self._heard(frame)
        if not data:
            self.close()
            self._heard(None)

    def _flush(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: self._socket.send(self._waiting)]
        except BlockingIOError:
            pass
        except OSError:  # they will be found to have gone when they are listened to
            self._waiting.clear()
        self._watch()


def stand_for(channel: socket.socket, argv: list[str]) -> int:
    """Run a program in the machine as if it were this process; returns its return code."""
    lock = threading.Lock()

    def tell(kind: int, payload: bytes = b"") -> None:
        with lock, suppress(OSError):  # the main loop finds out that the machine is gone
            channel.sendall(pack(0, kind, payload))

    order = {"argv": argv, "env": dict(os.environ), "cwd": os.getcwd()}  # noqa: PTH109
    tell(START, json.dumps(order).encode())

    def forward(number: int, frame: Any) -> None:
        tell(SIGNAL, str(number).encode())

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, forward)
    threading.Thread(target=_feed, args=(tell,), daemon=True).start()
    frames = Frames()
    while data := _received(channel):
        for _, kind, payload in frames.feed(data):
            if kind == EXIT:
                return int(payload)
            with suppress(BrokenPipeError):
                _write_all(1 if kind == OUTPUT else 2, payload)
    _write_all(2, b"the machine has stopped\n")
    return -int(signal.SIGKILL)


def _received(channel: socket.socket) -> bytes:
    try:
        return channel.recv(BLOCK)
    except OSError:
        return b""


def _feed(tell: Callable[..., None]) -> None:
    with suppress(OSError):
        while data := os.read(0, BLOCK):
            tell(INPUT, data)
        tell(INPUT)


def main(arguments: list[str]) -> int:
    role, where, *rest = arguments
    if role == "agent":
        Agent(int(where) if where.isdigit() else os.open(where, os.O_RDWR)).serve()
        return 0
    code = stand_for(socket.socket(fileno=int(where)), rest)
    if code < 0:  # end as the program did
        with suppress(OSError):  # SIGKILL has no other action
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    # os._exit: the thread that reads our input may be waiting in there for ever.
    sys.stdout.flush()
    os._exit(main(sys.argv[1:]))
