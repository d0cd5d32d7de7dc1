"""Errors of scenario files name file, line and key, and come before anything runs."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.emulation import Scenario, ScenarioError, units
from weft.emulation.document import Document

GOOD = """\
seed = 3

[fabric]
kind = "leaf_spine"
leaves = 2
spines = 2
hosts_per_leaf = 2

[fabric.queue]
capacity = "100kB"

[[workload]]
pattern = "permutation"
size = "1MB"

[[workload]]
pattern = "messages"
messages = [{ source = 0, destination = 3, size = "2kB", start = "5us" }]

[transport]
paths = 8
congestion = { name = "swift", base_target_us = 30 }

[[events]]
at = "10us"
link = ["leaf0", "spine1"]
action = "rate"
value = "10Gbit/s"
for = "1ms"
"""


def parse(text: str) -> Scenario:
    return Scenario.of(Document.parse(text, "file.toml"))


def test_every_key_arrives() -> None:
    scenario = parse(GOOD)
    assert scenario.seed == 3
    assert scenario.topology.hosts == 4
    assert scenario.queues.capacity == 100_000
    assert scenario.transport.paths == 8
    assert scenario.transport.congestion.parameters == {"base_target_us": 30.0}
    assert len(scenario.workload) == 5
    assert scenario.workload.start[4] == pytest.approx(5e-6)
    assert scenario.workload.names == ["permutation", "messages"]
    assert scenario.events[0].lasts == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("leaves = 2", "leafs = 2", "5: fabric.leafs: is not a known key; did you mean 'leaves'?"),
        ("leaves = 2", "leaves = 0", "5: fabric.leaves: must lie in 1 .. 1048576, not 0"),
        ("leaves = 2", 'leaves = "2"', "5: fabric.leaves: must be an integer, not '2'"),
        ('"100kB"', '"100kb"', "10: fabric.queue.capacity: '100kb' has no unit that fits"),
        ('"leaf_spine"', '"leafspine"', "4: fabric.kind: 'leafspine' is not known; did you mean"),
        ('"permutation"', '"permute"', "13: workload[0].pattern: 'permute' is not known"),
        ("destination = 3", "destination = 9", "17: workload[1].pattern: names host 9, but the"),
        ('name = "swift"', 'name = "swft"', "22: transport.congestion.name: 'swft' is not known"),
        ("paths = 8", "paths = 5000", "21: transport.paths: must lie in 1 .. 4096, not 5000"),
        ('"spine1"]', '"spine7"]', "27: events[0].action: there is no node 'spine7'"),
        ('action = "rate"', 'action = "burn"', "27: events[0].action: a link cannot 'burn'"),
        ('"10Gbit/s"', '"-1"', "27: events[0].action: '-1' is not a number with a unit"),
        ('"1MB"', "-5", "14: workload[0].size: a size must not be negative, not -5"),
    ],
)
def test_mistakes_are_named_with_file_line_and_key(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(ScenarioError) as caught:
        parse(GOOD.replace(old, new))
    assert str(caught.value).startswith(f"file.toml:{message}")


def test_text_that_is_not_toml_is_named() -> None:
    with pytest.raises(ScenarioError, match=r"file\.toml: not valid TOML"):
        parse("seed = = 3")


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ScenarioError, match=re.escape("fabric.kind: is missing")):
        parse("seed = 1")
    with pytest.raises(ScenarioError, match="workload: is missing"):
        parse('[fabric]\nkind = "dumbbell"')


@given(st.integers(0, 10**15), st.sampled_from(["B", "kB", "MB", "GB", "KiB", "MiB"]))
def test_sizes_keep_their_value(number: int, unit: str) -> None:
    factor = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20}[unit]
    size = units.size_in_bytes(f"{number} {unit}")
    assert abs(size - number * factor) <= number * factor * 1e-15


@given(st.text(max_size=12))
def test_no_text_makes_units_fail_otherwise_than_by_value_error(text: str) -> None:
    for parse_unit in (units.seconds, units.bits_per_second, units.size_in_bytes):
        try:
            assert parse_unit(text) >= 0
        except ValueError as error:
            assert str(error)


@given(st.text(max_size=200))
def test_no_text_makes_the_reader_fail_otherwise_than_by_scenario_error(text: str) -> None:
    with pytest.raises(ScenarioError):
        parse(text)
