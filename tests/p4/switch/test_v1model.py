# ruff: noqa: E501 - P4 source in text
"""What v1model does around the program: traffic manager, externs, metadata, limits."""

from __future__ import annotations

import binascii
import struct
import zlib
from collections.abc import Iterator

import pytest
from p4_programs import v1model

from weft.p4.switch import CodegenError, ControlError, Switch

# One byte says what the program does with the packet, so that one compilation serves many tests.
TRAFFIC = """
#include <core.p4>
#include <v1model.p4>
header command_t { bit<8> what; bit<8> count; bit<16> port; bit<16> kind; bit<16> seen; bit<32> length; }
struct headers_t { command_t c; }
struct meta_t { @field_list(1) bit<16> kept; bit<16> lost; }
parser P(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start { p.extract(h.c); transition accept; } }
control V(inout headers_t h, inout meta_t m) { apply { } }
control I(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply {
    s.egress_spec = (bit<9>)h.c.port;
    if (h.c.what == 1) { s.mcast_grp = h.c.port; }
    else if (h.c.what == 2) { mark_to_drop(s); }
    else if (h.c.what == 3) { m.kept = 77; m.lost = 5; h.c.count = 200;
        clone_preserving_field_list(CloneType.I2E, 5, 1); m.kept = 78; }
    else if (h.c.what == 4 && s.instance_type != 6) { m.kept = 9; h.c.count = 200;
        resubmit_preserving_field_list(1); }
    else if (h.c.what == 4) { h.c.seen = m.kept; }
    else if (h.c.what == 5 || h.c.what == 6) { h.c.seen = m.kept; }
    else if (h.c.what == 7) { truncate(14); }
    else if (h.c.what == 8) { clone(CloneType.I2E, 6); mark_to_drop(s); }
    else if (h.c.what == 9) { s.mcast_grp = 3; mark_to_drop(s); }
    else if (h.c.what == 10) { mark_to_drop(s); s.mcast_grp = 3; }
    else if (h.c.what == 11) { resubmit_preserving_field_list(1); s.mcast_grp = 3; }
    else if (h.c.what == 13) { clone_preserving_field_list(CloneType.I2E, 7, 1); }
} }
control E(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply {
    h.c.kind = (bit<16>)s.instance_type; h.c.length = s.packet_length;
    if (s.instance_type == 1 || s.instance_type == 2) {
        h.c.seen = m.kept + m.lost + (bit<16>)s.ingress_port; exit; }
    if (s.instance_type == 5) { h.c.seen = s.egress_rid; exit; }
    if (h.c.what == 5 && h.c.count > 0) { h.c.count = h.c.count - 1; m.kept = m.kept + 1;
        recirculate_preserving_field_list(1); }
    if (h.c.what == 6) { m.kept = 4; m.lost = 3; clone_preserving_field_list(CloneType.E2E, 5, 1);
        mark_to_drop(s); }
    if (h.c.what == 12) { recirculate_preserving_field_list(1); }
} }
control C(inout headers_t h, inout meta_t m) { apply { } }
control D(packet_out p, in headers_t h) { apply { p.emit(h); } }
V1Switch(P(), V(), I(), E(), C(), D()) main;
"""


@pytest.fixture(scope="module")
def traffic() -> Iterator[Switch]:
    with Switch.from_text(TRAFFIC) as switch:
        switch.multicast(3, [(1, 10), (2, 11), (2, 12)])
        switch.clone_session(5, [(9, 0)])
        switch.clone_session(6, [(8, 0)], length=13)
        switch.clone_session(7, group=3)
        yield switch


def command(what: int, port: int, count: int = 0) -> bytes:
    return struct.pack(">BBHHHI", what, count, port, 0, 0, 0) + b"payload"


def seen(traffic: Switch, what: int, port: int = 4, count: int = 0) -> list[tuple[int, ...]]:
    """(port, count, instance type, seen, length) of everything that leaves."""
    result = []
    for out_port, data in traffic.send(6, command(what, port, count)):
        _, left, _, kind, value, length = struct.unpack(">BBHHHI", data[:12])
        assert data[12:] == b"payload"
        result.append((out_port, left, kind, value, length))
    return result


def test_unicast_multicast_drop(traffic: Switch) -> None:
    assert seen(traffic, 0) == [(4, 0, 0, 0, 19)]
    assert seen(traffic, 0, 510) == [(510, 0, 0, 0, 19)]
    assert seen(traffic, 0, 511) == []
    assert seen(traffic, 1, 3) == [(1, 0, 5, 10, 19), (2, 0, 5, 11, 19), (2, 0, 5, 12, 19)]
    assert seen(traffic, 1, 77) == []  # a group without copies
    assert seen(traffic, 2) == []


