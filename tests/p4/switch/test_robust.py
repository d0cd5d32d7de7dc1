# ruff: noqa: E501 - P4 source in text
"""Malformed packets under the address sanitizer, and changes while packets flow."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest
from p4_programs import v1model

from weft.p4.switch import CompilerError, Switch
from weft.p4.switch.fuzz import FuzzFailed, fuzz, sanitizer

PROGRAMS = Path(__file__).parents[3] / "p4" / "programs"
#: Packets per program; more in long runs.
FUZZED = int(os.environ.get("WEFT_P4_FUZZ", "20000"))


@pytest.mark.parametrize("program", sorted(p.stem for p in PROGRAMS.glob("*.p4")))
def test_malformed_packets(program: str) -> None:
    try:
        sanitizer()
    except CompilerError as problem:
        pytest.skip(f"no sanitizer: {problem}")
    assert fuzz(PROGRAMS / f"{program}.p4", FUZZED, deadline_s=110) > 0


def test_a_finding_ends_the_run_with_the_report(tmp_path: Path) -> None:
    """Whatever ends the process early is told, not swallowed."""
    with pytest.raises(FuzzFailed, match="nothing is here"):
        fuzz(tmp_path / "nothing is here.p4", 10, deadline_s=60)


def test_changes_while_packets_flow() -> None:
    """Every packet meets the old entry or the new one, never none and never a mixture."""
    program = v1model(
        states="state start { p.extract(h.ethernet); transition accept; }",
        ingress_locals="""
            action set(bit<48> a, bit<48> b) { h.ethernet.dst = a; h.ethernet.src = b; }
            action lost() { mark_to_drop(s); }
            table t { key = { h.ethernet.kind: exact; } actions = { set; lost; } default_action = lost(); size = 20000; }
            table l { key = { h.ethernet.kind: lpm; } actions = { set; NoAction; } size = 20000; }""",
        ingress="t.apply(); l.apply();",
    )
    with Switch.from_text(program) as switch:
        table, prefixes = switch.table("t"), switch.table("l")
        entry = table.insert([1], "set", [0, 0])
        stop = threading.Event()
        problems: list[str] = []
        sent = 0

        def traffic() -> None:
            nonlocal sent
            packet = bytes(12) + b"\0\1"
            while not stop.is_set():
                outputs = switch.send(0, packet)
                if len(outputs) != 1 or outputs[0].data[:6] != outputs[0].data[6:12]:
                    problems.append(str(outputs))
                sent += 1
                switch.send_many(0, [packet], 50)

        runner = threading.Thread(target=traffic)
        runner.start()
        rng = random.Random(5)
        try:
            for round_ in range(3000):
                table.modify(entry, "set", [round_, round_])
                if rng.random() < 0.7:
                    value = rng.randrange(2, 60000)
                    if table.find([value]) is None:
                        table.insert([value], "set", [1, 1])
                elif len(table) > 1:
                    table.remove(table.entries()[rng.randrange(1, len(table))])
                match = [(rng.getrandbits(16), rng.randrange(17))]
                found = prefixes.find(match)
                if found is not None:
                    prefixes.remove(found)
                else:
                    value = rng.getrandbits(40)
                    prefixes.insert(match, "set", [value, value])
        finally:
            stop.set()
            runner.join(30)
        assert not runner.is_alive()
        assert problems == []
        assert sent > 0
        stats = switch.stats()
        assert stats.dropped == stats.overruns == 0
        assert stats.received == stats.sent


def test_no_compiler_is_said_clearly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(CompilerError, match=r"no C compiler found.*apt install gcc"):
        Switch.from_text(v1model())
    monkeypatch.setenv("CC", "nonesuch-cc")
    with pytest.raises(CompilerError, match="'nonesuch-cc', which cannot be found"):
        Switch.from_text(v1model())


def test_a_compiler_that_never_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "cc"
    fake.write_text(f"#!/bin/sh\nsleep 600 &\necho $! > {tmp_path}/child\nwait\n")
    fake.chmod(0o755)
    monkeypatch.setenv("CC", str(fake))
    monkeypatch.setattr("weft.p4.switch.build._DEADLINE_S", 3)
    with pytest.raises(CompilerError, match="took longer than 3 s"):
        Switch.from_text(v1model())
    child = int((tmp_path / "child").read_text())
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"  # killed with the compiler


def test_a_program_is_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    Switch.from_text(v1model()).close()
    (made,) = (tmp_path / "weft" / "p4").glob("program-*.so")
    before = made.stat().st_mtime_ns
    Switch.from_text(v1model()).close()
    assert made.stat().st_mtime_ns == before
    assert len(list((tmp_path / "weft" / "p4").iterdir())) == 2  # the program and the runtime


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(CompilerError, match="set XDG_CACHE_HOME"):
        Switch.from_text(v1model())


def test_two_instances_share_nothing() -> None:
    program = v1model(ingress_locals="register<bit<8>>(1) r;", ingress="r.read(m.x, 0); r.write(0, m.x + 1);",
                      states="state start { transition accept; }")  # fmt: skip
    with Switch.from_text(program) as one, Switch.from_text(program) as other:
        one.send(0, b"")
        one.send(0, b"")
        other.send(0, b"")
        assert (one.register("r").read(0), other.register("r").read(0)) == (2, 1)


def test_a_closed_switch_says_so() -> None:
    from weft.p4.switch import ControlError

    switch = Switch.from_text(v1model())
    switch.close()
    with pytest.raises(ControlError, match="closed"):
        switch.send(0, b"")
    switch.close()
