"""Groups of real processes whose sums a P4 switch adds up, in a lab: right whatever befalls it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from weft.emulation import LinkSpec, Topology
from weft.emulation.lab import Lab, innet
from weft.emulation.programs import Program
from weft.p4.aggregation import Controller, wire
from weft.p4.aggregation.jobs import CELLS
from weft.p4.switch import build
from weft.p4.switch.build import CompilerError

try:
    build.compiler()
except CompilerError as problem:
    pytest.skip(f"no C compiler: {problem}", allow_module_level=True)

RANK = Path(__file__).parents[2] / "support" / "innet_rank.py"
JOBS = RANK.with_name("innet_jobs.py")
RANKS = 4
SECRET = "what the ranks and the controller know"
DEADLINE = 150.0
PATIENCE = "4000"  # ms with a silent switch: a busy machine's switch may be silent for a while
MakeLab = Callable[..., Lab]


def star(rate: str = "2Gbit/s", **link: float) -> Topology:
    """Ranks h0 to h3 and the controller's host h4 around one switch."""
    links = [LinkSpec(f"h{h}", "s0", rate, "20us") for h in range(RANKS + 1)]
    topology = Topology.graph(RANKS + 1, ["s0"], links)
    for h in range(RANKS if link else 0):
        topology.set_link(f"h{h}", "s0", **link)
    return topology


