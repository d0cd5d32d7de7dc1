"""`weft bench multipath`, short: real connections over several real links of limited rate."""

from __future__ import annotations

import os
import struct
import subprocess
import uuid

import pytest

from weft.bench import packet_loss
from weft.bench.libraries import Unavailable
from weft.bench.multipath import Plan, measure, parallel_links, table
from weft.bench.network import check_machine, ip


def require_machine() -> None:
    try:
        check_machine()
        packet_loss.load(packet_loss.program(0.01))
    except Unavailable as missing:
        pytest.skip(f"cannot be measured here: {missing}")


@pytest.mark.timeout(240)
def test_weft_uses_all_links_and_survives_the_death_of_one() -> None:
    """Links so slow that even a loaded machine keeps up with them; a wide margin all the same."""
    require_machine()
    plan = Plan(links=4, rate=50e6, size=1 << 20, seconds=0.8)
    told: list[str] = []
    rows = measure(plan, told.append)
    assert len(rows) == len(table(plan, rows)[2]) == 7
    single = [row for row in rows if row.links == 1]
    several = [row for row in rows if row.links == 4]
    for row in single:  # nobody gets more out of a link than goes in
        assert row.mbit_per_s < 1.1 * plan.rate / 1e6
    for row in several:
        assert row.mbit_per_s > 1.3 * plan.rate / 1e6, row
    left = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert f"weft-paths-{os.getpid()}" not in left


def test_loss_program_is_what_it_says() -> None:
    code = packet_loss.program(0.25)
    fields = [struct.unpack_from("<BBhI", code, at) for at in range(0, len(code), 8)]
    assert fields[1] == (0xA5, 0, 2, 1 << 30)  # a quarter of all 32-bit numbers
    assert fields[3][0] == fields[5][0] == 0x95
    for wrong in (-0.1, 0.6):
        with pytest.raises(ValueError, match="probability"):
            packet_loss.program(wrong)


def test_a_lossy_link_loses_its_share() -> None:
    """Datagrams are counted by the device before and by the socket behind the filter."""
    require_machine()
    plan = Plan(links=1, rate=1e9)
    with parallel_links(plan) as names:
        packet_loss.attach(names[1], "path0", 0.25)
        receiver = subprocess.Popen(
            ["ip", "netns", "exec", names[1], "python3", "-c", _RECEIVE],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert receiver.stdout is not None
            assert receiver.stdout.readline() == "ready\n"
            subprocess.run(
                ["ip", "netns", "exec", names[0], "python3", "-c", _SEND], check=True, timeout=60
            )
            came, _ = receiver.communicate(timeout=60)
        finally:
            receiver.kill()
            receiver.wait()
    assert 1200 < int(came) < 1800  # of 2,000, 1,500 expected: 15 standard deviations


_RECEIVE = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
s.bind(("10.98.0.2", 4000)); s.settimeout(30); n = 0
print("ready", flush=True)
while s.recv(100) != b"end": n += 1
print(n)
"""
_SEND = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(2000):
    s.sendto(b"x", ("10.98.0.2", 4000))
    if i % 50 == 0: time.sleep(0.002)
time.sleep(0.1)
for i in range(60): s.sendto(b"end", ("10.98.0.2", 4000))
"""


def test_what_is_missing_is_named() -> None:
    require_machine()
    with pytest.raises(Unavailable, match="eBPF filter on nowhere"):
        packet_loss.attach(f"no-such-{uuid.uuid4().hex}", "nowhere", 0.1)
    with pytest.raises(Unavailable, match="tc qdisc"):
        ip("qdisc", "add", "dev", "no-such-device", "root", "tbf", tool="tc")
