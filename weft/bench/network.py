"""`weft bench udp`: two network namespaces joined by veth, where no shared memory helps.

One namespace per rank. An all_reduce over Weft's UDP datapath against gloo's TCP, and one stream
of messages against one TCP stream of iperf3, in turn. Needs root, for the namespaces.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from weft.bench.libraries import Unavailable, torch_ranks, weft_program, weft_rank
from weft.bench.processes import Launch, run_ranks

ADDRESSES = ("10.99.0.1", "10.99.0.2")  # seen only inside the namespaces
PORT = 29400


def check_machine() -> None:
    """Raises Unavailable, naming what is missing."""
    if os.geteuid() != 0:
        raise Unavailable("network namespaces need root")
    for tool, package in (("ip", "iproute2"), ("iperf3", "iperf3")):
        if shutil.which(tool) is None:
            raise Unavailable(f"{tool} is not installed (Debian: {package})")


@contextmanager
def namespaces(mtu: int) -> Iterator[tuple[str, str]]:
    """Two namespaces joined by a veth pair, interfaces wire0 and wire1 with ADDRESSES."""
    names = (f"weft-bench-{os.getpid()}-0", f"weft-bench-{os.getpid()}-1")
    try:
        for name in names:
            ip("netns", "add", name)
        link = ["link", "add", "wire0", "netns", names[0], "mtu", str(mtu), "type", "veth"]
        ip(*link, "peer", "name", "wire1", "netns", names[1], "mtu", str(mtu))
        for i, name in enumerate(names):
            ip("-n", name, "addr", "add", f"{ADDRESSES[i]}/24", "dev", f"wire{i}")
            ip("-n", name, "link", "set", f"wire{i}", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def ip(*arguments: str, tool: str = "ip") -> None:
    """Run iproute2's ip (or tc). Raises Unavailable with what it says."""
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"{tool} {' '.join(arguments)}: {done.stderr.strip()}")


def inside(name: str, launch: Launch, **environment: str) -> Launch:
    """The same process in a network namespace. What links cost there is not this machine's."""
    command = ["ip", "netns", "exec", name, *launch.command]
    return Launch(command, {"WEFT_COSTS": "default", **launch.environment, **environment})


def measure(
    sizes: Sequence[int],
    rounds: int,
    milliseconds: float,
    mtu: int,
    deadline: float,
    tell: Callable[[str], None],
) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]]]:
    """All_reduce rows (library, size, time in us, CPU seconds per GB of rank 0) and, per stream,
    its speed in GB/s and CPU seconds per GB of both ends together. Medians over rounds.

    Raises Unavailable or MeasurementError.
    """
    check_machine()
    samples: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    streams: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as name, namespaces(mtu) as names:
        folder = Path(name)
        collective = weft_program("collectives.c", folder)
        stream = weft_program("stream.c", folder)
        arguments = ["all_reduce", ",".join(map(str, sizes)), str(milliseconds)]
        for number in range(rounds):
            for library in ("weft-c", "weft-torch", "gloo"):
                tell(f"round {number + 1}: all_reduce, {library}")
                with tempfile.TemporaryDirectory(dir=folder) as meeting:
                    if library == "weft-c":
                        ranks = _weft_ranks(collective, arguments, names)
                    else:
                        ranks = _in_namespaces(
                            torch_ranks(library, arguments, 2, Path(meeting)), names
                        )
                    for text in run_ranks(ranks, deadline):
                        for line in map(json.loads, text.splitlines()):
                            samples[library, line["size"]].append(line)
            tell(f"round {number + 1}: stream, weft")
            texts = run_ranks(_weft_ranks(stream, [str(16 << 20), "2"], names), deadline)
            ends = [json.loads(text) for text in texts]
            speed = max(end["bytes"] / end["seconds"] for end in ends if end["rank"] == 1)
            cpu = sum(end["cpu_seconds"] for end in ends) / (ends[0]["bytes"] / 1e9)
            streams["weft"].append((speed / 1e9, cpu))
            tell(f"round {number + 1}: stream, TCP")
            streams["tcp"].append(tcp_stream(names, deadline))
    rows = []
    for (library, size), lines in samples.items():
        row = {"library": library, "collective": "all_reduce", "ranks": 2, "size": size}
        for key in ("time", "alg_bw", "bus_bw", "cpu_s_per_gb"):
            row[key] = statistics.median(line[key] for line in lines)
        rows.append({**row, "nwrong": sum(line["nwrong"] for line in lines)})
    medians = {
        name: {
            "gb_per_s": statistics.median(speed for speed, _ in values),
            "cpu_s_per_gb": statistics.median(cpu for _, cpu in values),
        }
        for name, values in streams.items()
    }
    return rows, medians


def _in_namespaces(launches: list[Launch], names: tuple[str, str]) -> list[Launch]:
    return [
        inside(
            name,
            launch,
            GLOO_SOCKET_IFNAME=f"wire{rank}",
            WEFT_DATAPATHS="udp",
            WEFT_INTERFACES=f"wire{rank}",
        )
        for rank, (launch, name) in enumerate(zip(launches, names, strict=True))
    ]


def _weft_ranks(program: Path, arguments: list[str], names: tuple[str, str]) -> list[Launch]:
    meeting = f"{ADDRESSES[0]}:{PORT}"
    launches = [weft_rank(program, arguments, (rank, meeting), 2) for rank in range(2)]
    return _in_namespaces(launches, names)


def tcp_stream(
    names: tuple[str, str], deadline: float, address: str = ADDRESSES[1]
) -> tuple[float, float]:
    """GB/s of one TCP stream (iperf3's, two seconds), and CPU seconds per GB of both ends."""
    server = subprocess.Popen(
        ["ip", "netns", "exec", names[1], "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL
    )
    try:
        _wait_for_listener(names[1], time.monotonic() + 10)
        command = ["iperf3", "-c", address, "-t", "2", "-J"]
        [text] = run_ranks([inside(names[0], Launch(command))], deadline)
        end = json.loads(text)["end"]
    finally:
        server.kill()
        server.wait()
    received, load = end["sum_received"], end["cpu_utilization_percent"]
    busy = (load["host_total"] + load["remote_total"]) / 100 * received["seconds"]
    return received["bits_per_second"] / 8e9, busy / (received["bytes"] / 1e9)


def _wait_for_listener(name: str, end: float) -> None:
    """Until somebody listens at iperf3's port in the namespace."""
    show = ["ip", "netns", "exec", name, "ss", "-Hltn", "sport = :5201"]
    while not subprocess.run(show, capture_output=True, check=False).stdout:
        if time.monotonic() > end:
            raise Unavailable("iperf3 -s does not listen")
        time.sleep(0.05)
