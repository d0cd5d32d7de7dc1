"""RDMA devices, as the native core lists them (native/datapath/verbs/sysfs), with the GPUs near."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from weft.devices.gpus import Gpu, gpus, nearest


@dataclass(frozen=True)
class RdmaPort:
    """gbit: speed; mtu: bytes of payload of one packet; gids: dicts of index, gid, type ("IB",
    "RoCE v1", "RoCE v2") and interface."""

    number: int
    active: bool
    link_layer: str
    gbit: float
    mtu: int
    lid: int
    gids: list[dict[str, Any]]


@dataclass(frozen=True)
class RdmaDevice:
    """pci: "" for soft-RoCE and the like; gpus: distance by PCI address (weft.devices.gpus)."""

    name: str
    driver: str
    pci: str
    numa_node: int | None
    ports: list[RdmaPort]
    gpus: dict[str, str]


def rdma(among: list[Gpu] | None = None) -> tuple[list[RdmaDevice], str]:
    """The devices, and why they cannot be used ("" if they can): libibverbs does not load, or the
    native core is not built."""
    try:
        from weft.transport import _c

        _, library = _c.load()
        found = json.loads(_c.text_of(library.weft_devices_json).rstrip(b"\0"))
    except (FileNotFoundError, ImportError) as error:
        return [], f"Weft's native core is not here: {error}"
    known = gpus() if among is None else among
    return [_device(entry, known) for entry in found["devices"]], found["reason"]


def _device(entry: dict[str, Any], known: list[Gpu]) -> RdmaDevice:
    return RdmaDevice(
        name=entry["name"],
        driver=entry["driver"],
        pci=entry["pci"],
        numa_node=entry["numa_node"] if entry["numa_node"] >= 0 else None,
        ports=[RdmaPort(**port) for port in entry["ports"]],
        gpus=nearest(entry["pci"], known),
    )
