"""The kernel fabric with netem, in a kernel that has it: a lab inside a virtual machine.

The machine's kernel is too old for tcx (Linux 6.6): losses and failures are netem's as well.
"""

from __future__ import annotations

import json
import subprocess
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import rack

from weft.emulation import Topology
from weft.emulation.lab import calibration as measure

DEADLINE = 240.0


LOOP = """
import io, json, sys, time, traceback
from contextlib import redirect_stdout
from weft.emulation import Event, LinkSpec, Queues, Topology
from weft.emulation.lab import Lab, LabError
from weft.emulation.lab import calibration as measure
def pair(**link):
    cables = [LinkSpec(f"h{h}", "s0", "20Mbit/s", "50ms") for h in range(2)]
    topology = Topology.graph(2, ["s0"], cables)
    topology.set_link("h0", "s0", **link)
    return topology
def kernel(topology, **options):
    return Lab(topology, fabric="kernel", seed=3, name="inner", **options)
for line in sys.stdin:
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            exec(json.loads(line), dict(globals()))
        answer = {"said": json.loads(said.getvalue())}
    except BaseException:
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer), flush=True)
"""
Inside = Callable[[str], Any]


@pytest.fixture(scope="module")
def inside() -> Iterator[Inside]:
    """Runs programs in the machine, one after the other, and returns the JSON that each prints. All
    in one process: importing takes half a minute where every instruction is emulated."""
    with ExitStack() as stack:
        topology = Topology.dumbbell(left=1, right=1)
        lab = rack.up(stack, topology, machines=["h0"], name="outer")
        process = stack.enter_context(
            lab["h0"].popen(
                ["python3", "-c", LOOP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
        stack.callback(process.kill)

        def run(program: str) -> Any:
            assert process.stdin is not None and process.stdout is not None
            watch = threading.Timer(DEADLINE, process.kill)
            watch.start()
            process.stdin.write(json.dumps(textwrap.dedent(program)) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            watch.cancel()
            assert line, f"no answer within {DEADLINE:g} s"
            answer = json.loads(line)
            assert "error" not in answer, answer["error"]
            return answer["said"]

        yield run


def test_delays_are_those_asked_for_and_change(inside: Inside) -> None:
    """Two cables of 50 ms each way; then one of 150 ms."""
    found = inside(
        """
        with kernel(pair()) as lab:
            before = lab.ping("h0", "h1", count=5, timeout=5.0)
            lab.play(Event(0.0, "delay", link=("h0", "s0"), value=0.15))
            after = lab.ping("h0", "h1", count=5, timeout=5.0)
            print(json.dumps({"before": before, "after": after, "kind": lab.fidelity().fabric}))
        """,
    )
    assert found["kind"] == "kernel: veth, routes, tbf, netem"
    # Never early; that much late on an emulated CPU would be a delay that counts twice.
    assert 0.2 <= min(found["before"]) < 0.35
    assert 0.4 <= min(found["after"]) < 0.55


def test_losses_within_binomial_bounds_and_failures(inside: Inside) -> None:
    count, share = 1000, 0.1
    found = inside(
        f"""
        with kernel(pair(loss={share})) as lab:
            lost = measure.lost(lab, "h1", "h0", {count}, per_second=500)
            counted = lab.counts()["dropped_link_loss"]
            lab.play(Event(0.0, "loss", link=("h0", "s0"), value=0.0))
            lab.link_down("h0", "s0")
            down = lab.ping("h0", "h1", timeout=1.0)
            lab.link_up("h0", "s0")
            up = lab.ping("h0", "h1", count=3, timeout=5.0)
            print(json.dumps({{"lost": lost, "counted": counted, "down": down, "up": up}}))
        """,
    )
    low, high = measure.binomial_bounds(count, share)
    assert low <= found["lost"] <= high and found["counted"] >= found["lost"]
    assert found["down"] == [None] and found["up"] != [None] * 3


def test_duplicates_corruption_and_jitter(inside: Inside) -> None:
    found = inside(
        """
        def udp(lab, host, key):
            lines = [l.split() for l in lab[host].read("/proc/net/snmp").splitlines()]
            names, values = [line for line in lines if line[0] == "Udp:"]
            return int(dict(zip(names, values))[key])
        said = {}
        with kernel(pair(duplication=0.3)) as lab:
            said["extra"] = -measure.lost(lab, "h1", "h0", 300, per_second=500)
        with kernel(pair(corruption=0.3)) as lab:
            said["missing"] = measure.lost(lab, "h1", "h0", 300, per_second=500)
            said["sums"] = udp(lab, "h0", "InCsumErrors")
        with kernel(pair(jitter="100ms")) as lab:
            said["trips"] = lab.ping("h1", "h0", count=20, timeout=5.0)
        print(json.dumps(said))
        """,
    )
    low, high = measure.binomial_bounds(300, 0.3)
    assert low <= found["extra"] <= high
    assert 0 < found["sums"] <= found["missing"] <= high
    trips = found["trips"]
    assert min(trips) >= 0.2  # jitter only adds; both ways have it
    assert max(trips) - min(trips) > 0.05


def test_rate_holds_behind_a_delay(inside: Inside) -> None:
    """tbf behind netem: a slow link's packets leave one by one, and the queue's limit holds."""
    found = inside(
        """
        topology = pair(rate="200kbit/s")
        with kernel(topology, queues=Queues(capacity=20_000)) as lab:
            got = measure.rate(lab, "h1", "h0", 400e3, seconds=6.0, size=200)
            stats = lab.port_stats()
        print(json.dumps({"got": got, "drops": sum(stats["drops"]), "lost": sum(stats["lost"])}))
        """,
    )
    assert abs(found["got"] / 200e3 - 1) <= 0.05
    assert found["drops"] > 0 and found["lost"] == 0


def test_what_takes_programs_is_refused_by_an_old_kernel(inside: Inside) -> None:
    found = inside(
        """
        try:
            kernel(pair(), queues=Queues(ecn_min=9000, ecn_max=9000)).start()
        except LabError as error:
            print(json.dumps(str(error)))
        """,
    )
    assert "needs CAP_BPF for ECN" in found and "Linux 6.6" in found
