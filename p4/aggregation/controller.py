"""The service that groups ask for slots: a TCP port beside an aggregation switch.

Three lines, proved with the group's secret (`native/communicator/innet_grant.h`); a job lives as
long as its connection. Only who is one of a job's workers may ask for it, and only hosts that the
controller was told of can be workers.
"""

from __future__ import annotations

import re
import secrets as randomness
import socket
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hmac import compare_digest

from weft.p4.aggregation import wire
from weft.p4.aggregation.jobs import Jobs, NoRoom, Place

LONGEST_LINE = 4096
PATIENCE = 5.0
"""Seconds in which a caller must have said what it wants."""
_PROVED = re.compile(rb"(weft-innet .* nonce=([0-9a-f]{16})) proof=([0-9a-f]{16})\n")
_REQUEST = re.compile(r"weft-innet (\d{1,5}) slots=(\d{1,5}) workers=([0-9.:,]+) nonce=.*")
_WORKER = re.compile(r"([0-9.]{7,15}):([0-9]{1,5})")


class RefusedRequest(ValueError):
    """A request that cannot be granted; the text goes back to the caller. `kind`: how it counts."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Caller:
    """Who has proved to know one of the secrets, and the line that it said."""

    secret: str
    nonce: int
    line: str

    @classmethod
    def prove(cls, line: bytes, nonce: int, secrets: Sequence[str]) -> Caller:
        """Of a whole line; `nonce` is what it was told. Raises `RefusedRequest`."""
        found = _PROVED.fullmatch(line)
        if found is None or not line.isascii():
            raise RefusedRequest("malformed", "that is no request for slots")
        said, theirs = found[1].decode("ascii"), int(found[2], 16)
        for secret in secrets:
            if compare_digest(proof(secret, "caller", nonce, theirs, said).encode(), found[3]):
                return cls(secret, theirs, said)
        raise RefusedRequest("proof", "the controller knows no such secret")


@dataclass(frozen=True, slots=True)
class Request:
    """What a group wants. `workers` by number: IPv4 address and UDP port."""

    slots: int
    workers: Mapping[int, tuple[str, int]]

    @classmethod
    def parse(cls, line: str) -> Request:
        """Raises `RefusedRequest`."""
        found = _REQUEST.fullmatch(line)
        if found is None:
            raise RefusedRequest("malformed", "that is no request for slots")
        if int(found[1]) != wire.VERSION:
            raise RefusedRequest(
                "version", f"version {int(found[1])} is not the switch's, {wire.VERSION}"
            )
        workers = {}
        for number, item in enumerate(found[3].split(",")):
            worker = _WORKER.fullmatch(item)
            if worker is None or not 1 <= int(worker[2]) <= 0xFFFF:
                raise RefusedRequest("malformed", f"{item} is no address and port")
            workers[number] = (worker[1], int(worker[2]))
        if len(workers) > wire.MAX_WORKERS:
            raise RefusedRequest(
                "malformed", f"{len(workers)} workers are more than {wire.MAX_WORKERS}"
            )
        return cls(max(int(found[2]), 1), workers)


def proof(secret: str, speaker: str, nonce: int, caller_nonce: int, line: str) -> str:
    """16 hexadecimal digits."""
    return f"{wire.innet.proof(secret, speaker, nonce, caller_nonce, line):016x}"


class Controller:
    """Serves on `listener`, a listening TCP socket, until `close()`.

    `hosts`: where each IPv4 address is. `secrets`: of the groups that may ask. `most_slots`: of one
    job; who asks for more gets so many. `refused` counts callers by why they were turned away.
    """

    def __init__(
        self,
        jobs: Jobs,
        hosts: Mapping[str, Place],
        listener: socket.socket,
        secrets: Sequence[str],
        most_slots: int = 128,
    ) -> None:
        if not secrets:
            raise ValueError("a controller without a secret would know no group")
        self.jobs = jobs
        self.refused: Counter[str] = Counter()
        self._hosts = dict(hosts)
        self._listener = listener
        self._secrets = tuple(secrets)
        self._most = most_slots
        self._lock = threading.Lock()
        self._callers: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closing = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """host:port, as WEFT_INNET wants it."""
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def close(self) -> None:
        """Ends the service; jobs end with it."""
        self._closing = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=PATIENCE)
        with self._lock:
            for caller in self._callers:
                with suppress(OSError):
                    caller.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=PATIENCE)

    def __enter__(self) -> Controller:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                caller, (ip, _) = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(caller, ip), daemon=True)
            self._threads = [t for t in self._threads if t.is_alive()] + [thread]
            with self._lock:
                self._callers.add(caller)
            thread.start()

    def _serve(self, caller: socket.socket, ip: str) -> None:
        job = None
        try:
            caller.settimeout(PATIENCE)
            job = self._talk(caller, ip)
            # A caller whose host is gone is noticed, too.
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
            caller.settimeout(None)
            while job is not None and caller.recv(LONGEST_LINE):
                pass
        except OSError:
            pass
        finally:
            with self._lock:
                if job is not None:
                    with suppress(Exception):  # the switch may be gone
                        self.jobs.remove(job)
                self._callers.discard(caller)
            caller.close()

    def _talk(self, caller: socket.socket, ip: str) -> int | None:
        """The job that came of it, if any."""
        nonce = randomness.randbits(64)
        caller.sendall(f"weft-controller nonce={nonce:016x}\n".encode())
        job, known = None, Caller(self._secrets[0], 0, "")
        try:
            known = Caller.prove(_line(caller), nonce, self._secrets)
            job, answer = self._grant(Request.parse(known.line), ip)
        except (RefusedRequest, NoRoom) as refusal:
            with self._lock:
                self.refused[refusal.kind if isinstance(refusal, RefusedRequest) else "room"] += 1
            answer = f"refused {refusal}"
        proved = f"{answer} proof={proof(known.secret, 'controller', nonce, known.nonce, answer)}\n"
        try:
            caller.sendall(proved.encode())
        except OSError:
            with self._lock:
                if job is not None:
                    self.jobs.remove(job)
            raise
        return job

    def _grant(self, request: Request, ip: str) -> tuple[int, str]:
        workers = {n: self._place(*where) for n, where in request.workers.items()}
        if ip not in {place.ip for place in workers.values()}:
            raise RefusedRequest("stranger", f"{ip} is none of the job's workers")
        with self._lock:
            if self._closing:
                raise RefusedRequest("closing", "the controller is closing")
            job = self.jobs.free_number()
            grant = self.jobs.add(job, workers, min(request.slots, self._most))
        own = self.jobs.own
        return job, (
            f"granted job={job} epoch={grant.epoch} slots={grant.slots} values={grant.values} "
            f"switch={own.ip}:{own.udp}"
        )

    def _place(self, ip: str, port: int) -> Place:
        if ip not in self._hosts:
            raise RefusedRequest("stranger", f"{ip} is not at this switch")
        return replace(self._hosts[ip], udp=port)


def _line(caller: socket.socket) -> bytes:
    """A caller's line, end and all. Raises `RefusedRequest` if the end never comes."""
    line = b""
    while not line.endswith(b"\n") and len(line) < LONGEST_LINE:
        try:
            piece = caller.recv(LONGEST_LINE - len(line))
        except TimeoutError:
            piece = b""
        if not piece:
            raise RefusedRequest("truncated", "the request broke off")
        line += piece
    return line
