"""`weft devices`: machines that this one is not, as folders; and the real one, told right."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from weft.devices import gpus, nics, rdma
from weft.devices.cli import app
from weft.devices.gpus import distance, nearest
from weft.devices.xdp import Offer, features
from weft.doctor import Level
from weft.doctor import rdma as rdma_probe
from weft.doctor.network import XDP_CAPABILITIES, _address_family_xdp


def pci_machine(root: Path, devices: dict[str, tuple[str, str, str, int]]) -> Path:
    """sysfs's PCI folder: address -> (path below devices/, class, vendor, NUMA node)."""
    bus = root / "bus" / "pci" / "devices"
    bus.mkdir(parents=True)
    for address, (path, kind, vendor, node) in devices.items():
        folder = root / "devices" / path / address
        folder.mkdir(parents=True)
        (folder / "class").write_text(kind + "\n")
        (folder / "vendor").write_text(vendor + "\n")
        (folder / "numa_node").write_text(f"{node}\n")
        (bus / address).symlink_to(folder)
    return bus


GPU, NIC, SHOW = "0x030200", "0x020000", "0x030000"
NVIDIA, MELLANOX, ASPEED = "0x10de", "0x15b3", "0x1a03"
SWITCH = "pci0000:00/0000:00:01.0/0000:01:00.0"


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """Two sockets: a NIC and two GPUs behind one switch, one more on the same root, others away."""
    return pci_machine(
        tmp_path,
        {
            "0000:03:00.0": (f"{SWITCH}/0000:02:00.0", NIC, MELLANOX, 0),
            "0000:04:00.0": (f"{SWITCH}/0000:02:01.0", GPU, NVIDIA, 0),
            "0000:06:00.0": (f"{SWITCH}/0000:02:02.0/0000:05:00.0/0000:05:01.0", GPU, NVIDIA, 0),
            "0000:07:00.0": ("pci0000:00/0000:00:02.0", GPU, NVIDIA, 0),
            "0000:41:00.0": ("pci0000:40/0000:40:01.0", GPU, NVIDIA, 0),
            "0000:81:00.0": ("pci0000:80/0000:80:01.0", GPU, NVIDIA, 1),
            "0000:09:00.0": ("pci0000:00/0000:00:03.0", SHOW, ASPEED, 0),
        },
    )


def test_gpus_are_those_that_compute(server: Path) -> None:
    found = gpus(server)
    assert [gpu.pci[5:7] for gpu in found] == ["04", "06", "07", "41", "81"]
    assert {gpu.vendor for gpu in found} == {"NVIDIA"}
    assert found[-1].numa_node == 1


def test_distances_are_named_as_nvidia_smi_names_them(server: Path) -> None:
    near = nearest("0000:03:00.0", gpus(server), server)
    assert list(near.values()) == ["PIX", "PXB", "PHB", "NODE", "SYS"]
    assert list(near) == [gpu.pci for gpu in gpus(server)]
    for gpu in near:
        assert distance(gpu, "0000:03:00.0", server) == near[gpu], "as far there as back"
    assert nearest("", gpus(server), server) == {}


def test_a_card_without_its_driver_is_named_with_the_module(server: Path) -> None:
    [finding] = rdma_probe._without_driver(server)
    assert finding.level is Level.ABSENT
    assert finding.name == "NIC 0000:03:00.0"
    assert "mlx5_ib" in finding.mend
    (server / "0000:03:00.0" / "infiniband").mkdir()
    assert list(rdma_probe._without_driver(server)) == []


def test_uverbs_missing_and_closed_are_told_apart(tmp_path: Path) -> None:
    assert "modprobe ib_uverbs" in rdma_probe._uverbs(tmp_path).mend
    (tmp_path / "uverbs0").touch()
    assert rdma_probe._uverbs(tmp_path).level is Level.OK


@pytest.mark.parametrize("where", ["module", "built in", "absent"])
def test_soft_roce_is_looked_for_in_the_kernel(tmp_path: Path, where: str) -> None:
    (tmp_path / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    if where == "module":
        folder = tmp_path / "kernel/drivers/infiniband/sw/rxe"
        folder.mkdir(parents=True)
        (folder / "rdma_rxe.ko.xz").touch()
    elif where == "built in":
        (tmp_path / "modules.builtin").write_text("kernel/drivers/infiniband/sw/rxe/rdma_rxe.ko\n")
    assert (rdma_probe._soft_roce(tmp_path).level is Level.OK) == (where != "absent")


def test_a_missing_capability_says_why_xdp_is_off() -> None:
    finding = _address_family_xdp(["CAP_NET_RAW", "CAP_NET_ADMIN"])
    if "CONFIG_XDP_SOCKETS" in finding.mend:
        pytest.skip("this kernel has no AF_XDP")
    assert finding.level is Level.ABSENT
    assert finding.detail == "off: CAP_BPF missing"
    assert "setcap" in finding.mend
    assert _address_family_xdp(XDP_CAPABILITIES).level is Level.OK


def test_offers_are_ranked() -> None:
    assert [Offer(flags).mode for flags in (0, 1, 3, 11)] == [
        "generic",
        "generic",
        "copy",
        "zero_copy",
    ]
    assert Offer(32).jumbo
    assert not Offer(11).jumbo


def test_cards_here_are_the_kernels_own() -> None:
    names = {name for _, name in socket.if_nameindex()} - {"lo"}
    cards = {card.name: card for card in nics()}
    assert cards.keys() <= names  # one that was just made may not be in /sys yet
    for card in cards.values():
        assert card.mtu == int(Path(f"/sys/class/net/{card.name}/mtu").read_text())
        assert card.queues >= 1


@pytest.mark.skipif(os.geteuid() != 0, reason="making a veth link needs root")
def test_veth_offers_copy_mode() -> None:
    """The netdev family's answer, by a device whose driver is known (veth: since Linux 4.19)."""
    if not features():
        pytest.skip("this kernel (before 6.3) does not tell what drivers offer")
    script = (
        "import subprocess, socket\n"
        "from weft.devices.xdp import features\n"
        "subprocess.run('ip link add w0 type veth peer name w1', shell=True, check=True)\n"
        "print(features()[socket.if_nametoindex('w0')].mode)\n"
    )
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "copy"


def test_the_listing_is_json_and_a_table() -> None:
    before = {card.name for card in nics()}
    listed = json.loads(CliRunner().invoke(app, ["--json"]).stdout)
    done = CliRunner().invoke(app, [])
    stayed = before & {card.name for card in nics()}  # others may make devices meanwhile
    adapters, why_not = rdma()
    assert [device["name"] for device in listed["rdma"]] == [device.name for device in adapters]
    assert listed["rdma_unusable"] == why_not
    assert stayed <= {card["name"] for card in listed["nics"]}
    assert done.exit_code == 0
    assert all(name in done.stdout for name in stayed)
