# ruff: noqa: E501 - tables of P4 source
"""`weft p4 ...`: what it prints, what it writes, and its exit codes."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from p4_programs import v1model
from typer.testing import CliRunner

from weft.p4 import protos
from weft.p4.cli import app

run = CliRunner().invoke


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.p4"
    path.write_text(
        v1model(
            types="type bit<9> port_t; struct seen_t { bit<48> who; port_t where; }"
            ' @controller_header("packet_in") header up_t { bit<9> port; bit<7> pad; }',
            ingress_locals="""
            action send(bit<9> port) { s.egress_spec = port; } action drop() { mark_to_drop(s); }
            direct_counter(CounterType.bytes) seen; register<bit<32>>(64) r; counter(8, CounterType.packets) c;
            table t { key = { h.ethernet.dst: exact; h.small.c: lpm; m.x: ternary; m.y: range; m.kind: optional; }
              actions = { send; @defaultonly drop; } const default_action = drop(); size = 99; counters = seen;
              support_timeout = true; }
            table u { key = { m.x: exact; m.y: selector; } actions = { send; }
              implementation = action_selector(HashAlgorithm.crc16, 16, 8); }""",
            ingress="if (t.apply().hit) { u.apply(); digest<seen_t>(1, { h.ethernet.src, (port_t)s.ingress_port }); }"
            " r.write(1, 2); c.count(1);",
        )
    )
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.p4"
    path.write_text("const bit<8> a = true;\n")
    return path


def test_check(good: Path, bad: Path) -> None:
    assert run(app, ["check", str(good)]).exit_code == 0
    result = run(app, ["check", str(bad)])
    assert result.exit_code == 1
    assert f"{bad}:1:18: error: " in result.output
    assert run(app, ["check", str(bad.parent / "nothing.p4")]).exit_code == 2


def test_check_as_json(bad: Path) -> None:
    result = run(app, ["check", "--json", str(bad)])
    assert result.exit_code == 1
    (message,) = json.loads(result.stdout)
    assert (message["line"], message["column"], message["severity"]) == (1, 18, "error")


def test_check_of_a_library(tmp_path: Path) -> None:
    path = tmp_path / "library.p4"
    path.write_text("const bit<8> a = N;\n")
    result = run(app, ["check", "-D", "N=3", str(path)])
    assert result.exit_code == 0
    assert "warning: the program has no package named 'main'" in result.output
    assert run(app, ["check", str(path)]).exit_code == 1
    assert run(app, ["ir", "-D", "N=3", str(path)]).exit_code == 1


def test_fmt(tmp_path: Path) -> None:
    path = tmp_path / "f.p4"
    path.write_text("const bit<8>   a=3;\n")
    assert run(app, ["fmt", str(path)]).stdout == "const bit<8> a = 3;\n"
    assert run(app, ["fmt", "--check", str(path)]).exit_code == 1
    assert run(app, ["fmt", "-i", str(path)]).exit_code == 0
    assert path.read_text() == "const bit<8> a = 3;\n"
    assert run(app, ["fmt", "--check", str(path)]).exit_code == 0


def test_graph_is_well_formed_svg(good: Path, tmp_path: Path) -> None:
    out = tmp_path / "g.svg"
    assert run(app, ["graph", str(good), "-o", str(out)]).exit_code == 0
    root = ElementTree.fromstring(out.read_text())
    texts = {t.text for t in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"control I", "t", "u", "send", "end"} <= texts


def test_ir(good: Path) -> None:
    assert "table I.t" in run(app, ["ir", str(good)]).stdout


def test_info_is_what_p4runtime_defines(good: Path, tmp_path: Path) -> None:
    from google.protobuf import text_format

    result = run(app, ["info", str(good)])
    assert result.exit_code == 0
    info = text_format.Parse(result.stdout, protos.message("p4.config.v1.P4Info")())
    assert info.pkg_info.arch == "v1model"
    table = next(t for t in info.tables if t.preamble.name == "I.t")
    assert table.preamble.id >> 24 == 0x02
    assert table.preamble.alias == "t"
    assert table.size == 99
    kinds = protos.enum("p4.config.v1.MatchField.MatchType")
    assert [(f.id, f.name, f.bitwidth, f.match_type) for f in table.match_fields] == [
        (1, "h.ethernet.dst", 48, kinds["EXACT"]),
        (2, "h.small.c", 16, kinds["LPM"]),
        (3, "m.x", 8, kinds["TERNARY"]),
        (4, "m.y", 16, kinds["RANGE"]),
        (5, "m.kind", 8, kinds["OPTIONAL"]),
    ]
    actions = {a.preamble.name: a for a in info.actions}
    assert [(p.name, p.bitwidth) for p in actions["I.send"].params] == [("port", 9)]
    assert table.const_default_action_id == actions["I.drop"].preamble.id
    assert list(table.direct_resource_ids) == [info.direct_counters[0].preamble.id]
    assert info.direct_counters[0].direct_table_id == table.preamble.id
    assert table.idle_timeout_behavior == 1
    (profile,) = info.action_profiles
    user = next(t for t in info.tables if t.preamble.name == "I.u")
    assert profile.with_selector and profile.size == 16
    assert user.implementation_id == profile.preamble.id
    assert list(profile.table_ids) == [user.preamble.id]
    assert [f.name for f in user.match_fields] == ["m.x"]
    assert info.registers[0].size == 64
    assert info.registers[0].type_spec.bitstring.bit.bitwidth == 32
    assert info.counters[0].size == 8
    (digest,) = info.digests
    assert digest.type_spec.struct.name == "seen_t"
    assert "seen_t" in info.type_info.structs
    (metadata,) = info.controller_packet_metadata
    assert [(f.name, f.bitwidth) for f in metadata.metadata] == [("port", 9), ("pad", 7)]


def test_info_in_wire_format(good: Path, tmp_path: Path) -> None:
    out = tmp_path / "info.bin"
    assert run(app, ["info", "--binary", str(good), "-o", str(out)]).exit_code == 0
    info = protos.message("p4.config.v1.P4Info")()
    info.ParseFromString(out.read_bytes())
    assert len(info.tables) == 2
