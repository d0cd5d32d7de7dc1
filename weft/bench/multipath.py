"""`weft bench multipath`: two namespaces joined by several parallel links of limited rate.

Weft's UDP datapath over all links against one link and against kernel TCP, all in one run; then
with a link that dies during the run, and with one that loses packets. A figure is payload received
in one direction per second; shares are of the sum of all links' raw rates. Needs root.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from weft.bench import packet_loss
from weft.bench.network import check_machine, inside, ip, tcp_stream
from weft.bench.processes import Launch, MeasurementError, run_ranks
from weft.bench.report import Figures

PORT = 29401
SETTLE = 1.0
"""Seconds after a link's death from which on the speed counts."""


@dataclass(frozen=True)
class Plan:
    """What to measure. `rate`: bit/s of each link."""

    links: int = 4
    rate: float = 500e6
    size: int = 64 << 20
    seconds: float = 4.0
    loss: float = 0.01
    mtu: int = 9000
    deadline: float = 60.0
    transport: str = ""
    """Further options of the UDP datapath, beside the number of paths: its defaults must do."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    links: int
    """That the transport was allowed to use."""
    mbit_per_s: float
    """Payload received, one direction."""
    share: float
    """Of what the goal refers to: the sum of all links, or one link."""
    of: str
    goal: float | None
    """The least share; None: for comparison only."""

    @property
    def holds(self) -> bool:
        return self.goal is None or self.share >= self.goal


def address(link: int, end: int) -> str:
    return f"10.98.{link}.{end + 1}"


@contextmanager
def parallel_links(plan: Plan) -> Iterator[tuple[str, str]]:
    """Two namespaces, joined by veth pairs path0, path1, ..., each in a subnet of its own and held
    to the rate by a token bucket at both ends."""
    names = (f"weft-paths-{os.getpid()}-0", f"weft-paths-{os.getpid()}-1")
    bucket = f"rate {plan.rate:.0f}bit burst 64kb latency 10ms".split()
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        for link in range(plan.links):
            ends = [["netns", name, "mtu", str(plan.mtu)] for name in names]
            ip("link", "add", f"path{link}", *ends[0], "type", "veth",
               "peer", "name", f"path{link}", *ends[1])  # fmt: skip
            for end, name in enumerate(names):
                ip("-n", name, "addr", "add", f"{address(link, end)}/24", "dev", f"path{link}")
                # No trains: the bucket and the loss are to see single packets, as a wire does.
                ip("-n", name, "link", "set", f"path{link}", "gso_max_segs", "1", "up")
                ip("-n", name, "qdisc", "add", "dev", f"path{link}", "root", "tbf", *bucket,
                   tool="tc")  # fmt: skip
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _ranks(
    plan: Plan, names: tuple[str, str], collective: str, links: int, begun: Path | None
) -> list[Launch]:
    command = [sys.executable, "-P", "-m", "weft.bench.multipath_rank", collective]
    command += [str(plan.size), str(plan.seconds)]
    extra = f",{plan.transport}" if plan.transport else ""
    environment = {
        "WORLD_SIZE": "2",
        "WEFT_RENDEZVOUS": f"{address(0, 0)}:{PORT}",
        "WEFT_DATAPATHS": "udp",
        "WEFT_INTERFACES": ",".join(f"path{link}" for link in range(links)),
        "WEFT_TRANSPORT": f"paths={2 * links}{extra}",
        "OMP_NUM_THREADS": "1",
    }
    if begun is not None:
        command.append(str(begun))
    return [
        inside(name, Launch(command, {**environment, "RANK": str(rank)}))
        for rank, name in enumerate(names)
    ]


def _run(
    plan: Plan, names: tuple[str, str], collective: str, links: int, begun: Path | None = None
) -> list[dict[str, Any]]:
    """Calls of rank 0, in order. Raises MeasurementError when a rank fails or a result is wrong."""
    texts = run_ranks(_ranks(plan, names, collective, links, begun), plan.deadline)
    calls = [[json.loads(line) for line in text.splitlines()] for text in texts]
    if not all(call["right"] for rank in calls for call in rank):
        raise MeasurementError(f"{collective} over {links} links: a result was wrong")
    return calls[0]


def _speed(plan: Plan, collective: str, calls: list[dict[str, Any]]) -> float:
    """Bit/s of payload in one direction: the median call's."""
    # Of two ranks each sends all of its buffer in an all_reduce, and half in an all_to_all.
    moved = plan.size * 8 * (1.0 if collective == "all_reduce" else 0.5)
    return moved / statistics.median(float(call["end"] - call["start"]) for call in calls)


