"""A controller that programs its switch over P4Runtime: jobs, quotas, copies and counters, and a
switch that restarts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("grpc", reason="P4Runtime needs gRPC")

from weft.p4.aggregation import Jobs, Membership, NoRoom, Row, RuntimeChip, wire
from weft.p4.aggregation.control import place
from weft.p4.aggregation.jobs import PROGRAM
from weft.p4.aggregation.run import all_reduce
from weft.p4.star import Faults
from weft.p4.switch import Switch
from weft.p4.switch.names import ControlError
from weft.p4.switch.p4runtime import Server
from weft.p4.switch.p4runtime.client import Client
from weft.p4.switch.switch import Output

VALUES, CELLS = 32, 64
DEFINES = {"CELLS": str(CELLS), "VALUES": str(VALUES)}
ROUTES = (Row("ingress.routes", [(0x0A000107, 32)], "ingress.forward", [7]),)


class Remote:
    """A switch behind a P4Runtime server that can be switched off and on again."""

    def __init__(self) -> None:
        self.port = 0
        self.on()

    def on(self) -> None:
        """As it boots: no entries, some program."""
        self.server = Server(Switch.load(PROGRAM, defines=DEFINES))
        self.port = self.server.start(f"127.0.0.1:{self.port}")

    def off(self) -> None:
        self.server.stop()
        self.server.switch.close()

    def send(self, port: int, frame: bytes, now_us: int) -> list[Output]:
        return self.server.send(port, frame)


@pytest.fixture
def remote() -> Iterator[Remote]:
    made = Remote()
    yield made
    made.off()


@pytest.fixture
def client(remote: Remote) -> Iterator[Client]:
    with Client(f"127.0.0.1:{remote.port}") as made:
        yield made


@pytest.fixture
def jobs(client: Client) -> Jobs:
    chip = RuntimeChip(client, PROGRAM, DEFINES)
    own = place(0, wire.SWITCH_HOST)
    return Jobs(chip, own, values=VALUES, cells=CELLS, seed=1, fixed=ROUTES)


def admitted(jobs: Jobs, job: int, workers: int, slots: int) -> list[Membership]:
    grant = jobs.add(job, {w: place(1 + w, 1 + w) for w in range(workers)}, slots)
    return [Membership(job, grant.epoch, w, workers, slots, VALUES, 1 + w) for w in range(workers)]


def integers(workers: int, size: int) -> list[np.ndarray]:
    rng = np.random.default_rng(workers)
    return [rng.integers(-(2**24), 2**24, size).astype(np.int32) for _ in range(workers)]


def test_jobs_add_up_side_by_side_within_their_quotas(remote: Remote, jobs: Jobs) -> None:
    three, five = admitted(jobs, 1, 3, 8), admitted(jobs, 2, 5, 24)
    with pytest.raises(NoRoom, match="1 slots are wanted, 0 are free"):
        admitted(jobs, 3, 2, 1)
    faults = Faults(loss=0.02, duplicate=0.02, jitter_us=5)
    for members in (three, five):
        values = integers(len(members), 2000)
        outcome = all_reduce(remote.send, members, values, faults=faults)
        assert all((result == sum(values)).all() for result in outcome.results)
    jobs.remove(1)
    again = admitted(jobs, 3, 2, 8)
    values = integers(2, 500)
    assert (all_reduce(remote.send, again, values).results[0] == sum(values)).all()


def test_what_is_dropped_is_read(remote: Remote, jobs: Jobs) -> None:
    (member, _) = admitted(jobs, 1, 2, 1)
    header = wire.innet.Header()
    header.kind, header.values, header.round = wire.innet.Kind.ADD, VALUES, 1
    header.job, header.epoch = 1, member.epoch
    body = bytes(4 * VALUES)
    for field, value in (("epoch", member.epoch ^ 1), ("slot", 1), ("worker", 1)):
        kept = getattr(header, field)
        setattr(header, field, value)
        assert remote.send(1, wire.frame(bytes(wire.innet.encode(header)) + body, 1), 0) == []
        setattr(header, field, kept)
    refused = jobs.refused()
    assert (refused["member"], refused["quota"]) == (2, 1)


def test_a_switch_that_restarted_is_programmed_anew(remote: Remote) -> None:
    """All jobs are gone with it; the next one finds program, routes and all slots in place."""
    with Client(f"127.0.0.1:{remote.port}") as client:
        chip = RuntimeChip(client, PROGRAM, DEFINES)
        own = place(0, wire.SWITCH_HOST)
        jobs = Jobs(chip, own, values=VALUES, cells=CELLS, fixed=ROUTES)
        admitted(jobs, 1, 2, 32)
        assert not chip.restarted()
        remote.off()
        with pytest.raises(ControlError, match=r"P4Runtime at 127.0.0.1"):
            jobs.refused()
        remote.on()
        members = admitted(jobs, 2, 3, 32)
        values = integers(3, 700)
        outcome = all_reduce(remote.send, members, values)
        assert all((result == sum(values)).all() for result in outcome.results)
        plain = wire.frame(b"\0" * 30, 1, 7).replace(wire.PORT.to_bytes(2, "big"), b"\0\7")
        assert [output.port for output in remote.send(1, plain, 0)] == [7]


def test_errors_name_the_switch_and_the_call(client: Client) -> None:
    with pytest.raises(ControlError, match=r"has no ingress.nothing in tables"):
        client.insert("ingress.nothing", [1], "ingress.forward", [1])
    with pytest.raises(ControlError, match=r"Write: .*has this entry"):
        for _ in range(2):
            client.insert("ingress.routes", [(0x0A000101, 32)], "ingress.forward", [1])
    with pytest.raises(ControlError, match=r"SetForwardingPipelineConfig"):
        client.load("control {", 1)


def test_nobody_there_is_said_in_time() -> None:
    with pytest.raises(ControlError, match=r"127.0.0.1:9 did not make us device 1's primary"):
        Client("127.0.0.1:9")


def test_there_is_one_primary_controller(remote: Remote, client: Client) -> None:
    with pytest.raises(ControlError, match=r"has another a higher election id"):
        Client(f"127.0.0.1:{remote.port}", election=0)
    assert client.cookie() == 0
