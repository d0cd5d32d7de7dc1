"""Scenarios with real processes, and suites of them."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from weft.emulation import Scenario, ScenarioError, Topology, simulate
from weft.emulation.document import Document
from weft.emulation.lab import FabricDied, Lab, LabError, clean, run
from weft.emulation.lab import cli as lab_cli
from weft.emulation.lab import compare as compare_cli
from weft.emulation.lab.shell import Shell
from weft.emulation.lab.sockets import as_on_sockets
from weft.emulation.lab.topo import Topo, load_class
from weft.emulation.suite import cli as suite_cli
from weft.emulation.suite import run_suite, scenario_files

PAIR = """
name = "two hosts"
expect = ["errors == 0", "messages == 2", "slowdown >= 1"]

[fabric]
kind = "dumbbell"
left = 1
right = 1
rate = "20Mbit/s"
delay = "100us"

[[workload]]
pattern = "permutation"
size = "100kB"

[transport]
paths = 4
congestion = { name = "swift", base_target_us = 20000 }
peer_timeout = "5s"

[run]
limit = "20s"
"""


def scenario(text: str = PAIR) -> Scenario:
    return Scenario.of(Document.parse(text))


@pytest.mark.parametrize("carrier", ["weft", "tcp", "gloo"])
def test_a_scenario_runs_with_real_processes(carrier: str) -> None:
    if carrier == "gloo":
        pytest.importorskip("torch", reason="gloo comes with torch")
    outcome = run(scenario(PAIR + f'[lab]\ncarrier = "{carrier}"\n'))
    assert outcome.errors == [] and outcome.result.unfinished == 0
    assert outcome.result.end >= outcome.result.ideal_bound
    carried = outcome.result.port_bytes[0]  # h0 to its switch
    assert 100_000 * 1.02 < carried < 100_000 * 3
    assert all(verdict.check(outcome.result.metrics()).holds for verdict in scenario().expect)
    record = json.loads(json.dumps(outcome.record(), default=float))
    assert record["fidelity"]["frames"] > 140 and record["unfinished"] == 0


def test_dependencies_are_kept() -> None:
    work = """
[[workload]]
pattern = "collective"
algorithm = "ring"
size = "60kB"
"""
    text = re.sub(r"\[\[workload\]\].*?\n\n", work + "\n", PAIR, flags=re.S)
    played = scenario(text.replace('"messages == 2", ', ""))
    result = run(played).result
    assert result.unfinished == 0
    for message, before in enumerate(played.workload.after):
        for other in before:
            assert result.started[message] >= result.started[other]
            if played.workload.destination[other] == played.workload.source[message]:
                assert result.started[message] >= result.received[other]


def test_what_cannot_end_is_reported_and_not_waited_for() -> None:
    cut = PAIR.replace('limit = "20s"', 'limit = "2s"') + (
        '[[events]]\nat = "0s"\nlink = ["left", "right"]\naction = "down"\n'
    )
    began = time.monotonic()
    outcome = run(scenario(cut))
    assert outcome.result.unfinished == 2
    assert outcome.result.metrics()["slowdown"] == float("inf")
    assert time.monotonic() - began < 60


def test_a_killed_fabric_ends_the_run_with_its_name() -> None:
    slow = scenario(PAIR.replace("100kB", "100MB").replace('"20s"', '"60s"'))
    caught: list[BaseException] = []
    ended: list[float] = []

    def body() -> None:
        try:
            run(slow)
        except FabricDied as error:
            caught.append(error)
            ended.append(time.monotonic())

    thread = threading.Thread(target=body)
    thread.start()
    victim = None
    end = time.monotonic() + 60
    while victim is None and time.monotonic() < end:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (entry / "stat").exists():
                try:
                    line = (entry / "cmdline").read_bytes()
                    parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                    players = any(
                        b"weft.emulation.lab.player" in (p / "cmdline").read_bytes()
                        and (p / "stat").read_text().rpartition(")")[2].split()[1]
                        == str(os.getpid())
                        for p in Path("/proc").iterdir()
                        if p.name.isdigit()
                    )
                except OSError:
                    continue
                if b"weft.emulation.lab.process" in line and parent == str(os.getpid()) and players:
                    victim = int(entry.name)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    thread.join(timeout=30)
    assert not thread.is_alive() and "two hosts: the fabric process has died" in str(caught[0])
    # Two seconds, unless others want the CPUs as well.
    assert ended[0] - killed < 2 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def test_mistakes_name_line_and_key() -> None:
    with pytest.raises(ScenarioError, match=r"scenario:\d+: lab.carrier: 'tpc' is not known"):
        scenario(PAIR + '[lab]\ncarrier = "tpc"\n')
    with pytest.raises(ScenarioError, match=r"scenario:\d+: lab.mtuu: is not a known key"):
        scenario(PAIR + "[lab]\nmtuu = 9000\n")
    with pytest.raises(ScenarioError, match=r"scenario:3: expect: there is no metric 'speed'"):
        scenario(PAIR.replace("slowdown >= 1", "speed >= 1"))
    twice = """
        [fabric]
        kind = "graph"
        hosts = 2
        switches = ["s"]
        [[fabric.links]]
        between = ["h0", "s"]
        [[fabric.links]]
        between = ["h1", "s"]
        [[fabric.links]]
        between = ["s", "h1"]
        [[workload]]
        pattern = "permutation"
        size = "1kB"
    """
    with pytest.raises(ScenarioError, match=r":11: fabric\.links\[2\]\.between: .*given twice"):
        scenario(twice)
    head, work = twice[: twice.rindex("[[fabric.links]]")], twice[twice.index("[[workload]]") :]
    assert len(scenario(head + "bundle = 2\n" + work).topology.ends) == 3
    with pytest.raises(LabError, match="two hosts: the lab has packets"):
        run(scenario(PAIR.replace('limit = "20s"', 'limit = "20s"\nmode = "flow"')))


class Checker(HTMLParser):
    """Balanced tags, and no reference to anything outside the page."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        for name, value in attrs:
            if name in ("src", "href"):
                assert value and value.startswith(("data:", "#")), value
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.VOID:
            return
        while self.open and self.open[-1] in ("html",) and tag != "html":
            self.open.pop()
        assert self.open.pop() == tag