def test_mark_to_drop_clears_the_group_only_when_it_comes_last(traffic: Switch) -> None:
    assert seen(traffic, 9) == []
    assert [o[0] for o in seen(traffic, 10)] == [1, 2, 2]


def test_ingress_clone_is_the_packet_as_it_entered(traffic: Switch) -> None:
    # The clone keeps the listed field's last value and nothing else; its header is as received.
    assert seen(traffic, 3) == [(9, 0, 1, 78, 19), (4, 200, 0, 0, 19)]
    assert [o[0] for o in seen(traffic, 13)] == [1, 2, 2, 4]


def test_clone_of_a_dropped_packet_and_session_length(traffic: Switch) -> None:
    outputs = traffic.send(0, command(8, 4))
    assert [(o.port, len(o.data)) for o in outputs] == [(8, 13)]


def test_resubmit(traffic: Switch) -> None:
    # Headers start over, the kept field stays; resubmit comes before multicast.
    assert seen(traffic, 4) == [(4, 0, 0, 9, 19)]
    before = traffic.stats()
    assert seen(traffic, 11) == []
    assert traffic.stats().overruns == before.overruns + 1  # endless resubmission is given up


def test_recirculate(traffic: Switch) -> None:
    assert seen(traffic, 5, count=3) == [(4, 0, 0, 3, 19)]
    before = traffic.stats()
    assert seen(traffic, 12) == []
    assert traffic.stats().overruns == before.overruns + 1


def test_egress_clone_and_truncate(traffic: Switch) -> None:
    assert seen(traffic, 6) == [(9, 0, 2, 4, 19)]
    assert [len(o.data) for o in traffic.send(0, command(7, 4))] == [14]


def test_a_session_that_is_not_there_makes_no_clone(traffic: Switch) -> None:
    traffic.clone_session(5)
    assert seen(traffic, 6) == []
    traffic.clone_session(5, [(9, 0)])
    assert [o[0] for o in seen(traffic, 6)] == [9]


EXTERNS = v1model(
    types="struct note_t { bit<8> a; bit<48> b; bool c; }",
    states="state start { p.extract(h.ethernet); p.extract(h.small); transition accept; }",
    ingress_locals="""
        counter(4, CounterType.packets_and_bytes) seen;
        register<bit<48>>(4) last;
        register<note_t>(2) notes;
        meter(2, MeterType.packets) limit;
        direct_counter(CounterType.packets_and_bytes) per_entry;
        direct_meter<bit<8>>(MeterType.bytes) entry_limit;
        action set(bit<9> port) { s.egress_spec = port; per_entry.count(); entry_limit.read(m.x); }
        action miss() { per_entry.count(); }
        table t { key = { h.small.a: exact; } actions = { set; miss; } default_action = miss();
                  counters = per_entry; meters = entry_limit; support_timeout = true; }
    """,
    ingress="""
        seen.count((bit<32>)h.small.b); bit<48> before; last.read(before, (bit<32>)h.small.b);
        last.write((bit<32>)h.small.b, h.ethernet.dst); h.ethernet.src = before;
        note_t n = { h.small.a, h.ethernet.dst, true }; notes.write(0, n); notes.read(n, 0);
        bit<8> colour; limit.execute_meter(0, colour); h.small.c = 8w0 ++ colour;
        t.apply(); if (m.x != 0) { h.small.c[15:8] = m.x; }
        if (h.small.b == 2) { digest<note_t>(1, { n.a, n.b, false }); }
        log_msg("a={} dst={}", { h.small.a, h.ethernet.dst });
        if (h.small.b == 9) { assert(h.small.a != 0); }
    """,
)


@pytest.fixture
def externs() -> Iterator[Switch]:
    with Switch.from_text(EXTERNS) as switch:
        yield switch


def packet(a: int, b: int, dst: int = 0x0102030405FF) -> bytes:
    return struct.pack(">6s6sHBBH", dst.to_bytes(6, "big"), bytes(6), 0x800, a, b, 0)


def test_log_messages() -> None:
    """Numbers with their sign, headers and structs with their fields, as simple_switch has them."""
    program = v1model(
        ingress="""
            int<8> low = -128; int<64> wide = -1; bool yes = true;
            log_msg("{} {} {} {}", { low, wide, 8w200, yes });
            log_msg("h={} none={}", { h.small, h.stack[0] });
            log_msg("{} and {}", { error.NoError });
        """,
        states="state start { p.extract(h.small); transition accept; }",
    )
    with Switch.from_text(program) as switch:
        switch.send(0, bytes((1, 2, 3, 4)))
        assert switch.log().splitlines() == [
            "-128 -1 200 1", "h=(a:1,b:2,c:772) none=(a:0,b:0,c:0)", "0 and ",
        ]  # fmt: skip


