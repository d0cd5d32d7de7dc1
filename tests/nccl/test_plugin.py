"""The NCCL plugin, driven as NCCL drives it, for every version of the interface."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from weft._native import path
from weft.cli import app

VERSIONS = (8, 9, 10, 11, 12)
STRICT = ["cc", "-std=c99", "-O2", "-Wall", "-Wextra", "-pedantic", "-Werror"]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("nccl") / "driver"
    source = Path(__file__).with_name("driver.c")
    subprocess.run([*STRICT, str(source), "-o", str(target), "-ldl"], check=True)
    return target


def play(driver: Path, version: int, scenario: str, **settings: str) -> str:
    """What both processes said; fails unless they found all in order."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WEFT_")}
    environment |= {"WEFT_SECRET": "nccl tests", "WEFT_INTERFACES": "lo", **settings}
    plugin = path("libnccl-net-weft.so")
    done = subprocess.run(
        [driver, plugin, str(version), scenario],
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stdout + done.stderr
    return done.stderr


@pytest.mark.parametrize("datapath", ["shm", "udp"])
@pytest.mark.parametrize("version", VERSIONS)
def test_version(driver: Path, version: int, datapath: str) -> None:
    # A loaded machine deschedules a process for longer than the usual time-out of a silent peer.
    play(driver, version, "all", WEFT_DATAPATHS=datapath, WEFT_PEER_TIMEOUT_MS="20000")


@pytest.mark.parametrize("datapath", ["shm", "udp"])
def test_killed_peer(driver: Path, datapath: str) -> None:
    assert "WEFT_ERR_PEER_DEAD" in play(driver, 11, "killed", WEFT_DATAPATHS=datapath)


def test_a_send_without_a_receive_ends(driver: Path) -> None:
    settings = {"WEFT_DATAPATHS": "udp", "WEFT_TIMEOUT_MS": "300"}
    said = play(driver, 11, "timeouts", **settings)
    assert said.count("WEFT_ERR_TIMEOUT") == 3, said


def test_exports_the_tables_and_nothing_else() -> None:
    command = ["nm", "-D", "--defined-only", str(path("libnccl-net-weft.so"))]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ours = set(re.findall(r"\b(nccl\w+|_ZN4weft\w+)", listed))
    assert ours == {f"ncclNetPlugin_v{version}" for version in VERSIONS}


def test_variables() -> None:
    result = CliRunner().invoke(app, ["nccl", "env", "--json"])
    assert result.exit_code == 0, result.output
    variables = json.loads(result.stdout)
    assert Path(variables["NCCL_NET_PLUGIN"]).name == "libnccl-net-weft.so"
    assert Path(variables["NCCL_NET_PLUGIN"]).is_file()
    assert variables["NCCL_NET"] == "Weft"


def test_variables_for_the_shell() -> None:
    result = CliRunner().invoke(app, ["nccl", "env"])
    assert result.exit_code == 0, result.output
    script = result.stdout + 'echo "$NCCL_NET"; test -f "$NCCL_NET_PLUGIN"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "Weft\n"), done.stderr


TWO_INTERFACES = """
ip link set lo up
ip link add weft0 type veth peer name weft1
ip addr add 192.0.2.1/24 dev weft0 && ip addr add 198.51.100.1/24 dev weft1
ip link set weft0 up && ip link set weft1 up
exec "$@"
"""


def test_virtual_device_of_two_interfaces(driver: Path) -> None:
    unshare = ["unshare", "--user", "--map-root-user", "--net"]
    probe = subprocess.run([*unshare, "true"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"this system makes no network namespaces for users: {probe.stderr.strip()}")
    plugin = str(path("libnccl-net-weft.so"))
    done = subprocess.run(
        [*unshare, "sh", "-ec", TWO_INTERFACES, "sh", str(driver), plugin, "11", "properties"],
        env=os.environ | {"WEFT_DATAPATHS": "udp"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stdout + done.stderr
    assert "2 devices" in done.stderr
