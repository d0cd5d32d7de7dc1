"""GPUs on the PCI bus, and how far a network device is from each.

Distances have the names of `nvidia-smi topo -m`: PIX (one PCIe switch between them), PXB
(several), PHB (the host bridge), NODE (host bridges of one NUMA node), SYS (across NUMA nodes). Up
to PXB a NIC and a GPU can talk past the processor (GPUDirect RDMA at full speed).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PCI = Path("/sys/bus/pci/devices")
# Display controllers (03) and processing accelerators (12) of vendors that make GPUs for computing;
# a server's management controller has a display, too. pci-ids: 10de NVIDIA, 1002 AMD, 8086 Intel.
CLASSES = ("0x03", "0x12")
VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
ORDER = ("PIX", "PXB", "PHB", "NODE", "SYS")


@dataclass(frozen=True)
class Gpu:
    """pci: its address, 0000:3b:00.0; numa_node: None where the machine has no such thing."""

    pci: str
    vendor: str
    numa_node: int | None


def gpus(folder: Path = PCI) -> list[Gpu]:
    """All GPUs, by PCI address: as CUDA counts them with CUDA_DEVICE_ORDER=PCI_BUS_ID."""
    found = []
    for device in sorted(folder.iterdir()) if folder.is_dir() else []:
        vendor = VENDORS.get(read(device / "vendor"))
        if vendor is not None and read(device / "class").startswith(CLASSES):
            found.append(Gpu(device.name, vendor, numa_node(device)))
    return found


def distance(a: str, b: str, folder: Path = PCI) -> str:
    """One of ORDER, between two PCI addresses."""
    ways = [_way(folder / address) for address in (a, b)]
    shared = 0
    for here, there in zip(*ways, strict=False):
        if here != there:
            break
        shared += 1
    if shared >= 2:  # the root, and at least one bridge below it
        deepest = max(len(way) for way in ways) - shared
        return "PIX" if deepest <= 2 else "PXB"
    if shared == 1:
        return "PHB"
    nodes = {numa_node(folder / address) for address in (a, b)}
    return "NODE" if len(nodes) == 1 else "SYS"


def nearest(pci: str, among: list[Gpu], folder: Path = PCI) -> dict[str, str]:
    """The distance of each GPU, nearest first, keyed by its address; empty for no PCI device."""
    if not pci:
        return {}
    found = {gpu.pci: distance(pci, gpu.pci, folder) for gpu in among}
    return dict(sorted(found.items(), key=lambda item: ORDER.index(item[1])))


def numa_node(device: Path) -> int | None:
    """Of a device's folder in sysfs; None where the kernel says -1 or nothing."""
    text = read(device / "numa_node")
    return int(text) if text and int(text) >= 0 else None


def read(path: Path) -> str:
    """The file's only line, or "" where the device has no such property (some answer EINVAL)."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _way(device: Path) -> list[str]:
    """From the root complex (pci0000:3a) down to the device."""
    parts = list(device.resolve().parts)
    roots = [i for i, part in enumerate(parts) if part.startswith("pci")]
    return parts[roots[-1] :] if roots else [device.name]