class Ranks:
    """One process of `innet_rank.py` (or another) on each of the first hosts; killed at the end."""

    def __init__(
        self, lab: Lab, controller: Controller, *arguments: object, program: Path = RANK, **env: str
    ) -> None:
        self.processes: list[subprocess.Popen[str]] = []
        for rank in range(RANKS):
            environment = {
                "RANK": str(rank), "WORLD_SIZE": str(RANKS), "WEFT_SECRET": SECRET,
                "WEFT_RENDEZVOUS": f"{lab['h0'].ip}:29500", "WEFT_DATAPATHS": "udp",
                "WEFT_INNET": controller.address, "WEFT_COSTS": "default",
                "WEFT_INNET_TIMEOUT_MS": PATIENCE, "WEFT_ALGORITHMS": "all_reduce=innet", **env,
            }  # fmt: skip
            command = [sys.executable, str(program), *map(str, arguments)]
            self.processes.append(
                lab[f"h{rank}"].popen(
                    command, env=environment, text=True, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )  # fmt: skip

    def line(self, rank: int = 0) -> dict[str, Any]:
        """The next line that a rank prints."""
        stdout = self.processes[rank].stdout
        assert stdout is not None
        text = stdout.readline()
        if not text:
            raise AssertionError(self.processes[rank].communicate(timeout=DEADLINE)[1][-2000:])
        return dict(json.loads(text))

    def rest(self) -> list[list[dict[str, Any]]]:
        """All further lines of all ranks, which must have ended well."""
        said = []
        for process in self.processes:
            assert process.stdout is not None and process.stderr is not None
            # Not communicate(), which would miss what readline() has read ahead.
            said.append([json.loads(text) for text in process.stdout])
            errors = process.stderr.read()
            assert process.wait(timeout=DEADLINE) == 0, errors[-2000:]
        return said

    def __enter__(self) -> Ranks:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def ranks(weft_lab: MakeLab) -> Iterator[Callable[..., tuple[Lab, Controller, Ranks]]]:
    """Brings up a star (or what is given) with its controller, and starts the ranks."""
    with ExitStack() as stack:

        def start(
            *arguments: object, topology: Topology | None = None, slots: int = 128,
            cells: int | None = None, **env: Any,
        ) -> tuple[Lab, Controller, Ranks]:  # fmt: skip
            made = weft_lab(topology or star(), programs=[innet.program("s0")])
            controller = stack.enter_context(
                innet.controller(made, "s0", f"h{RANKS}", [SECRET], most_slots=slots)
            )
            if cells is not None:
                controller.jobs.cells = cells
            return made, controller, stack.enter_context(Ranks(made, controller, *arguments, **env))

        yield start


def check(lines: list[list[dict[str, Any]]]) -> None:
    """Every call right, and the same to the bit on all ranks."""
    for call in zip(*lines, strict=True):
        assert [each["wrong"] for each in call] == [""] * RANKS
        assert len({each["digest"] for each in call}) == 1


def test_the_switch_adds_up(ranks: Any) -> None:
    _, controller, group = ranks(6, 100_001)
    assert group.line()["chosen"] == "innet"
    for rank in range(1, RANKS):
        group.line(rank)
    check(group.rest())
    jobs = controller.jobs
    assert sum(jobs.refused().values()) == 0
    for _ in range(100):  # the job ends with its group
        if not jobs._jobs:
            break
        controller._thread.join(timeout=0.05)
    assert not jobs._jobs


def test_loss_duplicates_and_damage(ranks: Any) -> None:
    faulty = star(loss=0.01, duplication=0.01, corruption=0.005)
    _, controller, group = ranks(4, 100_001, topology=faulty)
    assert group.line()["chosen"] == "innet"
    for rank in range(1, RANKS):
        group.line(rank)
    check(group.rest())
    assert controller.jobs.refused()["damaged"] > 0


def test_refused_slots_mean_a_ring(ranks: Any) -> None:
    _, _, group = ranks(3, 20_000, cells=16)
    said = group.line()
    assert said["chosen"] != "innet"
    assert said["innet"] == "refused: 128 slots are wanted, 8 are free"
    for rank in range(1, RANKS):
        group.line(rank)
    check(group.rest())


def test_refused_slots_are_asked_for_again(ranks: Any) -> None:
    """Another job ends, and the group that found no room at first has its sums in the switch."""
    _, controller, group = ranks("until-back", 20_000, cells=16, WEFT_INNET_RETRY_MS="200")
    assert group.line()["innet"] == "refused: 128 slots are wanted, 8 are free"
    controller.jobs.cells = CELLS
    for rank in range(1, RANKS):
        group.line(rank)
    lines = group.rest()
    check(lines)
    last = lines[0][-1]["calls"]
    assert all(rank[-1]["calls"] == last for rank in lines)
    assert last["admissions"] == 1 and last["finished_without"] == 0 and last["by_switch"] >= 1
    assert [rank[-1]["chosen"] for rank in lines] == ["innet"] * RANKS


def test_what_the_switch_costs_is_measured_once_and_decides(ranks: Any, tmp_path: Path) -> None:
    costs = tmp_path / "costs"
    edges = "weft costs 1\ncopy 1e-10\nreduce 1e-10\nudp 1e-4 1e-8\n"
    costs.write_text(edges)
    chosen = {}
    for figures in ("measured", "innet 1e-6 1e-9\n", "innet 1 1\n"):
        if figures != "measured":
            costs.write_text(edges + figures)
        _, _, group = ranks(2, 50_000, WEFT_COSTS=str(costs), WEFT_ALGORITHMS="")
        told = [group.line(rank) for rank in range(RANKS)]
        assert all(each == told[0] for each in told)
        assert "innet" in {each["algorithm"] for each in told[0]["candidates"]}
        assert "innet is bound by" in told[0]["reason"] or told[0]["chosen"] == "innet"
        lines = group.rest()
        check(lines)
        served = lines[0][-1]["calls"]["by_switch"] - told[0]["innet_calls"]["by_switch"]
        assert served == (2 if told[0]["chosen"] == "innet" else 0)
        chosen[figures] = told[0]["chosen"]
        (kept,) = [line for line in costs.read_text().splitlines() if line.startswith("innet")]
        round_trip, per_packet = map(float, kept.split()[1:])
        if figures == "measured":
            assert 40e-6 < round_trip < 1  # the way of the model's links, at least
            assert 0 < per_packet < 0.1
        else:  # nothing was measured again
            assert [round_trip, per_packet] == [float(word) for word in figures.split()[1:]]
    assert chosen["innet 1e-6 1e-9\n"] == "innet"
    assert chosen["innet 1 1\n"] != "innet"


def test_several_jobs_have_their_quotas(ranks: Any) -> None:
    """Everybody, and both halves, for one of which no slots are left: int32, float32 and bfloat16
    are summed exactly by all of them, at once."""
    pytest.importorskip("torch", reason="bfloat16 arrays are torch's")
    _, controller, group = ranks(30_000, slots=100, cells=500, program=JOBS)
    said = [lines[0] for lines in group.rest()]
    assert [each["wrong"] for each in said] == [[]] * RANKS
    assert {each["all"]["innet"] for each in said} == {"100 slots of 256 values"}
    assert sorted(each["half"]["innet"] for each in said) == (
        ["100 slots of 256 values"] * 2 + ["refused: 100 slots are wanted, 50 are free"] * 2
    )
    for each in said:
        assert each["all"]["calls"]["by_switch"] == 12
        served = each["half"]["innet"].startswith("100")
        assert each["half"]["calls"]["by_switch" if served else "without"] == 12
    assert controller.refused["room"] >= 1
    assert sum(controller.jobs.refused().values()) == 0


def test_a_restart_in_mid_operation(ranks: Any) -> None:
    """The switch forgets all jobs while sums are under way; what it held is lost."""
    _, controller, group = ranks(6, 1_000_000)
    assert group.line()["chosen"] == "innet"
    first = [[group.line(0)]] + [[] for _ in range(RANKS - 1)]
    assert first[0][0]["chosen"] == "innet"
    controller.jobs.restart()
    for rank in range(1, RANKS):
        group.line(rank)
    lines = [a + b for a, b in zip(first, group.rest(), strict=True)]
    check(lines)
    assert all(rank[-1]["chosen"] != "innet" for rank in lines)
    assert controller.jobs.refused()["member"] > 0  # they did go on asking


def test_a_switch_that_reboots_is_used_again(ranks: Any) -> None:
    """Down, up with empty tables: the ranks go on without it, are admitted anew under another epoch
    at the same call, and every sum is right all the way."""
    lab, controller, group = ranks("until-back", 30_000, WEFT_INNET_RETRY_MS="200")
    assert group.line()["chosen"] == "innet"
    first = [[group.line(0)]] + [[] for _ in range(RANKS - 1)]
    lab.switch_down("s0")
    controller.jobs.restart()
    lab.switch_up("s0")
    for rank in range(1, RANKS):
        group.line(rank)
    lines = [a + b for a, b in zip(first, group.rest(), strict=True)]
    check(lines)
    last = lines[0][-1]["calls"]
    assert all(rank[-1]["calls"] == last for rank in lines)
    assert last["admissions"] == 2
    assert last["finished_without"] == 1
    assert last["without"] >= 15  # every 16th call may begin anew
    chosen = [each["chosen"] for each in lines[0]]
    assert chosen[0] == chosen[-1] == "innet" and set(chosen) > {"innet"}


def test_a_killed_switch_in_mid_operation(weft_lab: MakeLab, tmp_path: Path) -> None:
    """The aggregator hangs off the router that joins the hosts: it dies, they go on."""
    links = [LinkSpec(f"h{h}", "s0", "2Gbit/s", "20us") for h in range(RANKS + 1)]
    links.append(LinkSpec("s0", "s1", "8Gbit/s", "20us"))
    topology = Topology.graph(RANKS + 1, ["s0", "s1"], links)
    hosts = [(f"10.0.0.{h + 1}/32", h) for h in range(RANKS + 1)]
    commands = tmp_path / "router.txt"
    commands.write_text(
        "\n".join(
            f"table_add ipv4_lpm route {prefix} => {port}\n"
            f"table_add next_hops forward {port} => 0x020000aa0000 0x0200{port + 1:08x} {port}"
            for prefix, port in [*hosts, (f"{innet.SWITCH_IP}/32", RANKS + 1)]
        )
    )
    router = Path(__file__).parents[3] / "p4" / "programs" / "router.p4"
    lab = weft_lab(topology, programs=[Program("s0", router, commands), innet.program("s1")])
    with (
        innet.controller(lab, "s1", f"h{RANKS}", [SECRET]) as controller,
        Ranks(lab, controller, 6, 1_000_000) as group,
    ):
        assert group.line()["chosen"] == "innet"
        first = [[group.line(0)]] + [[] for _ in range(RANKS - 1)]
        lab.switch_down("s1")
        for rank in range(1, RANKS):
            group.line(rank)
        lines = [a + b for a, b in zip(first, group.rest(), strict=True)]
        check(lines)
        assert [rank[0]["chosen"] for rank in lines] == ["innet"] * RANKS
        assert all(rank[-1]["chosen"] != "innet" for rank in lines)


def test_strangers_in_the_lab_are_counted(ranks: Any) -> None:
    """While ranks add up, the controller's host sends what is none of its business."""
    lab, controller, group = ranks(6, 200_000)
    assert group.line()["chosen"] == "innet"
    ((job, made),) = controller.jobs._jobs.items()
    header = wire.innet.Header()
    header.kind, header.values, header.round = wire.innet.Kind.ADD, wire.VALUES, 1
    header.job, header.epoch = job, made.epoch
    body = b"\1" * (4 * wire.VALUES)
    with lab[f"h{RANKS}"].socket(kind=2) as sender:
        sender.connect((innet.SWITCH_IP, wire.PORT))
        for field, value in (
            ("worker", 1), ("job", job + 1), ("epoch", made.epoch ^ 1), ("worker", 30),
        ):  # fmt: skip
            setattr(header, field, value)
            for _ in range(5):
                sender.send(wire.innet.encode(header) + body)
        sender.send(b"\1" + wire.innet.encode(header)[1:] + body)
        sender.send(wire.innet.encode(header)[:10])
    for rank in range(1, RANKS):
        group.line(rank)
    check(group.rest())
    refused = controller.jobs.refused()
    assert (refused["member"], refused["version"], refused["damaged"]) == (20, 1, 1)


def test_a_rank_that_dies_ends_the_group_with_its_number(ranks: Any) -> None:
    _, _, group = ranks(50, 1_000_000)
    assert group.line()["chosen"] == "innet"
    group.line()
    group.processes[3].kill()
    for process in group.processes[:3]:
        assert process.stderr is not None
        errors = process.stderr.read()
        assert process.wait(timeout=DEADLINE) == 1
        assert "PeerDied" in errors and "rank 3" in errors, errors[-2000:]


def test_ddp_learns_as_over_gloo(weft_lab: MakeLab, tmp_path: Path) -> None:
    """DDP over init_process_group("weft"), unchanged: the loss curve is gloo's to within what
    block floating point adds to the rounding."""
    pytest.importorskip("weft.collectives.torch", reason="Weft was built without torch")
    lab = weft_lab(star(), programs=[innet.program("s0")])
    program = (
        "import sys, json; from pathlib import Path; from weft.demo.training import *; "
        "s = Settings(ranks=2, steps=8, timeout=120); "
        "c = train(int(sys.argv[1]), Path(sys.argv[2]), s, lambda step: None); "
        "print(json.dumps({k: v.losses for k, v in c.items()}))"
    )
    with innet.controller(lab, "s0", f"h{RANKS}", [SECRET]) as controller:
        env = {
            "WEFT_INNET": controller.address, "WEFT_DATAPATHS": "udp", "WEFT_SECRET": SECRET,
            "WEFT_INNET_TIMEOUT_MS": PATIENCE, "GLOO_SOCKET_IFNAME": "eth0",
            "WEFT_ALGORITHMS": "all_reduce=innet", "WEFT_COSTS": "default",
        }  # fmt: skip
        processes = [
            lab[f"h{rank}"].popen(
                [sys.executable, "-c", program, str(rank), str(tmp_path)], env=env, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            for rank in range(2)
        ]  # fmt: skip
        said = []
        for process in processes:
            out, err = process.communicate(timeout=DEADLINE)
            assert process.returncode == 0, err[-3000:]
            said.append(json.loads(out.splitlines()[-1]))
        (rounds,) = lab.p4("s0", "register_read ingress.round.cells")
    assert all(each == said[0] for each in said)
    assert len(said[0]["weft"]) == 8
    for ours, theirs in zip(said[0]["weft"], said[0]["gloo"], strict=True):
        assert abs(ours - theirs) <= 1e-4 * abs(theirs)
    # A step's gradients, 1.2 MB, are 1172 chunks in 128 slots: with opening and commit 10 rounds.
    assert max(map(int, rounds.partition("=")[2].split(","))) >= 8 * 10
