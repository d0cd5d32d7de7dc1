"""The service that groups ask for slots: a TCP port beside an aggregation switch.

One line each way (`native/communicator/innet_grant.h`); a job lives as long as its connection. Only
who is one of a job's workers may ask for it, and only hosts that the controller was told of can be
workers.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from weft.p4.aggregation import wire
from weft.p4.aggregation.jobs import Jobs, NoRoom, Place

LONGEST_LINE = 4096
PATIENCE = 5.0
"""Seconds in which a caller must have said what it wants."""
_REQUEST = re.compile(rb"weft-innet (\d{1,5}) slots=(\d{1,5}) workers=([0-9.:,]+)\n")


class RefusedRequest(ValueError):
    """A request that cannot be granted; the text goes back to the caller."""


class Controller:
    """Serves on `listener`, a listening TCP socket, until `close()`.

    `hosts`: where each IPv4 address is. `most_slots`: of one job; who asks for more gets so many.
    """

    def __init__(
        self,
        jobs: Jobs,
        hosts: Mapping[str, Place],
        listener: socket.socket,
        most_slots: int = 128,
    ) -> None:
        self.jobs = jobs
        self._hosts = dict(hosts)
        self._listener = listener
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
            line = b""
            while not line.endswith(b"\n") and len(line) < LONGEST_LINE:
                piece = caller.recv(LONGEST_LINE - len(line))
                if not piece:
                    return
                line += piece
            try:
                job, answer = self._grant(line, ip)
            except (RefusedRequest, NoRoom) as refusal:
                answer = f"refused {refusal}"
            caller.sendall(answer.encode() + b"\n")
            # A caller whose host is gone is noticed, too.
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
            caller.settimeout(None)
            if job is not None:
                while caller.recv(LONGEST_LINE):
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

    def _grant(self, line: bytes, ip: str) -> tuple[int, str]:
        found = _REQUEST.fullmatch(line)
        if found is None:
            raise RefusedRequest("that is no request for slots")
        version, slots = int(found[1]), int(found[2])
        if version != wire.VERSION:
            raise RefusedRequest(f"version {version} is not the switch's, {wire.VERSION}")
        workers = self._workers(found[3].decode())
        if ip not in {place.ip for place in workers.values()}:
            raise RefusedRequest(f"{ip} is none of the job's workers")
        with self._lock:
            if self._closing:
                raise RefusedRequest("the controller is closing")
            job = self.jobs.free_number()
            grant = self.jobs.add(job, workers, min(max(slots, 1), self._most))
        own = self.jobs.own
        return job, (
            f"granted job={job} epoch={grant.epoch} slots={grant.slots} values={grant.values} "
            f"switch={own.ip}:{own.udp}"
        )

    def _workers(self, text: str) -> dict[int, Place]:
        workers = {}
        for number, item in enumerate(text.split(",")):
            ip, _, port = item.partition(":")
            if ip not in self._hosts:
                raise RefusedRequest(f"{ip} is not at this switch")
            if not port.isdecimal() or not 1 <= int(port) <= 0xFFFF:
                raise RefusedRequest(f"{item} has no port")
            workers[number] = replace(self._hosts[ip], udp=int(port))
        if len(workers) > wire.MAX_WORKERS:
            raise RefusedRequest(f"{len(workers)} workers are more than {wire.MAX_WORKERS}")
        return workers
