"""RDMA: devices in sysfs, the verbs library, and the means to make soft-RoCE devices for tests."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Iterator
from pathlib import Path

from weft.doctor.finding import Finding, Level, observed

TOPIC = "rdma"
DEVICES = Path("/sys/class/infiniband")


def probe() -> Iterator[Finding]:
    """Devices with their ports, libibverbs, QEMU for the soft-RoCE test machines."""
    yield from _devices(DEVICES)
    yield _library("libibverbs", "libibverbs.so.1", "apt install libibverbs1 ibverbs-providers")
    yield _library("libxdp", "libxdp.so.1", "apt install libxdp1")
    qemu = shutil.which("qemu-system-x86_64")
    yield observed(
        TOPIC,
        "test machines",
        qemu is not None,
        qemu or "no QEMU, which boots soft-RoCE hosts for the RDMA tests",
        "apt install qemu-system-x86",
    )


def _devices(folder: Path) -> Iterator[Finding]:
    ports = sorted(folder.glob("*/ports/*"))
    if not ports:
        yield observed(
            TOPIC,
            "devices",
            False,
            "none",
            "an RDMA NIC and its driver, or soft-RoCE: modprobe rdma_rxe && "
            "rdma link add rxe0 type rxe netdev DEVICE",
        )
    for port in ports:
        state = (port / "state").read_text(encoding="utf-8").strip()
        rate = (port / "rate").read_text(encoding="utf-8").strip()
        layer = (port / "link_layer").read_text(encoding="utf-8").strip()
        name = f"device {port.parent.parent.name} port {port.name}"
        active = state.endswith("ACTIVE")
        yield observed(
            TOPIC,
            name,
            active,
            f"{state}, {rate}, {layer}",
            "bring the link up: ip link set DEVICE up, or look at the cable and switch port",
            state=state,
            rate=rate,
            link_layer=layer,
        )


def _library(name: str, soname: str, install: str) -> Finding:
    try:
        ctypes.CDLL(soname)
    except OSError:
        return observed(TOPIC, name, False, f"{soname} is not here", install, usable=False)
    return Finding(TOPIC, name, Level.OK, soname, values={"usable": True})
