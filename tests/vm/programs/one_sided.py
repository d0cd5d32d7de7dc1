"""Rank 0 writes to and reads from memory of rank 1, which hears of it by notifications; runs in a
machine.

`one_sided.py SPEC`, SPEC in JSON: datapaths, transport, seed, sizes (bytes). Both print "up" and
one JSON object: how many contents were compared with what the seed says, and statistics.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from weft.collectives import Communicator
from weft.transport import Context

OFFSET, PATIENCE, CARD = 64, 60.0, 1024
Bytes = NDArray[np.uint8]


def drawn(seed: int, number: int, size: int) -> Bytes:
    return np.random.default_rng([seed, number]).integers(0, 256, size, np.uint8)


def exchange(group: Communicator, own: bytes) -> list[bytes]:
    """What every rank has to say, by rank."""
    mine = np.frombuffer(own.ljust(CARD, b"\0"), np.uint8).copy()
    out = np.empty(CARD * group.size, np.uint8)
    group.all_gather(mine, out)
    return [out[i * CARD : (i + 1) * CARD].tobytes() for i in range(group.size)]


def owner(context: Context, group: Communicator, seed: int, sizes: list[int]) -> int:
    """Finds every write whole when its notification comes, and nothing beside it changed."""
    memory = np.zeros(max(sizes) + 2 * OFFSET, np.uint8)
    with closing(context.register(memory)) as region:
        card = {"address": context.address.hex(), "region": region.descriptor.hex()}
        exchange(group, json.dumps(card).encode())
        for number, size in enumerate(sizes, start=1):
            told = context.notification(timeout=PATIENCE)
            assert told is not None, f"no notification of write {number}"
            assert (told.value, told.offset, told.length) == (number, OFFSET, size), told
            np.testing.assert_array_equal(memory[OFFSET : OFFSET + size], drawn(seed, number, size))
            assert not memory[:OFFSET].any() and not memory[OFFSET + size :].any()
            memory[OFFSET : OFFSET + size] ^= 0xFF  # for the reader
            group.barrier()
            told = context.notification(timeout=PATIENCE)
            assert told is not None and told.value == 1000 + number, told
            memory[:] = 0
            group.barrier()
    return len(sizes)


def user(context: Context, group: Communicator, seed: int, sizes: list[int]) -> int:
    card = json.loads(exchange(group, b"{}")[1].rstrip(b"\0"))
    region = bytes.fromhex(card["region"])
    with closing(context.connect(bytes.fromhex(card["address"]))) as peer:
        for number, size in enumerate(sizes, start=1):
            data = drawn(seed, number, size)
            peer.write(data, region, offset=OFFSET, notify=number).wait(PATIENCE)
            group.barrier()
            back = np.empty(size, np.uint8)
            peer.read(back, region, offset=OFFSET, notify=1000 + number).wait(PATIENCE)
            np.testing.assert_array_equal(back, data ^ 0xFF)
            group.barrier()
    return len(sizes)


def main() -> int:
    spec = json.loads(sys.argv[1])
    context = Context(
        secret="vm", datapaths=spec["datapaths"], transport=spec["transport"], timeout=PATIENCE,
        peer_timeout=10.0,
    )  # fmt: skip
    with context, Communicator.from_environment(context, connect_timeout=120.0) as group:
        print("up", flush=True)
        part = user if group.rank == 0 else owner
        compared = part(context, group, spec["seed"], spec["sizes"])
        print(json.dumps({"compared": compared, "stats": context.stats()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
