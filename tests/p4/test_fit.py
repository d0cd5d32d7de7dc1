# ruff: noqa: E501 - P4 source
"""The resource checker: what fits, what does not, and that it names the first thing that does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from p4_programs import v1model
from typer.testing import CliRunner

from weft.p4.cli import app
from weft.p4.compiler import compile_file, compile_text
from weft.p4.resources import Fit, fit, load
from weft.p4.resources.target import UnknownTarget, names
from weft.p4.resources.units import units

PROGRAMS = Path(__file__).parents[2] / "p4" / "programs"


def place(ingress: str, ingress_locals: str = "", types: str = "", target: str = "tofino1") -> Fit:
    source = v1model(ingress=ingress, ingress_locals=ingress_locals, types=types)
    return fit(compile_text(source), load(target))


def chain(length: int) -> tuple[str, str]:
    """Tables of which each matches on what the one before wrote."""
    types = "struct chain_t { " + "".join(f"bit<16> f{i};" for i in range(length + 1)) + "}"
    locals_ = "chain_t c;" + "".join(
        f"action a{i}(bit<16> v) {{ c.f{i + 1} = v; }} table t{i} {{ key = {{ c.f{i}: exact; }} actions = {{ a{i}; }} }}"
        for i in range(length)
    )
    apply = "".join(f"t{i}.apply();" for i in range(length))
    return v1model(types=types, ingress_locals=locals_, ingress=apply), apply


def test_a_chain_of_matches_takes_a_stage_each() -> None:
    source, _ = chain(10)
    result = fit(compile_text(source), load("tofino1"))
    assert result.fits
    assert result.reasons["I.t9"] == "matches on c.f9, which I.t8 writes"
    assert result.stages_used >= 10


def test_a_chain_that_is_too_long_is_explained_and_fits_the_larger_chip() -> None:
    source, _ = chain(14)
    program = compile_text(source)
    small = fit(program, load("tofino1"))
    assert not small.fits
    assert "the chip has 12" in small.problems[0].message
    assert "matches on c.f" in small.problems[0].message
    assert fit(program, load("tofino2")).fits


def test_independent_tables_share_a_stage() -> None:
    locals_ = "".join(
        f"action a{i}(bit<8> v) {{ h.stack[{i}].a = v; }} table t{i} {{ key = {{ h.ethernet.dst: exact; }} actions = {{ a{i}; }} size = 1024; }}"
        for i in range(4)
    )
    result = place("".join(f"t{i}.apply();" for i in range(4)), locals_)
    assert result.fits
    assert result.stages_used == 1


def test_branches_that_exclude_each_other_do_not_wait() -> None:
    locals_ = (
        "action a(bit<8> v) { m.x = v; } action b(bit<8> v) { m.x = v; }"
        "table t { key = { h.small.a: exact; } actions = { a; } }"
        "table u { key = { h.small.a: exact; } actions = { b; } }"
    )
    assert place("if (m.flag) { t.apply(); } else { u.apply(); }", locals_).stages_used == 1
    assert place("t.apply(); u.apply();", locals_).stages_used == 2


def test_a_table_that_a_hit_decides_may_share_the_stage() -> None:
    locals_ = (
        "action a() { m.x = 1; } action b() { m.y = 1; }"
        "table t { key = { h.small.a: exact; } actions = { a; } }"
        "table u { key = { h.small.b: exact; } actions = { b; } }"
    )
    result = place("if (t.apply().hit) { u.apply(); }", locals_)
    assert result.fits
    assert result.stages_used == 1


@pytest.mark.parametrize(("size", "fits"), [(100_000, True), (3_000_000, False)])
def test_large_exact_tables_are_spread_over_stages(size: int, fits: bool) -> None:
    locals_ = f"action a(bit<9> p) {{ s.egress_spec = p; }} table t {{ key = {{ h.ethernet.dst: exact; }} actions = {{ a; }} size = {size}; }}"
    result = place("t.apply();", locals_)
    assert result.fits is fits
    if fits:
        blocks = sum(share.get("sram", 0) for stage in result.stages for _, share in stage)
        # 38 stored key bits, 9 of data, 12 of overhead: 59 bits per entry, 128 per row.
        assert size * 59 / 1024 / 128 <= blocks <= size / 1024
        assert result.stages_used > 1 or blocks <= 80
    else:
        assert result.problems[0].resource == "sram"


def test_counters_go_where_the_entries_are() -> None:
    """131072 counters of 4 a row are 32 blocks; each stage that holds some has a spare besides."""
    locals_ = (
        "direct_counter(CounterType.packets) c; action a(bit<9> p) { s.egress_spec = p; c.count(); }"
        "table t { key = { h.ethernet.src[31:0]: lpm; } actions = { a; } counters = c; size = 131072; }"
    )
    result = place("t.apply();", locals_)
    assert result.fits
    shares = [share for stage in result.stages for name, share in stage if name == "I.t"]
    assert sum(s["tcam"] for s in shares) == 131072 // 512
    assert len(shares) == 11  # 24 TCAM blocks each
    assert 32 + len(shares) <= sum(s["map_ram"] for s in shares) <= 32 + 2 * len(shares)
    assert all(s["stats_alus"] == 1 for s in shares)


@pytest.mark.parametrize("target", ["tofino1", "tofino2"])
@pytest.mark.parametrize("program", sorted(PROGRAMS.glob("*.p4")), ids=lambda p: p.stem)
def test_sample_programs_fit(program: Path, target: str) -> None:
    result = fit(compile_file(program), load(target))
    assert result.problems == []


def test_tcam_runs_out() -> None:
    locals_ = "action a() { } table t { key = { h.ethernet.dst: ternary; h.ethernet.src: ternary; } actions = { a; } size = 200000; }"
    result = place("t.apply();", locals_)
    assert not result.fits
    assert result.problems[0].resource == "tcam"
    assert "I.t needs" in result.problems[0].message


def test_crossbar_is_wide_but_not_endless() -> None:
    fields = "".join(f"bit<128> f{i};" for i in range(9))
    keys = "".join(f"w.f{i}: exact;" for i in range(9))
    result = place(
        "t.apply();",
        f"wide_t w; action a() {{ }} table t {{ key = {{ {keys} }} actions = {{ a; }} }}",
        f"struct wide_t {{ {fields} }}",
    )
    assert [p.resource for p in result.problems] == ["exact_crossbar_bytes"]
    assert "144 bytes of exact match crossbar" in result.problems[0].message


def test_a_register_is_accessed_once() -> None:
    locals_ = "register<bit<32>>(1024) r; bit<32> v;"
    once = "r.read(v, 3); v = v + 1; r.write(3, v);"
    assert place(once, locals_).fits
    twice = "r.read(v, 3); r.write(4, v);"
    result = place(twice, locals_)
    assert [p.resource for p in result.problems] == ["register access"]
    assert "accessed twice for one packet" in result.problems[0].message
    apart = "if (m.flag) { r.write(3, 1); } else { r.write(4, 1); }"
    assert [p.resource for p in place(apart, locals_).problems] == ["register access"]


def test_a_register_in_tables_of_different_branches_is_accessed_once() -> None:
    locals_ = (
        "register<bit<32>>(64) r; action a() { r.write(1, 1); } action b() { r.write(2, 1); }"
        "table t { key = { m.x: exact; } actions = { a; } } table u { key = { m.x: exact; } actions = { b; } }"
    )
    assert place("if (m.flag) { t.apply(); } else { u.apply(); }", locals_).fits
    assert not place("t.apply(); u.apply();", locals_).fits


def test_register_width_and_size() -> None:
    wide = "register<bit<128>>(16) r;"
    assert [p.resource for p in place("r.write(1, 1);", wide).problems] == ["stateful ALU"]
    assert place("r.write(1, 1);", wide, target="tofino2").fits
    large = "register<bit<64>>(1000000) r;"
    assert any(p.resource == "SRAM" for p in place("r.write(1, 1);", large).problems)


def test_the_published_layout_of_an_aggregation_fits_as_its_authors_say() -> None:
    """Four 16384 x 64 bit registers in a stage need (8 + 1 spare) x 4 = 36 of 48 map RAMs."""
    locals_ = "".join(f"register<bit<64>>(16384) r{i};" for i in range(4)) + "action a() { " + "".join(
        f"r{i}.write(1, 1);" for i in range(4)
    ) + " } table t { key = { m.x: exact; } actions = { a; } }"  # fmt: skip
    (unit,) = units(compile_text(v1model(ingress_locals=locals_, ingress="t.apply();")))
    assert unit.demand["map_ram"] == 36
    assert unit.demand["stateful_alus"] == 4


def test_headers_beyond_the_phv() -> None:
    fields = "".join(f"bit<32> f{i};" for i in range(160))
    sums = "".join(f"m.f{i} = 1;" for i in range(160))
    source = v1model(ingress=sums).replace("struct meta_t {", f"struct meta_t {{ {fields}")
    result = fit(compile_text(source), load("tofino1"))
    assert "PHV" in [p.resource for p in result.problems]


def test_a_parser_state_matches_at_most_32_bits() -> None:
    source = v1model(
        states="state start { p.extract(h.ethernet); transition select(h.ethernet.dst) { 1: accept; } }"
    )
    result = fit(compile_text(source), load("tofino1"))
    assert [p.resource for p in result.problems] == ["parser match"]
    assert "selects on 48 bits" in result.problems[0].message


def test_targets() -> None:
    assert names() == ["tofino1", "tofino2"]
    assert (load("tofino1").stages, load("tofino2").stages) == (12, 20)
    bits = [sum(w * n for w, n in load(name).phv_containers.items()) for name in names()]
    assert bits == [4096, 3072]  # Tofino 2 has mocha and dark containers instead of the rest
    with pytest.raises(UnknownTarget, match="known: tofino1, tofino2"):
        load("abacus")


def test_command(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "p.p4"
    path.write_text(v1model(ingress="m.x = 1;"))
    run = CliRunner().invoke
    result = run(app, ["fit", str(path)])
    assert result.exit_code == 0
    assert result.stdout.startswith("fits tofino1: 1 of 12 stages")
    data = json.loads(run(app, ["fit", "--json", "--target", "tofino2", str(path)]).stdout)
    assert data["fits"] and data["target"] == "tofino2"
    assert run(app, ["fit", "--target", "abacus", str(path)]).exit_code == 2
    path.write_text(v1model(ingress_locals="register<bit<256>>(4) r;", ingress="r.write(1, 1);"))
    assert run(app, ["fit", str(path)]).exit_code == 1
