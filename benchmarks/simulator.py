"""The simulator against its yardstick, its own bare fabric, and ns-3.

Needs an installed Weft, a C++ compiler and, for the last part, ns-3's headers and libraries
(Debian: libns3-dev). Each figure is the best of `--repeat` runs: on a shared machine the least
disturbed one tells most. Seconds are of one core (wall and processor time).
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from weft.emulation import Policy, Queues, Scenario, Topology, Transport, Workload, simulate
from weft.emulation import workload as patterns

HERE = Path(__file__).resolve().parent
HTSIM_END = 206e-6
"""Seconds until htsim's last flow ends in the scenario of `yardstick` (EQDS, 128 paths)."""
HTSIM_WALL = (10.0, 14.5)
"""Seconds that htsim took for it, lowest and highest of several runs on such a machine."""


def timed(scenario: Scenario, repeat: int) -> dict[str, Any]:
    """Runs a scenario; the quickest run's times and the results (which are all the same)."""
    best: dict[str, Any] = {"cpu": float("inf")}
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        result = simulate(scenario)
        cpu = time.process_time() - cpu
        if cpu < best["cpu"]:
            wall = time.perf_counter() - wall
            best = {
                "cpu": cpu,
                "wall": wall,
                "end": result.end,
                "packets": result.evidence["packets"],
            }
            best |= {"unfinished": result.unfinished, "slowdown": result.slowdown}
    best["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return best


def yardstick(pods: int, repeat: int) -> dict[str, Any]:
    """A permutation of 2 MB each over a fully provisioned fat-tree of 64 hosts a pod."""
    topology = Topology.fat_tree(pods=pods, pod_tors=8, pod_aggregations=8, tor_down=8)
    work = Workload()
    patterns.permutation(work, range(topology.hosts), 2_000_000, seed=1)
    options = Transport(paths=128, overhead=46)
    return timed(Scenario(topology, work, options, Queues(forwarding="spray")), repeat)


def against_ns3(repeat: int) -> dict[str, Any] | None:
    """A 64-host leaf-spine, permutation of 2 MB; None where ns-3 is not installed."""
    compiler = shutil.which("c++")
    if compiler is None or not Path("/usr/include/ns3/core-module.h").exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "leaf_spine"
        modules = ("core", "network", "internet", "applications", "point-to-point")
        libraries = [f"-lns3-{module}" for module in modules]
        # ns-3's headers are C++17 and do not compile without warnings.
        build = [compiler, "-std=c++17", "-O2", "-w", HERE / "ns3" / "leaf_spine.cc", "-o", program]
        subprocess.run([*build, *libraries], check=True)
        runs = []
        for _ in range(repeat):
            printed = subprocess.run([program], check=True, capture_output=True, text=True)
            packets, events, seconds = printed.stdout.split()
            runs.append((int(packets) / float(seconds), int(packets), int(events), float(seconds)))
    rate, packets, events, seconds = max(runs)
    topology = Topology.leaf_spine(leaves=8, spines=8, hosts_per_leaf=8)
    work = Workload()
    patterns.permutation(work, range(topology.hosts), 2_000_000, seed=1)
    calm = Policy("swift", {"initial_window": 64, "base_target_us": 40})
    options = Transport(paths=128, congestion=calm)
    ours = timed(Scenario(topology, work, options, Queues(forwarding="spray")), repeat)
    data = 64 * -(-2_000_000 // options.chunk_size)
    return {
        "ns3_packets": packets,
        "ns3_events": events,
        "ns3_seconds": seconds,
        "ns3_packets_per_second": rate,
        "weft_packets": data,
        "weft_seconds": ours["wall"],
        "weft_packets_per_second": data / ours["wall"],
        "ratio": data / ours["wall"] / rate,
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeat", type=int, default=3)
    arguments.add_argument("--large", action="store_true", help="also 16,384 hosts (a minute)")
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    report: dict[str, Any] = {"yardstick": yardstick(16, chosen.repeat)}
    if chosen.large:
        report["large"] = yardstick(256, 1)
    report["ns3"] = against_ns3(chosen.repeat)
    if chosen.json:
        json.dump(report, sys.stdout)
        return
    for name, hosts, goal in (("yardstick", 1024, "1.5 s, 1 GB"), ("large", 16384, "60 s, 16 GB")):
        if row := report.get(name):
            print(
                f"{hosts:6} hosts: {row['wall']:.2f} s ({row['cpu']:.2f} s of a core), "
                f"{row['memory_mb']:.0f} MB (goal {goal}); last at {1e6 * row['end']:.1f} us"
            )
    end = report["yardstick"]["end"]
    low, high = HTSIM_WALL
    print(f"        htsim: {low} - {high} s, {1e6 * HTSIM_END:.0f} us; ends {end / HTSIM_END:.3f}x")
    if (ns3 := report["ns3"]) is None:
        print("ns-3 is not installed here (Debian: libns3-dev): not compared")
    else:
        print(
            f"64 hosts, packets/s: ns-3 (bare UDP) {ns3['ns3_packets_per_second']:,.0f}, "
            f"weft (full transport) {ns3['weft_packets_per_second']:,.0f}: {ns3['ratio']:.1f}x"
        )


if __name__ == "__main__":
    main()
