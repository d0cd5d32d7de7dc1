"""RDMA: why it is off, and what to do: NICs without a driver, devices and their ports, the verbs
library, the way into the kernel, and the means to make soft-RoCE devices for tests."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from weft.devices.gpus import PCI, read
from weft.doctor.finding import Finding, Level, observed

TOPIC = "rdma"
DEVICES = Path("/sys/class/infiniband")
UVERBS = Path("/dev/infiniband")
MODULES = Path("/lib/modules")

# Network controllers (class 02) that can do RDMA, by vendor, with the kernel module that makes them
# RDMA devices. Of vendors who make others, too, only EFA's devices are told by number.
CAPABLE = {"0x15b3": "mlx5_ib (ConnectX-3: mlx4_ib)", "0x14e4": "bnxt_re", "0x1dd8": "ionic_rdma"}
EFA = ("0x1d0f", ("0xefa0", "0xefa1", "0xefa2", "0xefa3"))


def probe() -> Iterator[Finding]:
    """Devices with their ports, libibverbs, QEMU for the soft-RoCE test machines."""
    found = list(_devices(DEVICES))
    yield from found
    yield from _without_driver(PCI)
    yield _library("libibverbs", "libibverbs.so.1", "apt install libibverbs1 ibverbs-providers")
    if any(finding.name != "devices" for finding in found):
        yield _uverbs(UVERBS)
    yield _soft_roce(MODULES / os.uname().release)
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
            "none: messages between hosts go by udp (or xdp)",
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


def _without_driver(folder: Path) -> Iterator[Finding]:
    """Network cards that could do RDMA, and are no RDMA devices."""
    for card in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not read(card / "class").startswith("0x02"):
            continue
        vendor, number = read(card / "vendor"), read(card / "device")
        module = "efa" if vendor == EFA[0] and number in EFA[1] else CAPABLE.get(vendor)
        if module is not None and not (card / "infiniband").is_dir():
            yield observed(
                TOPIC,
                f"NIC {card.name}",
                False,
                "can probably do RDMA, and is no RDMA device",
                f"modprobe {module}; should it be built in already, look at dmesg",
            )


def _uverbs(folder: Path) -> Finding:
    """The device files through which programs reach RDMA devices."""
    files = sorted(folder.glob("uverbs*"))
    closed = [file.name for file in files if not os.access(file, os.R_OK | os.W_OK)]
    good = bool(files) and not closed
    if not files:
        detail, mend = f"no {folder}/uverbs*", "modprobe ib_uverbs"
    else:
        detail = f"closed to us: {', '.join(closed)}" if closed else "open to us"
        mend = f"let the user read and write {folder}/uverbs* (rdma-core's udev rules do)"
    return observed(TOPIC, "uverbs", good, detail, mend, usable=good)


def _soft_roce(modules: Path) -> Finding:
    """Whether this kernel can make an RDMA device out of any network card."""
    builtin = modules / "modules.builtin"
    known = builtin.read_text(encoding="utf-8") if builtin.is_file() else ""
    good = "rdma_rxe.ko" in known or any(modules.glob("kernel/drivers/infiniband/sw/rxe/*.ko*"))
    return observed(
        TOPIC,
        "soft-RoCE",
        good,
        "rdma_rxe is here" if good else "this kernel has no rdma_rxe, with which any NIC would do",
        "a kernel with CONFIG_RDMA_RXE (Debian's has it); for tests: make test-rdma",
    )


def _library(name: str, soname: str, install: str) -> Finding:
    try:
        ctypes.CDLL(soname)
    except OSError:
        return observed(TOPIC, name, False, f"{soname} is not here", install, usable=False)
    return Finding(TOPIC, name, Level.OK, soname, values={"usable": True})
