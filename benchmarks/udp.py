"""The UDP datapath by itself against one TCP stream of iperf3, in two namespaces joined by veth.

Needs root, iproute2 and iperf3. The two are run in turn, so that both see the same machine;
printed are medians with their ratio, and CPU seconds per gigabyte of both ends together.
`--transport` takes options of the datapath (paths=16,...).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from weft.bench.network import namespaces, tcp_stream

ROOT = Path(__file__).resolve().parent.parent


def build() -> Path:
    """Compiles the benchmark (bench_udp) and returns its path."""
    folder = ROOT / "build" / "bench"
    subprocess.run(
        ["cmake", "-S", ROOT / "native", "-B", folder, "-DWEFT_TESTS=OFF"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    subprocess.run(
        ["cmake", "--build", folder, "--target", "weft_datapath"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    program = folder / "bench_udp"
    libraries = [folder / f"libweft_{layer}.a" for layer in ("datapath", "transport", "wire")]
    includes = [f"-I{ROOT / 'native'}", f"-I{ROOT / 'native' / 'include'}"]
    source = ROOT / "benchmarks" / "native" / "udp.cc"
    compiler = [os.environ.get("CXX", "c++"), "-std=c++20", "-O3", *includes]
    subprocess.run([*compiler, source, *libraries, "-lpthread", "-o", program], check=True)
    return program


def run_weft(
    program: Path, names: tuple[str, str], size: int, total: int, transport: list[str]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What both ends of the benchmark measured: (caller's, called's) line by line."""
    inside = ("ip", "netns", "exec")
    arguments = (str(size), str(total), *transport)
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            subprocess.Popen(
                [*inside, names[i], program, role, f"wire{i}", folder, *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for i, role in ((1, "called"), (0, "caller"))
        ]
        texts = [process.communicate(timeout=300) for process in processes]
    for process, (_, complaint) in zip(processes, texts, strict=True):
        if process.returncode != 0:
            raise SystemExit(complaint.decode())
    called, caller = ([json.loads(line) for line in out.splitlines()] for out, _ in texts)
    return list(zip(caller, called, strict=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mtu", type=int, default=9000)
    parser.add_argument("--message", type=int, default=64 << 20, help="bytes of one message")
    parser.add_argument("--total", type=int, default=4 << 30, help="bytes of one stream")
    parser.add_argument("--transport", default="", help="options, e.g. paths=16,congestion=none")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--program", type=Path, help="bench_udp, if it is built already")
    options = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("iperf3") is None or shutil.which("ip") is None:
        raise SystemExit("needs root (network namespaces), iproute2 and iperf3")
    program = options.program or build()
    transport = [pair for pair in options.transport.split(",") if pair]
    tcp: list[tuple[float, float]] = []
    weft: list[tuple[float, float]] = []
    others: dict[str, list[float]] = {}
    for number in range(options.rounds):
        with namespaces(options.mtu) as names:
            tcp.append(tcp_stream(names, deadline=30))
            for caller, called in run_weft(
                program, names, options.message, options.total, transport
            ):
                if caller["test"] == "stream":
                    cpu = caller["cpu_seconds_per_gb"] + called["cpu_seconds_per_gb"]
                    weft.append((called["bytes_per_second"], cpu))
                elif "microseconds_one_way" in caller:
                    key = f"ping-pong {caller['message_bytes']} B, us one way"
                    others.setdefault(key, []).append(caller["microseconds_one_way"])
                elif caller["test"].startswith("exchange"):
                    others.setdefault("exchange, GB/s each way", []).append(
                        caller["bytes_per_second"] / 1e9
                    )
        print(
            f"round {number + 1}: TCP {tcp[-1][0]:.2f} GB/s, weft {weft[-1][0] / 1e9:.2f}",
            file=sys.stderr,
        )
    result = {
        "tcp_gb_per_second": statistics.median(speed for speed, _ in tcp),
        "weft_gb_per_second": statistics.median(speed for speed, _ in weft) / 1e9,
        "ratio": statistics.median(w[0] / 1e9 / t[0] for w, t in zip(weft, tcp, strict=True)),
        "tcp_cpu_seconds_per_gb": statistics.median(cpu for _, cpu in tcp),
        "weft_cpu_seconds_per_gb": statistics.median(cpu for _, cpu in weft),
        **{key: statistics.median(values) for key, values in others.items()},
    }
    if options.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        print(f"{key.replace('_', ' '):40} {value:10.3f}")


if __name__ == "__main__":
    main()
