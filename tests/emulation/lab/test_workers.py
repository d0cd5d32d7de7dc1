"""Labs whose hosts live on workers: other machines, here other network namespaces.

The network between the machines is a lab as well (`under`): its h0 is where the lab under test
runs, h1 and h2 are its workers. They share no network but that one.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest

from weft.emulation import LinkSpec, ScenarioError, Topology
from weft.emulation.lab import FabricDied, Lab, LabError, fabric, reaper
from weft.emulation.lab.workers import Worker, load, ray_cluster
from weft.emulation.lab.workers.inventory import place

CABLE = 1e-3
SSHD = shutil.which("sshd", path="/usr/sbin:/sbin:/usr/bin")
SMALL = {"leaves": 2, "spines": 2, "hosts_per_leaf": 2, "rate": "100Mbit/s", "delay": "200us"}


@pytest.fixture(scope="module")
def under() -> Iterator[Lab]:
    if fabric.missing_capabilities():
        pytest.skip(f"this process lacks {', '.join(fabric.missing_capabilities())}")
    links = [LinkSpec(f"h{h}", "s0", "1Gbit/s", CABLE) for h in range(3)]
    with Lab(Topology.graph(3, ["s0"], links), name="under") as made:
        yield made


def inventory(under: Lab, folder: Path, commands: dict[int, list[str]]) -> Path:
    """Workers a and b on h1 and h2; h0 of the lab stays where the fabric is."""
    text = ""
    for name, host, hosts in (("a", 1, ["h1"]), ("b", 2, ["h2", "h3"])):
        text += (
            f"[[workers]]\nname = {json.dumps(name)}\ncommand = {json.dumps(commands[host])}\n"
            f"address = {json.dumps(under.hosts[host].ip)}\nhosts = {json.dumps(hosts)}\n"
        )
    file = folder / "inventory.toml"
    file.write_text(text)
    return file


@pytest.fixture
def spread(under: Lab, tmp_path: Path) -> Path:
    commands = {host: [*under.enter(host), "sh", "-c"] for host in (1, 2)}
    return inventory(under, tmp_path, commands)


def run_there(under: Lab, program: str, *arguments: str) -> str:
    """A Python program on the machine of the fabric."""
    words = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    return under["h0"].run(words, timeout=200).stdout


def lab_run(under: Lab, file: Path, workers: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`weft lab run` on the machine of the fabric."""
    weft = "from weft.emulation.lab.cli import app; app()"
    words = [sys.executable, "-c", weft, "run", str(file), "--workers", workers, "--json"]
    return under["h0"].run(words, timeout=200, check=False)


LOOK = f"""
    import json, sys
    from pathlib import Path
    from weft.emulation import Topology
    from weft.emulation.lab import Lab
    from weft.emulation.lab.workers import load
    topology = Topology.leaf_spine(**{SMALL!r})
    with Lab(topology, workers=load(Path(sys.argv[1])), tolerance=0.1) as lab:
        pings = {{}}
        for _ in range(3):  # a busy machine may lose one
            pings |= {{f"{{a}} {{b}}": t for (a, b), t in lab.ping_all(timeout=5).items() if t}}
        evidence = lab.fidelity()
        print(json.dumps({{
            "pings": pings,
            "host": lab["h3"].cmd("echo $WEFT_LAB_HOST; ip -br -4 addr show eth0").split(),
            "code": lab["h1"].popen(["sh", "-c", "exit 7"]).wait(60),
            "tunnels": evidence.tunnels,
            "faults": evidence.faults,
            "snmp": lab["h2"].read("/proc/net/snmp")[:3],
        }}))
"""


def check_look(said: str) -> None:
    found = json.loads(said)
    assert len(found["pings"]) == 12
    # Between machines two cables each way come on top of the model's own links.
    assert found["pings"]["h0 h1"] >= 4 * 200e-6 + 4 * CABLE
    assert found["pings"]["h1 h2"] >= 8 * 200e-6 + 8 * CABLE
    assert found["host"][0] == "h3" and found["host"][3] == "10.0.0.4/8"
    assert found["code"] == 7 and found["snmp"] == "Ip:"
    assert found["tunnels"].keys() == {"a", "b"} and min(found["tunnels"].values()) >= 4 * CABLE


def test_hosts_on_two_workers_reach_each_other_through_the_fabric(under: Lab, spread: Path) -> None:
    check_look(run_there(under, LOOK, str(spread)))


