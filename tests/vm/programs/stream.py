"""Rank 0 sends messages to rank 1, several at a time; runs in a machine.

`stream.py SPEC`, SPEC in JSON: datapaths, transport, size (bytes of a message), messages, window
(how many are under way). Both print "up" and one JSON object: MB/s as this rank saw them, from the
first message's end to the last one's, and statistics.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque

import numpy as np

from weft.collectives import Communicator
from weft.transport import Context


def main() -> int:
    spec = json.loads(sys.argv[1])
    size, messages, window = spec["size"], spec["messages"], spec["window"]
    context = Context(
        secret="vm", datapaths=spec["datapaths"], transport=spec["transport"], timeout=120.0,
        peer_timeout=20.0,
    )  # fmt: skip
    with context, Communicator.from_environment(context, connect_timeout=120.0) as group:
        print("up", flush=True)
        buffers = [np.full(size, slot, np.uint8) for slot in range(window)]
        pending: deque[tuple[int, object]] = deque()
        first = 0.0
        for number in range(messages + window):
            if len(pending) == window or number >= messages:
                if not pending:
                    break
                slot, work = pending.popleft()
                work.wait()  # type: ignore[attr-defined]
                first = first or time.monotonic()
            if number < messages:
                slot = number % window
                if group.rank == 0:
                    work = group.send(buffers[slot], 1, tag=number, wait=False)
                else:
                    work = group.recv(buffers[slot], 0, tag=number, wait=False)
                pending.append((slot, work))
        elapsed = time.monotonic() - first
        group.barrier()
        rate = (messages - 1) * size / elapsed / 1e6
        print(json.dumps({"rate": rate, "stats": context.stats()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