def test_counters_and_registers(externs: Switch) -> None:
    externs.table("t").insert([7], "set", [3])
    assert [o.port for o in externs.send(0, packet(7, 1))] == [3]
    second = externs.send(0, packet(7, 1, dst=9))[0].data
    assert second[6:12].hex() == "0102030405ff"
    assert externs.counter("seen").read(1) == (2, 36)
    assert externs.register("last").read(1) == 9
    assert externs.register("notes").read(0) == (7, 9, 1)
    externs.send(0, packet(7, 200))  # beyond the end: counts nowhere, reads zero
    assert [externs.counter("seen").read(i)[0] for i in range(4)] == [0, 2, 0, 0]
    externs.register("last").write(1, "1:2:3:4:5:6")
    assert externs.send(0, packet(7, 1))[0].data[6:12].hex() == "010203040506"


def test_direct_counters_idle_time_and_default(externs: Switch) -> None:
    table = externs.table("t")
    entry = table.insert([7], "set", [3], idle_us=1000)
    for _ in range(3):
        externs.send(0, packet(7, 0), now_us=5)
    externs.send(0, packet(8, 0), now_us=6)
    assert table.counts(entry) == (3, 54)
    assert table.counts() == (1, 18)
    table.modify(entry, "set", [4])
    assert externs.send(0, packet(7, 0), now_us=1 << 60)[0].port == 4
    assert table.counts(entry) == (4, 72)
    assert table.idle() == []  # it was hit later than now


def test_meters_follow_the_packets_clock(externs: Switch) -> None:
    externs.meter("limit").configure(0, 1e6, 2, 2e6, 4)
    externs.table("t").insert([7], "set", [3])

    def colours(count: int, now: int) -> list[int]:
        return [externs.send(0, packet(7, 0), now_us=now)[0].data[17] for _ in range(count)]

    start = externs.now_us() + 10
    assert colours(6, start) == [0, 0, 1, 1, 2, 2]
    assert colours(3, start + 1) == [0, 1, 2]  # one token, two of the peak bucket
    assert colours(1, start + 1000) == [0]


def test_digests_and_log(externs: Switch) -> None:
    externs.send(0, packet(5, 2))
    assert externs.log() == f"a=5 dst={0x0102030405FF}\n"
    externs.send(0, packet(6, 3))
    assert externs.digests() == [("note_t", (5, 0x0102030405FF, 0))]
    assert externs.digests() == []


def test_a_failed_assertion_ends_the_packet_only(externs: Switch) -> None:
    assert externs.send(0, packet(0, 9)) == []
    assert externs.stats().failed_asserts == 1
    assert len(externs.send(0, packet(1, 9))) == 1


ALGORITHMS = (
    "crc32",
    "crc16",
    "csum16",
    "xor16",
    "identity",
    "xxh64",
    "crc16_custom",
    "crc32_custom",
)


def test_hashes() -> None:
    data = bytes(range(1, 15))
    fields = "".join(f"bit<64> r{i}; " for i in range(len(ALGORITHMS)))
    calls = "".join(
        f"hash(h.made.r{i}, HashAlgorithm.{a}, 64w0, {{ h.ethernet.dst, h.ethernet.src, "
        "h.ethernet.kind }, 64w0xffffffffffffffff);"
        for i, a in enumerate(ALGORITHMS)
    )
    plain = v1model(ingress="h.made.setValid();" + calls)
    text = plain.replace(
        "struct headers_t {", f"header made_t {{ {fields} }}\nstruct headers_t {{ made_t made;"
    )
    with Switch.from_text(text) as switch:
        switch.custom_crc(16, 0x1021, 0xFFFF, 0, False, False)  # CRC-16/CCITT-FALSE
        switch.custom_crc(32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, True, True)  # CRC-32C
        out = switch.send(0, data)[0].data
    got = dict(zip(ALGORITHMS, struct.unpack(f">{len(ALGORITHMS)}Q", out[:64]), strict=True))
    words = struct.unpack(">7H", data)
    total = sum(words)
    assert got["crc32"] == zlib.crc32(data)
    assert got["crc16_custom"] == binascii.crc_hqx(data, 0xFFFF)
    assert got["csum16"] == 0xFFFF - (total % 0xFFFF)
    xored = 0
    for word in words:
        xored ^= word
    assert got["xor16"] == xored
    assert got["identity"] == int.from_bytes(data[:8], "big")
    assert got["crc16"] == _bitwise(data, 0xA001, 0, 0)
    assert got["crc32_custom"] == _bitwise(data, 0x82F63B78, 0xFFFFFFFF, 0xFFFFFFFF)
    assert got["xxh64"] == XXH64_OF_1_TO_14


#: XXH64, seed 0, of the bytes 1..14, from the reference implementation.
XXH64_OF_1_TO_14 = 0x13CD7CED0C4AF679