@pytest.mark.skipif(SSHD is None, reason="there is no sshd (Debian: openssh-server)")
def test_the_same_over_ssh(under: Lab, tmp_path: Path) -> None:
    assert SSHD is not None
    Path("/run/sshd").mkdir(exist_ok=True)
    commands = {}
    for name in ("host", "user"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(key, check=True)
    (tmp_path / "user.pub").chmod(0o600)
    for host in (1, 2):
        address = under.hosts[host].ip
        daemon = under.hosts[host].popen(
            [SSHD, "-D", "-e", "-f", "/dev/null", "-o", f"ListenAddress={address}:2222",
             "-h", str(tmp_path / "host"), "-o", f"AuthorizedKeysFile={tmp_path / 'user.pub'}",
             "-o", "StrictModes=no", "-o", "PermitRootLogin=yes", "-o", "PidFile=none",
             "-o", "UsePAM=no"],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until = time.monotonic() + 30
        while under.hosts[host].run(["ss", "-ltn"]).stdout.count(":2222") == 0:
            assert daemon.poll() is None and time.monotonic() < until, "sshd does not come up"
            time.sleep(0.05)
        commands[host] = [
            "ssh", "-p", "2222", "-i", str(tmp_path / "user"), "-o", "BatchMode=yes", "-o",
            "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
            "LogLevel=ERROR", address,
        ]  # fmt: skip
    check_look(run_there(under, LOOK, str(inventory(under, tmp_path, commands))))


SCENARIO = """
name = "far apart"
[fabric]
kind = "leaf_spine"
leaves = 2
spines = 2
hosts_per_leaf = 2
rate = "20Mbit/s"
delay = "1ms"
[[workload]]
pattern = "permutation"
size = "100kB"
[transport]
paths = 4
congestion = { name = "swift", base_target_us = 50000 }
[lab]
tolerance = "1s"
[run]
limit = "60s"
"""


RAY_PORT = 6379
STORE = 80 << 20
"""Bytes of Ray's object store; it takes no less than 75 MB."""
RAY_VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",  # else Ray decides by what it finds in the user's home
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}


@pytest.fixture(scope="module")
def ray_nodes(under: Lab) -> Iterator[None]:
    """A Ray cluster on the machines of `under`: a head without CPUs, two nodes of one each."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed (extra: ray)")
    address = f"{under.hosts[0].ip}:{RAY_PORT}"
    os.environ |= RAY_VARIABLES | {"RAY_ADDRESS": address}
    with ExitStack() as stack:
        for variable in (*RAY_VARIABLES, "RAY_ADDRESS"):
            stack.callback(os.environ.pop, variable)
        # Unix sockets are made below it, whose paths may have 107 bytes.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp"))
        for number, host in enumerate(under.hosts):
            role = [f"--address={address}"]
            if number == 0:
                role = ["--head", f"--port={RAY_PORT}", f"--temp-dir={folder}"]
                role.append("--include-dashboard=false")
            words = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *role,
                     f"--node-ip-address={host.ip}", f"--num-cpus={min(number, 1)}",
                     f"--object-store-memory={STORE}", "--disable-usage-stats"]  # fmt: skip
            said = stack.enter_context(tempfile.TemporaryFile())
            node = host.popen(words, stdout=said, stderr=said, start_new_session=True)
            stack.callback(_end, node)
            # One after the other: their sockets are numbered in the folder that all three share.
            until = time.monotonic() + 60
            while len(list(Path(folder).glob("session_2*/sockets/raylet*"))) <= number:
                # Not by seek(), which would move the node's own end as well.
                words_so_far = os.pread(said.fileno(), 1 << 16, 0).decode()
                assert node.poll() is None and time.monotonic() < until, words_so_far
                time.sleep(0.1)
        run_there(under, RAY_NODES)
        yield


def _end(node: subprocess.Popen[bytes]) -> None:
    """`ray start --block` takes what it has started with it."""
    node.terminate()
    try:
        node.wait(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(node.pid, 9)
        node.wait()


def on_ray(test: Callable[..., None]) -> Callable[..., None]:
    """One cluster for all of them: they share a process."""
    return pytest.mark.xdist_group("ray")(pytest.mark.usefixtures("ray_nodes")(test))


RAY_NODES = """
    import time
    import ray
    ray.init(address="auto", log_to_driver=False, logging_level="error")
    until = time.monotonic() + 90
    while sum(node["Alive"] for node in ray.nodes()) < 3:
        assert time.monotonic() < until, ray.nodes()
        time.sleep(0.2)
"""


@on_ray
def test_ray_places_hosts_on_its_nodes(under: Lab) -> None:
    """Two bundles of one CPU, spread over the two nodes that have one: h0 and h1 on the first."""
    program = f"""
        import json
        from weft.emulation import Topology
        from weft.emulation.lab import Lab
        from weft.emulation.lab.workers import ray_cluster
        topology = Topology.leaf_spine(**{SMALL!r})
        with ray_cluster.placed(2) as workers, \\
             Lab(topology, workers=workers, tolerance=0.1) as lab:
            pings = {{}}
            for _ in range(3):  # a busy machine may lose one
                pings |= {{f"{{a}} {{b}}": t for (a, b), t in lab.ping_all(timeout=5).items() if t}}
            echo = lab["h1"].run(["cat"], check=False)
            print(json.dumps({{
                "pings": pings,
                "placed": [worker.address for worker in workers],
                "host": lab["h3"].cmd("echo $WEFT_LAB_HOST; ip -br -4 addr show eth0").split(),
                "code": lab["h1"].popen(["sh", "-c", "exit 7"]).wait(60),
                "killed": lab["h1"].popen(["sh", "-c", "kill -9 $$"]).wait(60),
                "tunnels": lab.fidelity().tunnels,
            }}))
    """
    found = json.loads(run_there(under, program))
    assert sorted(found["placed"]) == [under.hosts[1].ip, under.hosts[2].ip]
    assert len(found["pings"]) == 12
    assert found["pings"]["h1 h2"] >= 8 * 200e-6 + 8 * CABLE
    assert found["host"][0] == "h3" and found["host"][3] == "10.0.0.4/8"
    assert found["code"] == 7 and found["killed"] == 128 + 9
    assert len(found["tunnels"]) == 2


@on_ray
def test_what_ray_has_placed_ends_with_a_killed_lab(under: Lab) -> None:
    program = """
        import sys
        from weft.emulation import Topology
        from weft.emulation.lab import Lab
        from weft.emulation.lab.workers import ray_cluster
        with ray_cluster.placed() as workers, \\
             Lab(Topology.dumbbell(left=1, right=1), workers=workers) as lab:
            lab["h1"].popen(["sleep", "1000"])
            print(*(lab.worker(host).facts["pid"] for host in (0, 1)), flush=True)
            sys.stdin.read()
    """
    words = [sys.executable, "-c", textwrap.dedent(program)]
    driver = under["h0"].popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert driver.stdout is not None and driver.stdin is not None
    pids = driver.stdout.readline().split()
    assert len(pids) == 2
    driver.kill()
    driver.wait()
    until = time.monotonic() + 60
    while any(Path(f"/proc/{int(pid)}").exists() for pid in pids):
        assert time.monotonic() < until, "what Ray has placed outlives its lab"
        time.sleep(0.1)
    driver.stdout.close()
    driver.stdin.close()


@on_ray
@pytest.mark.parametrize(
    ("workers", "message"),
    [
        ("ray:3", "no room for 3 workers of one CPU each: 2 of its 3 nodes have CPUs, 2 in all"),
        ("ray:none", "behind ray: stands a number of workers"),
    ],
)
def test_ray_without_room_is_named(under: Lab, tmp_path: Path, workers: str, message: str) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(SCENARIO)
    done = lab_run(under, file, workers)
    assert done.returncode == 2 and message in done.stderr


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LabError, match=r"pip install 'weft\[ray\]'"), ray_cluster.placed():
        pass


@pytest.mark.parametrize("carrier", ["weft", "tcp"])
def test_scenarios_run_on_workers(under: Lab, spread: Path, tmp_path: Path, carrier: str) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(SCENARIO.replace("tolerance", f'carrier = "{carrier}"\ntolerance'))
    done = lab_run(under, file, str(spread))
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["errors"] == [] and found["unfinished"] == 0
    assert found["end"] >= found["ideal_bound"] and found["fidelity"]["tunnels"].keys() == {
        "a",
        "b",
    }


def test_workers_leave_nothing_behind_and_are_missed_when_they_die() -> None:
    topology = Topology.dumbbell(left=1, right=1)
    workers = [Worker("a", hosts=("h0",)), Worker("b", hosts=("h1",), rootless=True)]
    with Lab(topology, workers=workers, name="mortal") as lab:
        remotes = [lab.worker(host) for host in (0, 1)]
        assert remotes[0] is not None and remotes[1] is not None
        pids = [remote.facts["pid"] for remote in remotes if remote]
        for junk in (b"", b"x" * 23, bytes(24), bytes(200), os.urandom(9000)):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.sendto(junk, ("127.0.0.1", remotes[0].facts["port"]))
        assert lab.ping("h0", "h1", count=3, timeout=5.0) != [None] * 3
        until = time.monotonic() + 20
        while remotes[0].ask("report")["strangers"] < 5:
            assert time.monotonic() < until, remotes[0].ask("report")
        program = lab["h0"].popen("sleep 1000", start_new_session=True)
        namespace = Path(f"/proc/{pids[0]}/fd/{remotes[0].facts['namespaces']['0']}")
        inode = namespace.stat().st_ino
        until = time.monotonic() + 20
        while not reaper.processes({inode}):
            assert time.monotonic() < until, "the program does not start"
        os.kill(pids[1], 9)
        remotes[1].process.wait(timeout=20)
        with pytest.raises(FabricDied, match="mortal: worker b has ended"):
            lab["h1"].cmd("true")
    assert program.wait(timeout=20) != 0
    until = time.monotonic() + 20
    while reaper.processes({inode}):  # killed, but a busy machine takes its time
        assert time.monotonic() < until, "a program has outlived its lab"
        time.sleep(0.02)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_jumbo_frames_pass_tunnels_in_pieces() -> None:
    """The largest MTU of a lab, over a path (here the loopback) of any."""
    topology = Topology.dumbbell(left=1, right=1)
    with Lab(topology, workers=[Worker("a", hosts=("h0",))], mtu=9000, tolerance=0.1) as lab:
        send = """
            import socket, sys
            with socket.socket(type=socket.SOCK_DGRAM) as sender:
                sender.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: no fragments inside
                sender.sendto(bytes(8972), (sys.argv[1], int(sys.argv[2])))
        """
        with lab["h1"].socket(kind=socket.SOCK_DGRAM) as receiver:
            receiver.bind((lab["h1"].ip, 0))
            receiver.settimeout(20)
            address, port = receiver.getsockname()
            lab["h0"].run([sys.executable, "-c", textwrap.dedent(send), address, str(port)])
            assert len(receiver.recv(9000)) == 8972


def test_mistakes_are_named(tmp_path: Path) -> None:
    topology = Topology.dumbbell(left=1, right=1)
    with pytest.raises(LabError, match=r"h0 is on two workers, a and b"):
        Lab(topology, workers=[Worker("a", hosts=("h0",)), Worker("b", hosts=("h0",))])
    with pytest.raises(LabError, match="there is no node 'h7'"):
        Lab(topology, workers=[Worker("a", hosts=("h7",))])
    with pytest.raises(LabError, match="'left' is a switch"):
        Lab(topology, workers=[Worker("a", hosts=("left",))])
    with (
        pytest.raises(LabError, match=r"lab: worker a has ended: .*no-such-python"),
        Lab(topology, workers=[Worker("a", python="no-such-python")]),
    ):
        pass
    with (
        pytest.raises(LabError, match=r"worker a: `no-such-shell .*cannot be run"),
        Lab(topology, workers=[Worker("a", command=("no-such-shell",))]),
    ):
        pass
    with Lab(topology, workers=[Worker("a", hosts=("h0",))]) as lab:
        with pytest.raises(LabError, match="h0: it lives on worker a, and so do its sockets"):
            lab["h0"].socket()
        with pytest.raises(LabError, match="no file descriptor can pass to a"):
            lab["h0"].popen("true", pass_fds=[0])
    file = tmp_path / "inventory.toml"
    for text, message in (
        ("", "an inventory has at least one"),
        ('[[workers]]\nname = "a"\nadress = "1.2.3.4"', r":3: workers\[0\]\.adress: .*'address'"),
        ('[[workers]]\nname = "a"\naddress = "1.2.3"', r":3: workers\[0\]\.address: .*1\.2\.3"),
        ('[[workers]]\nname = "a"\n[[workers]]\nname = "a"', r":4: .*there are two workers 'a'"),
    ):
        file.write_text(text)
        with pytest.raises(ScenarioError, match=message):
            load(file)


def test_hosts_are_dealt_out_in_blocks() -> None:
    topology = Topology.leaf_spine(**SMALL)
    placed = place([Worker("a"), Worker("b")], topology)
    assert {host: worker.name for host, worker in placed.items()} == {
        0: "a",
        1: "a",
        2: "b",
        3: "b",
    }
    assert place([], topology) == {}
