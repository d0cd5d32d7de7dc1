# ruff: noqa: E501 - P4 source in text
"""What stands around the switch: pcap files, interfaces, command files, traces."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from p4_programs import v1model
from typer.testing import CliRunner

from weft.p4.cli import app
from weft.p4.switch import ControlError, Switch
from weft.p4.switch.commands import CommandLine
from weft.p4.switch.ports import Interfaces, PcapWriter, read_pcap, run_pcaps
from weft.p4.switch.trace import Coverage, render, steps_of

SWAP = v1model(
    states="state start { p.extract(h.ethernet); transition select(h.ethernet.kind) {"
    " 0x88b5: small; default: accept; } } state small { p.extract(h.small); transition accept; }",
    ingress_locals="""
        register<bit<16>>(4) cells; counter(4, CounterType.packets) seen; meter(2, MeterType.bytes) limit;
        action_selector(HashAlgorithm.crc16, 8, 8) sel;
        action to(bit<9> port) { s.egress_spec = port; }
        action drop() { mark_to_drop(s); }
        table ports { key = { s.ingress_port: exact; } actions = { to; drop; } default_action = drop(); }
        table kinds { key = { h.ethernet.kind: ternary; h.small.a: range; } actions = { to; NoAction; } }
        table far { key = { h.ethernet.dst: lpm; h.small.c: selector; } actions = { to; NoAction; }
                    implementation = sel; }
        action all(bit<16> group) { s.mcast_grp = group; }
        table flood { key = { h.ethernet.kind: exact; } actions = { all; NoAction; } }
    """,
    ingress="""
        ports.apply(); kinds.apply(); far.apply(); flood.apply(); seen.count(1);
        bit<48> t = h.ethernet.src; h.ethernet.src = h.ethernet.dst; h.ethernet.dst = t;""",
)


@pytest.fixture
def swap() -> Iterator[Switch]:
    with Switch.from_text(SWAP, trace=True) as switch:
        yield switch


def frame(kind: int = 0x88B5, a: int = 0, dst: int = 2) -> bytes:
    return dst.to_bytes(6, "big") + (1).to_bytes(6, "big") + struct.pack(">HBBH", kind, a, 0, 0)


def test_pcap_round_trip_and_order(swap: Switch, tmp_path: Path) -> None:
    swap.table("ports").insert([1], "to", [2])
    swap.table("ports").insert([2], "to", [1])
    for port, times in ((1, (10, 40)), (2, (20, 30))):
        with PcapWriter(tmp_path / f"in{port}.pcap") as writer:
            for when in times:
                writer.write(5_000_000 + when, frame(a=when))
    counts = run_pcaps(swap, {1: tmp_path / "in1.pcap", 2: tmp_path / "in2.pcap"}, tmp_path / "out")
    assert counts == {1: 2, 2: 2}
    got = list(read_pcap(tmp_path / "out" / "port2.pcap"))
    assert [(t, d[14]) for t, d in got] == [(5_000_010, 10), (5_000_040, 40)]
    assert got[0][1][:12] == frame()[6:12] + frame()[:6]


def test_pcap_of_another_writer(tmp_path: Path) -> None:
    """Big-endian with nanoseconds, as some captures are."""
    path = tmp_path / "x.pcap"
    head = struct.pack(">IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)
    path.write_bytes(head + struct.pack(">4I", 3, 7_000, 4, 4) + b"abcd")
    assert list(read_pcap(path)) == [(3_000_007, b"abcd")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no pcap"),
        (b"x" * 24, "no pcap"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1, 101), "link type 101"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1, 1) + b"123", "record's head"),
        (struct.pack("<IHHiIII4I", 0xA1B2C3D4, 2, 4, 0, 0, 1, 1, 0, 0, 9, 9) + b"1", "a frame"),
        (struct.pack("<IHHiIII4I", 0xA1B2C3D4, 2, 4, 0, 0, 1, 1, 0, 0, 1 << 30, 9), "record of"),
    ],
)
def test_broken_pcaps(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(data)
    with pytest.raises(ControlError, match=message):
        list(read_pcap(path))


def test_interfaces(swap: Switch) -> None:
    """Two veth pairs; a frame goes in at one far end and comes out at the other."""
    names = [f"wp4{os.getpid() % 10000}{end}" for end in "abcd"]
    made = []
    try:
        for near, far in ((names[0], names[1]), (names[2], names[3])):
            command = ["ip", "link", "add", near, "type", "veth", "peer", "name", far]
            try:
                subprocess.run(command, check=True, capture_output=True, timeout=10)
            except (OSError, subprocess.CalledProcessError) as problem:
                pytest.skip(f"no veth devices can be made here: {problem}")
            made.append(near)
            for name in (near, far):
                subprocess.run(["ip", "link", "set", name, "up"], check=True, timeout=10)
        swap.table("ports").insert([1], "to", [2])
        with (
            Interfaces({1: names[0], 2: names[2]}, swap.send) as ports,
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as inside,
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as outside,
        ):
            inside.bind((names[1], 0x88B5))
            outside.bind((names[3], 0x88B5))
            outside.settimeout(0.2)
            runner = threading.Thread(target=ports.run, args=(60,))
            runner.start()
            got = b""
            deadline = time.monotonic() + 20
            try:
                # A link that has just come up drops frames until the kernel has noticed its
                # carrier, so the frame is sent again until one arrives.
                while not got and time.monotonic() < deadline:
                    inside.send(frame(a=77).ljust(60, b"\0"))
                    with contextlib.suppress(TimeoutError):
                        got = outside.recv(2000)
            finally:
                ports.stop()
                runner.join(20)
        assert not runner.is_alive()
        assert got == (frame()[6:12] + frame()[:6] + frame(a=77)[12:]).ljust(60, b"\0")
    finally:
        for name in made:
            subprocess.run(["ip", "link", "del", name], check=False, timeout=10)


def test_an_interface_that_is_not_there(swap: Switch) -> None:
    with pytest.raises(ControlError, match="port 3: cannot open interface 'nope0'"):
        Interfaces({3: "nope0"}, swap.send)


COMMANDS = """
# ports
table_add ports to 1 => 2
table_add I.ports to 0x2 => 3
table_add kinds to 0x88b5&&&0xffff 5->9 => 7 20
table_add kinds to 0x8800&&&0xff00 0->20 => 8 30   # a lower number wins in bmv2
mc_mgrp_create 1
mc_node_create 5 4 6
mc_node_associate 1 0
table_add flood all 0x0801 => 1
register_write cells 1 77
meter_set_rates limit 0 0.5:10 1:20
"""


def test_command_files(swap: Switch, tmp_path: Path) -> None:
    path = tmp_path / "commands.txt"
    path.write_text(COMMANDS)
    line = CommandLine(swap)
    assert "Entry has been added with handle 0" in line.run_file(path)
    assert [o.port for o in swap.send(1, frame(a=7))] == [7]
    assert [o.port for o in swap.send(1, frame(a=10))] == [8]
    assert [o.port for o in swap.send(2, frame(a=30))] == [3]
    assert [o.port for o in swap.send(1, frame(kind=0x0801))] == [4, 6]
    assert line.run("register_read cells 1") == ["cells[1]= 77"]
    assert line.run("counter_read seen 1") == ["seen[1]= (72 bytes, 4 packets)"]
    line.run("table_modify ports drop 0")
    assert swap.send(1, frame(a=30)) == []
    line.run("table_delete ports 0")
    line.run("table_set_default ports to 9")
    assert [o.port for o in swap.send(1, frame(a=30))] == [9]
    assert line.run("act_prof_create_member sel to 12") == ["Member has been created with handle 0"]
    line.run("act_prof_create_group sel")
    line.run("act_prof_add_member_to_group sel 0 0")
    line.run("table_indirect_add_with_group far 0:0:0:0:0:2/48 => 0")
    assert [o.port for o in swap.send(1, frame(a=30))] == [12]


@pytest.mark.parametrize(
    "text", ["nope", "table_add ports to", "table_add ports to 1 2 => 3", "table_add ports to x => 1",
             "table_add kinds to 1&&&1 1->2 => 7", "table_add kinds to 1 1->2 => 7 1", "table_delete ports 0",
             "register_read", "mc_node_associate 9 9", "counter_read seen 9"],
)  # fmt: skip
def test_wrong_commands(swap: Switch, text: str) -> None:
    with pytest.raises(ControlError):
        CommandLine(swap).run(text)


def test_trace_and_coverage(swap: Switch) -> None:
    swap.table("ports").insert([1], "to", [2])
    covered = Coverage(swap)
    assert covered.share() == 0
    swap.send(1, frame())
    covered.add()
    text = render(steps_of(swap))
    for line in ("parser", "  state   P.start at byte 0", "  state   P.small at byte 14", "  hit     I.ports: entry 0",
                 "  action  I.to", "  miss    I.kinds", "  send    port 2, 18 bytes"):  # fmt: skip
        assert line in text, text
    assert "h.ethernet.dst = 0x1" in text
    share = covered.share()
    swap.send(5, frame(kind=0))
    covered.add()
    assert "  drop" in render(steps_of(swap))
    assert 0 < share < covered.share() < 1
    assert ("action I.drop in I.ports", 1) in covered.items()


def test_commands_of_the_shell(tmp_path: Path) -> None:
    program, commands = tmp_path / "swap.p4", tmp_path / "commands.txt"
    program.write_text(SWAP)
    commands.write_text("table_add ports to 1 => 2\n")
    with PcapWriter(tmp_path / "in.pcap") as writer:
        writer.write(0, frame())
    runner = CliRunner()
    run = runner.invoke(app, ["run", str(program), "--pcap", f"1={tmp_path}/in.pcap", "--commands",
                              str(commands), "-o", str(tmp_path / "out")])  # fmt: skip
    assert run.exit_code == 0, run.output
    assert "port 2: 1 frames" in run.output
    traced = runner.invoke(
        app, ["trace", str(program), f"1:{frame().hex()}", "--commands", str(commands)]
    )
    assert traced.exit_code == 0, traced.output
    assert "-> port 2: 000000000001000000000002" in traced.output
    both = runner.invoke(app, ["run", str(program)])
    assert both.exit_code == 2