def _while_a_link_dies(plan: Plan, names: tuple[str, str]) -> list[dict[str, Any]]:
    """The calls that began SETTLE seconds or more after the last link went down in mid-run."""
    died: list[float] = []
    over = threading.Event()

    def kill(begun: Path) -> None:
        while not begun.exists():
            if over.wait(0.01):
                return
        if not over.wait(plan.seconds / 2):
            ip("-n", names[0], "link", "set", f"path{plan.links - 1}", "down")
            died.append(time.monotonic())

    longer = replace(plan, seconds=1.5 * plan.seconds + SETTLE)
    with tempfile.TemporaryDirectory(prefix="weft-paths-") as folder:
        begun = Path(folder) / "begun"
        killer = threading.Thread(target=kill, args=(begun,))
        killer.start()
        try:
            calls = _run(longer, names, "all_reduce", plan.links, begun)
        finally:
            over.set()
            killer.join()
    after = [call for call in calls if died and call["start"] >= died[0] + SETTLE]
    if not after:
        raise MeasurementError("no call began after the link's death: this machine is too slow")
    return after


def measure(plan: Plan, tell: Callable[[str], None]) -> list[Row]:
    """The table. Raises Unavailable (what is missing) or MeasurementError (what failed)."""
    check_machine()
    total, rows = plan.links * plan.rate, []

    def row(what: str, links: int, speed: float, of: str, goal: float | None) -> None:
        whole = {"all links": total, "one link": plan.rate}[of]
        rows.append(Row(what, links, speed / 1e6, speed / whole, of, goal))

    with parallel_links(plan) as names:
        tell("TCP, one stream")
        speed, _ = tcp_stream(names, plan.deadline, address(0, 1))
        row("kernel TCP, one stream", 1, speed * 8e9, "all links", None)
        for links, goal in ((1, None), (plan.links, 0.9)):
            for collective in ("all_reduce", "all_to_all"):
                tell(f"{collective}, {links} links")
                calls = _run(plan, names, collective, links)
                what = f"weft {collective}"
                row(what, links, _speed(plan, collective, calls), "all links", goal)
    with parallel_links(plan) as names:
        tell("a link loses packets")
        packet_loss.attach(names[1], f"path{plan.links - 1}", plan.loss)
        calls = _run(plan, names, "all_reduce", plan.links)
        what = f"weft all_reduce, {100 * plan.loss:g} % lost on one link"
        row(what, plan.links, _speed(plan, "all_reduce", calls), "all links", 0.8)
    with parallel_links(plan) as names:
        tell("a link dies")
        calls = _while_a_link_dies(plan, names)
        what = f"weft all_reduce, {SETTLE:g} s after one link died"
        row(what, plan.links, _speed(plan, "all_reduce", calls), "all links", 0.7)
    return rows


def table(plan: Plan, rows: list[Row]) -> Figures:
    """Title, columns and cells."""
    title = f"{plan.links} links of {plan.rate / 1e6:g} Mbit/s, MTU {plan.mtu}"
    columns = ["what", "links used", "Mbit/s", "share of the sum", "goal", "times one link"]
    cells = []
    for row in rows:
        goal = "-" if row.goal is None else f"{100 * row.goal:.0f} %"
        cells.append(
            [row.what, str(row.links), f"{row.mbit_per_s:,.0f}", f"{100 * row.share:.1f} %", goal,
             f"{1e6 * row.mbit_per_s / plan.rate:.2f}"]
        )  # fmt: skip
    return title, columns, cells
