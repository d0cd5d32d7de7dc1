"""What a connection and the agents of its lab say to each other: values that cross a pipe."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from weft.p4.pruning import wire
from weft.p4.pruning.execute import Pass
from weft.p4.pruning.reliability import Receiver


@dataclass(frozen=True, slots=True)
class Setup:
    """What an agent is. `fragments` (of a worker) are Arrow IPC files by table."""

    own: wire.Address
    master: wire.Address
    workers: tuple[wire.Address, ...]
    dilation: float
    token: str
    folder: str
    fragments: Mapping[str, str]
    timeout_us: float
    go_back_n: bool = False


@dataclass(frozen=True, slots=True)
class Flow:
    """One pass of one run, for one worker."""

    run: int
    one: Pass
    stream: wire.Stream


@dataclass(slots=True)
class Sent:
    """A worker's end of a transfer: when (time.monotonic); by run the rows that it made packets of,
    the seconds of CPU time that this took, and packets."""

    at: float = 0.0
    packed: Counter[int] = field(default_factory=Counter)
    seconds: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    packets: Counter[int] = field(default_factory=Counter)
    resent: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Listen:
    """One pass of one run, for the master."""

    run: int
    table: str
    consume: bool
    receiver: Receiver


def read(path: str) -> pa.Table:
    """A table in an Arrow IPC file, mapped into memory."""
    with pa.memory_map(path) as source:
        return pa.ipc.open_file(source).read_all()


def write(table: pa.Table, path: Path) -> str:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return str(path)
