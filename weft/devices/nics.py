"""IP network cards: speed, MTU, place, queues, and what their drivers offer to AF_XDP."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path

from weft.devices.gpus import PCI, Gpu, gpus, nearest, numa_node, read
from weft.devices.xdp import features

NET = Path("/sys/class/net")


@dataclass(frozen=True)
class Nic:
    """One network device.

    state: the kernel's operstate; gbit: None where the driver does not say; mtu: bytes;
    pci: its address, or "" for virtual devices; queues: that receive; xdp: "zero_copy", "copy"
    (programs run in the driver), "generic" (behind it), or None where the kernel does not tell
    (before Linux 6.3); xdp_jumbo: packets may span buffers; gpus: distance by PCI address.
    """

    name: str
    state: str
    gbit: float | None
    mtu: int
    numa_node: int | None
    driver: str
    pci: str
    queues: int
    xdp: str | None
    xdp_jumbo: bool
    gpus: dict[str, str] = field(default_factory=dict)


def nics(folder: Path = NET, among: list[Gpu] | None = None, pci_folder: Path = PCI) -> list[Nic]:
    """All network devices of this network namespace but loopback, by name."""
    known = gpus() if among is None else among
    offers = features()
    indices = {name: index for index, name in socket.if_nameindex()}
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name == "lo" or not (path / "mtu").exists():
            continue
        speed = int(read(path / "speed") or -1)  # Mbit/s; -1 where the device does not say
        offer = offers.get(indices.get(path.name, 0))
        device = path / "device"
        bus = read_link(device / "subsystem")
        pci = read_link(device) if bus == "pci" else ""
        found.append(
            Nic(
                name=path.name,
                state=read(path / "operstate") or "unknown",
                gbit=speed / 1000 if speed > 0 else None,
                mtu=int(read(path / "mtu") or 0),
                numa_node=numa_node(device),
                driver=read_link(device / "driver") or read_link(device / "subsystem"),
                pci=pci,
                queues=len(list(path.glob("queues/rx-*"))) or 1,
                xdp=None if offer is None else offer.mode,
                xdp_jumbo=offer is not None and offer.jumbo,
                gpus=nearest(pci, known, pci_folder),
            )
        )
    return found


def read_link(path: Path) -> str:
    """The last part of where a link leads, "" if it is none."""
    return path.resolve().name if path.is_symlink() else ""