def test_suites_pass_fail_and_are_written_down(tmp_path: Path) -> None:
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "good.toml").write_text(PAIR)
    (suite / "bad.toml").write_text(
        PAIR.replace("two hosts", "too <fast> & \\u0001").replace("slowdown >= 1", "slowdown < 1")
    )
    page, xml = tmp_path / "report.html", tmp_path / "results.xml"
    arguments = [str(suite), "--sim", "--html", str(page), "--junit", str(xml)]
    done = CliRunner().invoke(suite_cli.app, arguments)
    assert done.exit_code == 1 and "1 of 2 passed" in done.output
    assert "slowdown < 1 does not hold" in done.output
    root = ElementTree.parse(xml).getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("2", "1", "0")
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert cases["two hosts"].find("failure") is None
    assert cases["too <fast> & ?"].find("failure") is not None
    assert {p.get("name") for p in root.iter("property")} >= {"slowdown", "p99"}
    checker = Checker()
    checker.feed(page.read_text())
    assert {"svg", "line", "path", "table"} <= checker.seen and "script" not in checker.seen
    assert "too &lt;fast&gt;" in page.read_text()


def test_suites_refuse_what_is_wrong(tmp_path: Path) -> None:
    assert CliRunner().invoke(suite_cli.app, [str(tmp_path)]).exit_code == 2
    (tmp_path / "typo.toml").write_text(PAIR.replace("kind", "knid"))
    done = CliRunner().invoke(suite_cli.app, [str(tmp_path)])
    assert done.exit_code == 2 and re.search(r"typo\.toml:\d+: fabric\.k", done.output)


IDLE = 0.3
"""Share of the machine's time that must be idle for an end to say something."""
OURS = Path(__file__).parents[3] / "examples" / "suites"


def test_our_own_suite_holds_in_virtual_time() -> None:
    done = CliRunner().invoke(suite_cli.app, [str(OURS), "--sim"])
    assert done.exit_code == 0, done.output
    assert "144 of 144 passed, 78 left out" in " ".join(done.output.split())


@pytest.mark.parametrize("workload", ["permutation", "all_to_all", "all_reduce_ring"])
def test_a_host_that_stood_still_is_soon_back(workload: str) -> None:
    """With the queues that sockets have: its round trip of 0.2 s is no measure for the next."""
    case = f"{OURS / 'transport.toml'}#{workload}/host_pause/weft"
    result = simulate(as_on_sockets(lab_cli.load("test", Path(case), None)))
    assert result.unfinished == 0
    assert result.end < 2 * result.ideal_bound + 0.2 + 0.3  # the pause, and time-outs behind it


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    ["permutation/dead_spine/weft", "incast/healthy/tcp", "all_reduce_ring/loss/reps",
     "training/partition/weft"],
)  # fmt: skip
def test_a_selection_of_it_holds_in_the_lab(case: str) -> None:
    """Four of 222 cases; all of them take a quiet machine some ten minutes."""
    (done,) = run_suite(scenario_files(OURS), only=case)
    assert done.errors == [] and done.result is not None and done.result.unfinished == 0
    late = [verdict.detail for verdict in done.verdicts if not verdict.holds]
    assert done.fidelity is not None
    if late and (done.fidelity.cpu_idle < IDLE or not done.fidelity.valid):
        pytest.skip(f"the machine was busy with other things: {late}, {done.fidelity}")
    assert late == []


def test_the_commands(tmp_path: Path) -> None:
    file = tmp_path / "pair.toml"
    file.write_text(PAIR)
    done = CliRunner().invoke(lab_cli.app, ["run", str(file), "--json"])
    assert done.exit_code in (0, 1), done.output  # 1: the machine was too busy to be believed
    assert json.loads(done.stdout)["unfinished"] == 0
    done = CliRunner().invoke(compare_cli.app, [str(file), "--json"])
    values = json.loads(done.stdout)["metrics"]["end"]
    assert values["simulated"] >= 0.04 and values["emulated"] >= 0.04
    missing = CliRunner().invoke(lab_cli.app, ["run", str(tmp_path / "none.toml")])
    assert missing.exit_code == 2 and "cannot be read" in missing.output


