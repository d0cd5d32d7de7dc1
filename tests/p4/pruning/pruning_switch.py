"""Runs rows through a pruning program, packet by packet, and says which survive."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from weft.p4.compiler import compile_file, ir
from weft.p4.pruning import wire
from weft.p4.pruning.control import CASTAGNOLI, PROGRAMS, Station, admission
from weft.p4.switch import Switch

WORKER, MASTER = wire.Address(1), wire.Address(100)
STREAM = wire.Stream(WORKER, MASTER, query=1, epoch=1, phase=0, flow=0)


@functools.cache
def program(name: str, defines: tuple[tuple[str, str], ...]) -> ir.Program:
    return compile_file(PROGRAMS / f"{name}.p4", defines=dict(defines))


def open_switch(name: str, seed: int = 1, **defines: int) -> Switch:
    """Worker on port 1, master on port 9."""
    switch = Switch(program(name, tuple((k, str(v)) for k, v in defines.items())), seed=seed)
    switch.custom_crc(32, *CASTAGNOLI)
    for station, port in ((WORKER, 1), (MASTER, 9)):
        switch.table("ingress.routes").insert([(str(station), 32)], "ingress.forward", [port])
        switch.table("ingress.sources").insert([port, str(station)], "NoAction")
    switch.table("ingress.known").insert([1], "ingress.running", [1])
    return switch


def install(switch: Switch, action: str, arguments: Sequence[int], phase: int = 0) -> None:
    """Query 1 in epoch 1; in phase n the worker sends flow n."""
    key = admission(1, 1, phase, phase, Station(1, WORKER))
    switch.table("ingress.queries").insert(key, f"ingress.{action}", list(arguments))


def lanes_of(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    mixed = keys * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(61)).astype(np.int64)


def codes(*columns: npt.ArrayLike) -> wire.Codes:
    """Three code columns; missing ones are zero."""
    made = np.zeros((len(np.asarray(columns[0])), 3), np.uint32)
    for i, column in enumerate(columns):
        made[:, i] = column
    return made


def key_codes(keys: npt.NDArray[np.uint64], values: npt.ArrayLike = 0) -> wire.Codes:
    made = np.zeros((len(keys), 3), np.uint32)
    made[:, 0], made[:, 1] = keys >> np.uint64(32), keys & np.uint64(0xFFFFFFFF)
    made[:, 2] = values
    return made


def survivors(
    switch: Switch, rows: wire.Codes, lanes: npt.NDArray[np.int64] | None = None, phase: int = 0,
    first: int = 1,
) -> npt.NDArray[np.int64]:  # fmt: skip
    """Indices of the rows that reach the master; every packet is answered exactly once."""
    count = len(rows)
    lanes = np.arange(count) % wire.LANES if lanes is None else lanes
    stream = wire.Stream(WORKER, MASTER, 1, 1, phase, phase)
    kept: list[int] = []
    bodies = wire.lay_out(np.arange(count, dtype=np.uint32), rows, lanes)
    for sequence, (present, body) in enumerate(bodies, first):
        (output,) = switch.send(1, wire.encode(stream, wire.DATA, sequence, present, body))
        _, packet = wire.decode(output.data)
        assert packet.sequence == sequence
        if packet.kind == wire.ACK:
            assert output.port == 1
        else:
            assert (output.port, packet.kind) == (9, wire.SURVIVORS)
            kept += packet.ids
    return np.array(sorted(kept), np.int64)
