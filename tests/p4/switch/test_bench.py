"""`weft bench p4` measures what it says; the figures themselves are nobody's test."""

from __future__ import annotations

from weft.bench import p4 as bench
from weft.p4.switch import Switch
from weft.p4.switch.stf import run_file


def test_one_program() -> None:
    program = next(p for p in bench.programs() if p.stem == "router")
    test = program.with_suffix(".stf")
    with Switch.load(program) as switch:
        run_file(switch, test)
        port, packet = bench.sample(test)
        before = switch.stats()
        assert len(switch.send(port, packet)) == 1  # a packet that is forwarded, not a drop
        assert bench.rate(switch, port, packet, rounds=2, seconds=0.001) > 0
        assert switch.stats().sent - before.sent >= 20_001
    assert bench.first_packet(program) > 0


def test_rows_hold_what_they_promise() -> None:
    good = bench.Row("router", {64: 3e6, 256: 2.1e6}, 1.0)
    slow = bench.Row("router", {64: 3e6, 256: 1.9e6}, 1.0)
    late = bench.Row("vxlan", {64: 6e5}, 4.0)
    assert [r.holds for r in (good, slow, late)] == [True, False, False]
    title, columns, cells = bench.table([good, slow])
    assert title
    assert {len(columns)} == {len(row) for row in cells}
    assert [row[-1] for row in cells] == ["yes", "NO"]
