"""NCCL's plugin over Weft's verbs datapath: the driver of tests/nccl, both ends on one machine's
RDMA device."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from weft._native import path
from weft.emulation.lab import Lab

SOURCE = Path(__file__).parents[1] / "nccl" / "driver.c"
VERSIONS = (8, 9, 10, 11, 12)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("nccl-vm") / "driver"
    subprocess.run(["cc", "-std=c99", "-O2", str(SOURCE), "-o", str(target), "-ldl"], check=True)
    return target


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_of_the_plugin_works_over_verbs(lab: Lab, driver: Path, version: int) -> None:
    settings = {
        "WEFT_SECRET": "nccl tests",
        "WEFT_DATAPATHS": "verbs",
        # An emulated CPU may take seconds over what others take microseconds.
        "WEFT_PEER_TIMEOUT_MS": "60000",
        "WEFT_TRANSPORT": "congestion.base_target_us=50000",
    }
    plugin = str(path("libnccl-net-weft.so"))
    done = lab["h0"].run(
        [str(driver), plugin, str(version), "all"], env=settings, timeout=200, check=False
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stdout + done.stderr
