"""The STF runner: the sample programs pass, and it fails what it must fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from p4_programs import v1model
from typer.testing import CliRunner

from weft.p4.cli import app
from weft.p4.switch import Switch
from weft.p4.switch.stf import Expectation, StfError, matches, pairs, run_file, run_text

PROGRAMS = Path(__file__).parents[3] / "p4" / "programs"

ECHO = v1model(
    states="state start { p.extract(h.ethernet); p.extract(h.small); transition accept; }",
    ingress_locals="""
        counter(4, CounterType.packets) seen;
        action to(bit<9> port) { s.egress_spec = port; }
        table t { key = { h.small.a: ternary; h.small.c: range; h.ethernet.kind: lpm; }
                  actions = { to; NoAction; } }""",
    ingress="seen.count((bit<32>)h.small.b); t.apply();",
)
HEAD = "000000000000" * 2 + "0800"


@pytest.fixture
def echo() -> Iterator[Switch]:
    with Switch.from_text(ECHO) as switch:
        yield switch


@pytest.mark.parametrize("program", sorted(p.stem for p in PROGRAMS.glob("*.p4")))
def test_sample_programs(program: str) -> None:
    with Switch.load(PROGRAMS / f"{program}.p4") as switch:
        result = run_file(switch, PROGRAMS / f"{program}.stf")
    assert result.failures == []
    assert result.checks > 0


def test_matches_of_all_kinds(echo: Switch) -> None:
    result = run_text(
        echo,
        f"""
        add t 10 h.small.a:0x1* h.small.c:5..9 h.ethernet.kind:0x0800/16 to(port:1)
        add t 20 small.a:3&&&0xf small.c:0->0xffff ethernet.kind:0x08** I.to(2)
        packet 0 {HEAD} 1100 0007
        expect 1 {HEAD} 1100 00*7 $
        packet 0 {HEAD} 1300 0007
        expect 2
        packet 0 {HEAD} 1100 000a   # outside the range
        expect 0 {HEAD}
        check_counter I.seen(0) packets == 3
        remove all
        packet 0 {HEAD} 1300 0007
        expect 0 {HEAD} 13
        """,
    )
    assert result.failures == []
    assert (result.packets, result.checks) == (4, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"packet 0 {HEAD} 00000000", "unexpected packet on port 0"),
        ("expect 0 00", "nothing left on port 0"),
        (f"packet 0 {HEAD} 00000000\nexpect 0 11", "left on port 0 as 0000"),
        (f"packet 0 {HEAD} 00000000\nexpect 0 {HEAD} $", "expected 0000000000000000000000000800$"),
        (f"packet 0 {HEAD} 01000000\npacket 0 {HEAD} 02000000\n"
         f"expect 0 {HEAD} 02\nexpect 0 {HEAD} 01", "left on port 0 as"),
        (f"packet 0 {HEAD} 00000000\nexpect 0\ncheck_counter I.seen(0) == 2", "is 1, not"),
        (f"packet 0 {HEAD} 00000000\nno_packet\nexpect 0", "none was expected"),
    ],
)  # fmt: skip
def test_what_must_fail(echo: Switch, text: str, message: str) -> None:
    result = run_text(echo, text)
    assert len(result.failures) >= 1
    assert message in result.failures[0]


def test_lenient_rules(echo: Switch) -> None:
    text = f"packet 0 {HEAD} 00000000\ncheck_counter I.seen(0) == 7"
    result = run_text(echo, text, upstream=True)
    assert result.failures == []
    assert "lenient" in result.skipped[0]


KEYS = v1model(
    states="state start { p.extract(h.ethernet); p.extract(h.stack.next); p.extract(h.stack.next);"
    " transition accept; }",
    ingress_locals="""
        counter(4, CounterType.packets) seen; register<bit<8>>(4) cells;
        meter(2, MeterType.bytes) limit;
        action to(bit<9> port) { s.egress_spec = port; }
        table t { key = { h.stack[1].a: exact; h.ethernet.kind: exact; h.stack[0].c: ternary;
                          h.stack[0].isValid(): exact @name("h.stack[0].$valid$"); }
                  actions = { to; NoAction; } }
        table l { key = { h.stack[1].c: lpm; } actions = { to; NoAction; } }""",
    ingress="seen.count(1); if (!l.apply().hit) { t.apply(); }",
)


def test_keys_as_the_original_runner_takes_them() -> None:
    """Stack elements by `$`; exact keys left out are 0; masks and prefixes from the digits."""
    zero = "000000000000" * 2 + "0000"
    text = f"""
        ADD t 5 stack$1.a:0x07 stack$0.c:0x34 stack$0.$valid$:1 to(port:3)
        add t 6 stack$1.a:0x07 stack$0.c:0x12** stack$0.$valid$:1 to(port:4)
        packet 0 {zero} 00009934 0700ffff
        expect 3 {zero}
        packet 0 {zero} 00001234 0700ffff
        expect 4 {zero}
        add l stack$1.c:0xab** to(port:5)
        packet 0 {zero} 00001234 0700abff
        expect 5 {zero}
    """
    with Switch.from_text(KEYS) as switch:
        assert run_text(switch, text, upstream=True).failures == []
    with Switch.from_text(KEYS) as switch, pytest.raises(StfError, match="needs a value"):
        run_text(switch, "add t 5 stack$1.a:0x07 to(port:3)")


def test_commands_of_simple_switch() -> None:
    with Switch.from_text(KEYS) as switch:
        result = run_text(
            switch,
            f"""
            mirroring_add 5 1
            mirroring_get 5
            mirroring_delete 5
            mc_mgrp_create 7
            mc_node_create 400 6
            mc_node_associate 7 0
            mc_node_update 0 6 8
            counter_write I.seen 1 41 500
            register_write I.cells 2 9
            register_read I.cells 2 9
            register_reset I.cells
            register_read I.cells 2 0
            meter_set_rates I.limit 1 0.001:2000 0.002:4000
            meter_get_rates I.limit 1
            packet 0 {HEAD} 00000000 00000000
            expect 0 {HEAD}
            check_counter I.seen(1) packets == 42
            """,
        )
        assert result.failures == []
        assert switch.meter("limit").rates(1) == ((1e3, 2e3), (2e3, 4e3))
        assert switch.meter("limit").rates(0) == ()


@pytest.mark.parametrize(
    "text", ["frobnicate", "mirroring_frobnicate 1", "add t", "add nope a:1 to(1)", "packet 0 xy",
             "expect 0 0g",
             "check_counter seen", "add t 1 h.small.q:1 to(1)", "setdefault t to(port:1000)"],
)  # fmt: skip
def test_lines_that_are_not_stf(echo: Switch, text: str) -> None:
    with pytest.raises(StfError, match="<stf>:1:"):
        run_text(echo, text)


def test_wildcards() -> None:
    assert matches(Expectation(1, 0, "0*f", True), b"\x00\xf0") is False
    assert matches(Expectation(1, 0, "0*f", False), b"\x00\xf0")
    assert not matches(Expectation(1, 0, "00f1", False), b"\x00\xf0")
    assert not matches(Expectation(1, 0, "0000", False), b"\x00")


def test_command(tmp_path: Path) -> None:
    program, test = tmp_path / "echo.p4", tmp_path / "echo.stf"
    program.write_text(ECHO)
    test.write_text(f"packet 0 {HEAD} 00000000\nexpect 0\n")
    assert list(pairs([tmp_path])) == [(program, test)]
    good = CliRunner().invoke(app, ["stf", str(test)])
    assert good.exit_code == 0, good.output
    assert "1 passed, 0 failed" in good.output
    test.write_text("expect 0\n")
    bad = CliRunner().invoke(app, ["stf", str(tmp_path)])
    assert bad.exit_code == 1
    assert "nothing left on port 0" in bad.output