def _bitwise(data: bytes, polynomial: int, crc: int, final: int) -> int:
    """A reflected CRC, one bit at a time."""
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ polynomial if crc & 1 else crc >> 1
    return crc ^ final


def test_selectors_and_profiles() -> None:
    program = v1model(
        states="state start { p.extract(h.ethernet); p.extract(h.small); transition accept; }",
        ingress_locals="""
            action_selector(HashAlgorithm.crc32, 64, 16) sel; action_profile(8) prof;
            action to(bit<9> port) { s.egress_spec = port; }
            action drop() { mark_to_drop(s); }
            table t { key = { h.small.a: exact; h.small.c: selector; } actions = { to; drop; }
                      default_action = drop(); implementation = sel; }
            table u { key = { h.small.b: exact; } actions = { to; } implementation = prof; }""",
        ingress="t.apply(); u.apply();",
    )

    def ports(switch: Switch, a: int) -> set[int]:
        sent = [switch.send(0, packet(a, 0)[:16] + struct.pack(">H", c)) for c in range(200)]
        return {o.port for outputs in sent for o in outputs}

    with Switch.from_text(program) as switch:
        selector = switch.profile("sel")
        for member in (10, 20, 30):
            selector.set_member(member, "to", [member])
        selector.set_group(1, [10, 20])
        switch.table("t").insert([5], group=1)
        switch.table("t").insert([6], member=30)
        assert ports(switch, 5) == {10, 20}
        assert ports(switch, 6) == {30}
        assert ports(switch, 7) == set()
        selector.set_group(1, [30])
        assert ports(switch, 5) == {30}
        selector.set_member(30, "to", [31])
        assert ports(switch, 5) == ports(switch, 6) == {31}
        selector.set_group(1, [])
        assert ports(switch, 5) == {0}  # an empty group does nothing
        with pytest.raises(ControlError, match="in group"):
            selector.set_group(1, [10])
            selector.remove_member(10)
        with pytest.raises(ControlError, match="need an action selector"):
            switch.profile("prof").set_group(1, [])


def test_value_sets() -> None:
    program = v1model(
        parser_locals="value_set<bit<16>>(4) kinds;",
        states="state start { p.extract(h.ethernet); transition select(h.ethernet.kind) {"
        " kinds: small; default: accept; } } state small { p.extract(h.small); transition accept; }",
        ingress="if (h.small.isValid()) { s.egress_spec = 7; }",
    )
    with Switch.from_text(program) as switch:

        def port(kind: int) -> int:
            return switch.send(0, bytes(12) + struct.pack(">H", kind) + bytes(4))[0].port

        assert port(5) == 0
        switch.value_set("kinds").set([5, 6])
        assert [port(5), port(6), port(7)] == [7, 7, 0]
        switch.value_set("kinds").set([7])
        assert [port(5), port(7)] == [0, 7]
        with pytest.raises(ControlError, match="holds 4"):
            switch.value_set("kinds").set([1, 2, 3, 4, 5])


def test_endless_programs_are_given_up() -> None:
    program = v1model(
        states="state start { transition select(m.x) { 1: accept; default: start; } }",
        ingress="for (;true;) { m.x = m.x + 1; }",
    )
    with Switch.from_text(program) as switch:
        assert switch.send(0, bytes(64)) == []
        assert switch.stats().overruns == 1


def test_control_errors_name_the_thing(externs: Switch) -> None:
    table = externs.table("t")
    for call, message in (
        (lambda: externs.table("nope"), "no table 'nope'"),
        (lambda: table.insert([1], "nope"), "no action of table I.t 'nope'"),
        (lambda: table.insert([300], "set", [1]), "does not fit into 8 bits"),
        (lambda: table.insert([1], "set", [600]), "set.port: 600 does not fit into 9 bits"),
        (lambda: table.insert([1], "set"), "takes 1 arguments"),
        (lambda: table.insert([], "set", [1]), "has 1 keys"),
        (lambda: table.insert({"x": 1}, "set", [1]), "no key of table I.t 'x'"),
        (lambda: externs.counter("seen").read(4), "cells 0..3"),
        (lambda: externs.multicast(0, []), "group 0"),
        (lambda: externs.multicast(70000, [(1, 0)]), "out of range"),
    ):
        with pytest.raises(ControlError, match=message):
            call()
    table.insert([1], "set", [1])
    with pytest.raises(ControlError, match="already"):
        table.insert([1], "miss")


def test_other_architectures_are_refused_by_name() -> None:
    from weft.p4.compiler import compile_text

    program = compile_text(
        "parser P(); package Mine(P p); parser Q() { state start { transition accept; } }"
        " Mine(Q()) main;"
    )
    with pytest.raises(CodegenError, match="V1Switch"):
        Switch(program)
