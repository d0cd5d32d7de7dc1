"""Messages over torch.distributed's gloo, point to point: the baseline of training frameworks."""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore  # torch.distributed does not declare it

from weft.emulation.lab.carriers import CONNECT_DEADLINE, ended_in


class GlooCarrier:
    """One gloo group of all hosts that play. Gloo's work knows its end only when waited for, so
    that every message has a thread that does; see Carrier for the rest."""

    def __init__(self, address: str) -> None:
        os.environ["GLOO_SOCKET_IFNAME"] = "eth0"
        torch.set_num_threads(1)
        with socket.create_server((address, 0)) as probe:  # a port for the store, if it is ours
            self.address = probe.getsockname()[:2]
        self._done: queue.SimpleQueue[int | Exception] = queue.SimpleQueue()

    def connect(self, rank: int, addresses: Sequence[Any], peers: Sequence[int]) -> None:
        playing = [host for host, address in enumerate(addresses) if address]
        self._rank_of = {host: number for number, host in enumerate(playing)}
        host, port = addresses[playing[0]]
        store = TCPStore(
            host, port, len(playing), rank == playing[0], timedelta(seconds=CONNECT_DEADLINE)
        )
        dist.init_process_group(
            "gloo", store=store, rank=self._rank_of[rank], world_size=len(playing)
        )

    def send(self, message: int, peer: int, size: int) -> None:
        zeros = torch.zeros(size, dtype=torch.uint8)
        self._watch(message, dist.isend(zeros, self._rank_of[peer], tag=message))

    def expect(self, message: int, peer: int, size: int) -> None:
        place = torch.empty(size, dtype=torch.uint8)
        self._watch(message, dist.irecv(place, self._rank_of[peer], tag=message))

    def _watch(self, message: int, work: Any) -> None:
        def wait() -> None:
            try:
                work.wait()
                self._done.put(message)
            except RuntimeError as error:
                self._done.put(error)

        threading.Thread(target=wait, daemon=True).start()

    def completions(self, timeout: float) -> list[int]:
        return ended_in(self._done, timeout)

    def stats(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        dist.destroy_process_group()
