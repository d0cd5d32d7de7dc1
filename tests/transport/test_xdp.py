"""AF_XDP through the public door: two processes in namespaces joined by veth, with each other and
with one that speaks UDP. Needs root for the namespaces, the BPF program and the sockets."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator

import pytest

from weft.bench.network import ADDRESSES, inside, namespaces
from weft.bench.processes import Launch, MeasurementError, run_ranks
from weft.transport import Context
from weft.transport.errors import InvalidArgument, Unsupported

# All collectives' steps are messages; what the kernel's sockets carried is the rest of `rings`.
RANK = """
import json, sys
import numpy as np
from weft.collectives import Communicator
from weft.transport import Context
with Context() as context, Communicator.from_environment(context) as group:
    for count in (1, 1000, 300_000):
        array = np.arange(count, dtype="float32") + group.rank
        group.all_reduce(array)
        assert (array == 2 * np.arange(count, dtype="float32") + 1).all()
    theirs = np.zeros(100_000, "uint8")
    mine = np.full(100_000, group.rank + 1, "uint8")
    other = 1 - group.rank
    sending = group.send(mine, other, wait=False)
    group.recv(theirs, other)
    sending.wait()
    assert (theirs == other + 1).all()
    print(json.dumps(context.stats()["datapaths"]))
"""


@pytest.fixture(scope="module")
def wires() -> Iterator[tuple[str, str]]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("namespaces and AF_XDP need root and iproute2")
    with namespaces(1500) as names:
        yield names


def run(names: tuple[str, str], datapaths: tuple[str, str]) -> list[dict[str, dict[str, int]]]:
    ranks = [
        inside(
            names[i],
            Launch([sys.executable, "-P", "-c", RANK]),
            RANK=str(i),
            WORLD_SIZE="2",
            WEFT_RENDEZVOUS=f"{ADDRESSES[0]}:29411",
            WEFT_DATAPATHS=datapaths[i],
            WEFT_INTERFACES=f"wire{i}",
        )
        for i in (0, 1)
    ]
    return [json.loads(text) for text in run_ranks(ranks, 120)]


@pytest.mark.parametrize("datapaths", [("xdp", "xdp"), ("xdp", "udp"), ("udp", "shm,xdp")])
def test_collectives_between_xdp_and_udp(
    wires: tuple[str, str], datapaths: tuple[str, str]
) -> None:
    for mine, stats in zip(datapaths, run(wires, datapaths), strict=True):
        name = mine.rpartition(",")[2]
        assert stats[name]["calls_made"] + stats[name]["calls_taken"] == 1
        if name == "xdp":
            assert stats["xdp"]["ring_received"] > 500
            assert stats["xdp"]["ring_sent"] > 500


def test_who_may_not_is_told_what_is_missing(wires: tuple[str, str]) -> None:
    program = "from weft.transport import Context; Context(datapaths=['xdp'])"
    launch = Launch(
        ["setpriv", "--bounding-set=-bpf,-sys_admin", sys.executable, "-P", "-c", program]
    )
    with pytest.raises(MeasurementError, match="CAP_BPF"):
        run_ranks([inside(wires[0], launch, WEFT_INTERFACES="wire0")], 60)


def test_options_of_xdp_do_not_disturb_udp() -> None:
    options = {"xdp.mode": "copy", "paths": 2}
    Context(datapaths=["udp"], interfaces=["127.0.0.1"], transport=options).close()
    with pytest.raises(InvalidArgument, match=r"xdp\.mode=fast"):
        Context(datapaths=["xdp"], transport={"xdp.mode": "fast"})


def test_loopback_alone_is_refused() -> None:
    with pytest.raises(Unsupported, match="loopback"):
        Context(datapaths=["xdp"], interfaces=["127.0.0.1"])
