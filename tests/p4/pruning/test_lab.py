"""Queries between real processes: workers and master on hosts of a lab, the switch between them."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest
from pruning_tables import QUERIES, TABLES, UNPUSHED, expected, rows

from weft.emulation.lab import LabError
from weft.p4.pruning import Connection, Wires, connect, wire
from weft.p4.pruning.lab import LabCluster

pytestmark = pytest.mark.xdist_group("pruning-lab")  # which come up once
WORKERS = 3
DILATION = 100.0  # the links then have 100 Mbit/s: enough for the tests' small tables


def lab_of(wires: Wires) -> Connection:
    try:
        return connect(TABLES, workers=WORKERS, wires=wires, lab=DILATION)
    except LabError as problem:
        if "refused" in str(problem) or "unshare" in str(problem):
            pytest.skip(f"no lab on this machine: {problem}")
        raise


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with lab_of(Wires()) as made:
        yield made


@pytest.fixture(scope="module")
def bad() -> Iterator[Connection]:
    """Packets are lost, copied and overtaken on every link."""
    with lab_of(Wires(loss=0.02, duplicate=0.02, jitter_us=200.0)) as made:
        yield made


def cluster(connection: Connection) -> LabCluster:
    found = connection.cluster
    assert isinstance(found, LabCluster)
    return found


@pytest.mark.parametrize("name", QUERIES)
def test_the_answer_is_the_same(connection: Connection, name: str) -> None:
    answer = connection.sql(QUERIES[name], push=True)
    assert rows(answer.table) == expected(QUERIES[name])
    assert bool(answer.report.pushed) == (name not in UNPUSHED)
    assert answer.report.elapsed_us > 0


def test_the_switch_saves_bytes_on_the_wire(connection: Connection) -> None:
    with_, without = (connection.sql(QUERIES["distinct"], push=p) for p in (True, False))
    assert with_.report.bytes_to_master < without.report.bytes_to_master
    assert with_.report.prepare_s > 0
    # What is said to have come without the switch is what did, but for headers.
    assert without.report.bytes_to_master > without.report.bytes_without
    assert not any(connection.refused().values())


def test_queries_side_by_side(connection: Connection) -> None:
    names = ["distinct", "max", "top", "join", "having sum"]
    answers = connection.sql_together([QUERIES[n] for n in names], push=True)
    for name, answer in zip(names, answers, strict=True):
        assert rows(answer.table) == expected(QUERIES[name])
        assert answer.report.pushed


@pytest.mark.parametrize("name", ["distinct", "top", "max of text", "having count", "join"])
def test_a_bad_network_changes_no_answer(bad: Connection, name: str) -> None:
    answer = bad.sql(QUERIES[name], push=True)
    assert rows(answer.table) == expected(QUERIES[name])
    assert answer.report.resent > 0


@pytest.mark.parametrize("name", ["distinct", "join"])
def test_a_switch_that_restarts_in_mid_query_changes_no_answer(bad: Connection, name: str) -> None:
    answer = bad.sql(QUERIES[name], push=True, restart_at_us=100.0)
    assert rows(answer.table) == expected(QUERIES[name])


def test_forged_packets_are_counted_and_dropped(connection: Connection) -> None:
    """Frames that a host sends in another's name, and acknowledgements that no host may give."""
    lab, switch = cluster(connection).lab, cluster(connection).switch
    before = connection.refused()
    stream = wire.Stream(switch.workers[0].address, switch.master.address, 7, 7, 0, 0)
    back = dataclasses.replace(
        stream, source=switch.master.address, target=switch.workers[0].address
    )
    version = bytearray(wire.encode(stream, wire.EOS, 1))
    version[wire.BELOW] = 9
    frames = [
        wire.encode(stream, wire.EOS, 1),  # of worker 0, sent by worker 1
        wire.encode(back, wire.ACK, 1),
        wire.encode(back, wire.RECEIPT, 1),
        bytes(version),
    ]
    with lab.hosts[1].socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as made:
        made.bind(("eth0", 0x0800))
        for frame in frames:
            made.send(frame)
    end = time.monotonic() + 10
    while sum(connection.refused().values()) < sum(before.values()) + 4:
        assert time.monotonic() < end, connection.refused()
        time.sleep(0.02)
    after = connection.refused()
    assert after["wrong version"] == before["wrong version"] + 1
    assert after["wrong sender"] == before["wrong sender"] + 3
    assert rows(connection.sql(QUERIES["top"], push=True).table) == expected(QUERIES["top"])


def test_a_worker_that_dies_is_named_at_once() -> None:
    with lab_of(Wires()) as connection:
        os.kill(cluster(connection).processes[1].pid, signal.SIGKILL)
        with pytest.raises(LabError, match=r"process (on h1|of a worker)"):
            connection.sql(QUERIES["distinct"], push=True)


def test_what_cannot_be_is_said_first() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        connect(TABLES, workers=2, lab=0.5)