def test_the_shell_speaks_mininets_words() -> None:
    with Lab(Topology.dumbbell(left=1, right=1, rate="100Mbit/s", delay="100us")) as lab:
        said = io.StringIO()
        shell = Shell(lab)
        shell.stdout = said

        def say(line: str) -> str:
            said.seek(0)
            said.truncate()
            shell.onecmd(line)
            return said.getvalue()

        assert say("nodes").split() == ["h0", "h1", "left", "right"]
        assert "h0 -> h1 1:" in say("h0 ping h1 1")
        assert say("h0 ping -c 2 h1").count("h0 -> h1") == 2
        assert "usage" in say("h0 ping -c h1") and "usage" in say("pcap stop")
        assert say("py h1.ip") == "'10.0.0.2'\n" and "ZeroDivisionError" in say("py 1/0")
        assert "left <-> right 100 Mbit/s, 100 us" in say("links")
        assert "h0" in shell.completenames("h") and "left" in shell.completedefault("le")
        say("link left right down")
        assert say("pingall") == "h0 -> h1: lost\nh1 -> h0: lost\n0 of 2 answered\n"
        say("link left right up")
        assert "10.0.0.2" in say("dump")
        assert "left-right" in say("net")
        assert "usage: link A B up|down" in say("link left")
        assert "no command and no host 'h7'" in say("h7 ping h0")
        assert "not joined" in say("link h0 h1 down")
        assert shell.onecmd("exit")


MININET = """
from mininet.topo import Topo

class Ring(Topo):
    def build(self, n=3):
        switches = [self.addSwitch(f"s{i}") for i in range(n)]
        for i in range(n):
            self.addLink(self.addHost(f"host{i}"), switches[i], bw=100, delay="1ms", loss=0)
            self.addLink(switches[i], switches[(i + 1) % n], bw=10, max_queue_size=100)
"""


def test_topologies_written_for_mininet_load(tmp_path: Path) -> None:
    file = tmp_path / "ring.py"
    file.write_text(MININET)
    ring = load_class(f"{file}:Ring")
    assert ring.queues.capacity == 150_000 and "mininet" not in sys.modules
    topology = ring.topology()
    assert topology.host_names == ["host0", "host1", "host2"]
    assert sorted(topology.rates()) == [1e7] * 3 + [1e8] * 3
    with Lab(topology) as lab:  # a loop, which needs no spanning tree here
        assert lab["host2"].ip == "10.0.0.3" and "h0" not in lab
        times = [lab.ping("host0", "host2", timeout=5.0)[0] for _ in range(3)]
        assert any(t is not None and t >= 4e-3 for t in times)
    file.write_text(MININET + 'topos = {"big": lambda: Ring(n=5)}\n')
    assert len(load_class(f"{file}:big").hosts()) == 5
    with pytest.raises(ValueError, match="no subclass of Topo named 'Star'"):
        load_class(f"{file}:Star")

    class Twice(Topo):
        def build(self) -> None:
            self.addLink(self.addHost("a"), self.addSwitch("s"))
            self.addLink("s", "a")

    with pytest.raises(ValueError, match="between s and a is given twice"):
        Twice().topology()


def test_clean_ends_orphans_and_nothing_else() -> None:
    """The fabric process and its lab die at once, so that nobody is left to clean up."""
    program = """
        import os, signal, subprocess
        from weft.emulation import Topology
        from weft.emulation.lab import Lab
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        lab = Lab(Topology.dumbbell(left=1, right=1)).start()
        here, there = os.pipe()
        process = lab["h0"].popen(["sh", "-c", f"echo up >&{there}; exec sleep 1000"],
                                  pass_fds=[there], start_new_session=True, **quiet)
        assert os.read(here, 3) == b"up\\n"
        print(process.pid, flush=True)
        os.kill(lab.fabric.process.pid, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    orphan = int(done.stdout)
    with Lab(Topology.dumbbell(left=1, right=1)) as lab:
        kept = lab["h0"].popen("sleep 1000")
        found = clean.clean()
        assert kept.pid not in found and kept.poll() is None
        stat = Path(f"/proc/{orphan}/stat")
        end = time.monotonic() + 10
        while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < end, "the orphan lives on"
            time.sleep(0.02)


def test_the_pytest_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_user.py").write_text(
        textwrap.dedent("""
            from weft.emulation import Topology

            def test_mine(lab):
                net = lab(Topology.dumbbell(left=1, right=1))
                assert net["h1"].cmd("echo $WEFT_LAB_HOST") == "h1\\n"
        """)
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(tmp_path)],
        capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path,
        env={**os.environ, "WEFT_LAB_REQUIRED": "1"},
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout + done.stderr
