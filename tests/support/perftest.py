"""linux-rdma's perftest between two hosts of a lab."""

from __future__ import annotations

import re
import subprocess
import time

from weft.emulation.lab import Host, Lab

DEADLINE = 120.0
PORT = 18515


def gid_index(host: Host) -> int:
    """Of the RoCE v2 address that is the host's IPv4 address."""
    octets = [int(part) for part in host.ip.split(".")]
    wanted = f"0000:0000:0000:0000:0000:ffff:{octets[0]:02x}{octets[1]:02x}:" + (
        f"{octets[2]:02x}{octets[3]:02x}"
    )
    gids = host.cmd("grep -H . /sys/class/infiniband/rxe0/ports/1/gids/* 2>/dev/null")
    for line in gids.splitlines():
        path, _, gid = line.partition(":")
        if gid.strip() == wanted:
            return int(path.rsplit("/", 1)[1])
    raise AssertionError(f"{host.name} has no GID for {host.ip}: {gids}")


def perftest(lab: Lab, program: str, server: str, client: str, *options: str) -> str:
    """Run a pair; returns the client's report. Both ends must end well."""
    words = [program, "-d", "rxe0", "-F", "-x", str(gid_index(lab[server])), *options]
    with lab[server].popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as serving:
        try:
            until = time.monotonic() + DEADLINE
            while not lab[server].run(["ss", "-Hltn", f"sport = :{PORT}"]).stdout.strip():
                assert serving.poll() is None, serving.communicate()[0]
                assert time.monotonic() < until, "the server does not listen"
            report = lab[client].run([*words, lab[server].ip], timeout=DEADLINE).stdout
            out, _ = serving.communicate(timeout=DEADLINE)
            assert serving.returncode == 0, out
        finally:
            serving.kill()
    return report


def rate(report: str) -> float:
    """Average MiB/s of a perftest report."""
    row = re.search(r"^\s*\d+\s+\d+\s+[\d.]+\s+([\d.]+)", report, re.MULTILINE)
    assert row, report
    return float(row[1])
