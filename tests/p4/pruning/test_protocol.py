"""The protocol: all states of a small system, and both ends under fuzzed packets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.p4.pruning import Wires, connect, fetch, wire
from weft.p4.pruning.reliability import Receiver, Sender
from weft.p4.pruning.worker import Worker

# ------------------------------------------------------------------------------ model check


@dataclass(frozen=True)
class State:
    """Packets once sent stay in the network for ever: loss, copies and reordering at once."""

    acknowledged: frozenset[tuple[int, int]] = frozenset()  # (flow, sequence), known to the sender
    known: tuple[int, ...] = (1, 1)  # epoch by flow
    to_switch: frozenset[tuple[int, int, int]] = frozenset()  # (flow, sequence, epoch)
    to_master: frozenset[tuple[int, int]] = frozenset()
    acks: frozenset[tuple[int, int, int]] = frozenset()  # of the switch, with its epoch
    received: frozenset[tuple[int, int]] = frozenset()  # at the master, which sends receipts
    epoch: int = 1
    up: bool = True
    cells: tuple[int, ...] = (0, 0)  # of the sequence window (WINDOW is one cell per flow here)
    memory: int = 0  # of the operator: one cell


@dataclass(frozen=True)
class System:
    """One row per packet. The operator keeps one value: DISTINCT the last, TOP 1 the largest."""

    rows: tuple[tuple[int, ...], ...]
    operator: str
    flaw: str = ""

    def prunes(self, memory: int, value: int) -> bool:
        return memory == value if self.operator == "distinct" else memory >= value

    def right(self, received: frozenset[tuple[int, int]]) -> bool:
        everything = {v for row in self.rows for v in row}
        kept = {self.rows[f][s - 1] for f, s in received}
        return everything == kept if self.operator == "distinct" else max(everything) in kept

    def done(self, s: State) -> bool:
        return len(s.acknowledged) == sum(map(len, self.rows))

    def steps(self, s: State) -> Iterator[State]:
        for flow, rows in enumerate(self.rows):
            for sequence in range(1, len(rows) + 1):
                opened = sequence == 1 or (flow, sequence - 1) in s.acknowledged
                if opened and (flow, sequence) not in s.acknowledged:
                    packet = (flow, sequence, s.known[flow])
                    yield replace(s, to_switch=s.to_switch | {packet})
            if s.known[flow] < s.epoch and s.up:
                known = tuple(s.epoch if f == flow else e for f, e in enumerate(s.known))
                yield replace(s, known=known)
        for packet in s.to_switch:
            yield self.switch(s, *packet)
        for one in s.to_master - s.received:
            yield replace(s, received=s.received | {one})
        for one in s.received - s.acknowledged:
            yield replace(s, acknowledged=s.acknowledged | {one})
        for flow, sequence, epoch in s.acks:
            if epoch == s.known[flow] or self.flaw == "any ack counts":
                yield replace(s, acknowledged=s.acknowledged | {(flow, sequence)})
        if s.epoch == 1 and s.up:
            yield replace(s, up=False, cells=(0, 0), memory=0)
        if not s.up:
            same = self.flaw == "the epoch stays"
            yield replace(s, up=True, epoch=2, known=(2, 2) if same else s.known)

    def switch(self, s: State, flow: int, sequence: int, epoch: int) -> State:
        if s.up and epoch != s.epoch and self.flaw != "the epoch stays":
            return s  # counted and dropped
        fresh = sequence > s.cells[flow] or self.flaw == "all is fresh"
        if not s.up or not fresh:
            return replace(s, to_master=s.to_master | {(flow, sequence)})
        cells = tuple(sequence if f == flow else c for f, c in enumerate(s.cells))
        value = self.rows[flow][sequence - 1]
        if self.prunes(s.memory, value):
            return replace(s, cells=cells, acks=s.acks | {(flow, sequence, s.epoch)})
        passed = s.to_master | {(flow, sequence)}
        return replace(s, cells=cells, memory=value, to_master=passed)


def explore(system: System) -> tuple[int, State | None]:
    """How many states there are, and one in which all is acknowledged and the answer is wrong."""
    first = State()
    seen, frontier = {first}, [first]
    while frontier:
        state = frontier.pop()
        if system.done(state) and not system.right(state.received):
            return len(seen), state
        for after in system.steps(state):
            if after not in seen:
                seen.add(after)
                frontier.append(after)
    return len(seen), None


@pytest.mark.parametrize("operator", ["distinct", "top 1"])
@pytest.mark.parametrize("rows", [((5, 7), (5,)), ((7, 5), (7,)), ((7,), (7,))])
def test_every_state_of_a_small_system_is_right(
    operator: str, rows: tuple[tuple[int, ...], ...]
) -> None:
    states, wrong = explore(System(rows, operator))
    assert wrong is None
    assert states > 500


@pytest.mark.parametrize("flaw", ["all is fresh", "the epoch stays", "any ack counts"])
def test_the_search_finds_what_each_rule_is_for(flaw: str) -> None:
    assert any(
        explore(System(rows, operator, flaw))[1] is not None
        for operator in ("distinct", "top 1")
        for rows in (((7,), (7,)), ((7, 5), (7,)))
    )


# ------------------------------------------------------------------------------- both ends


def test_a_window_needs_no_order_and_go_back_n_does() -> None:
    """Delays that reorder: the window re-sends nothing, the paper's rule most of the stream."""
    rng = np.random.default_rng(1)
    table = pa.table({"k": rng.integers(0, 50, 8000)})
    resent = {}
    for go_back_n in (False, True):
        wires = Wires(jitter_us=20)
        with connect({"t": table}, workers=2, wires=wires, go_back_n=go_back_n) as connection:
            answer = connection.sql("SELECT DISTINCT k FROM t", push=True)
        assert sorted(answer.table["k"].to_pylist()) == list(range(50))
        resent[go_back_n] = answer.report.resent / answer.report.packets
    assert resent[False] == 0
    assert resent[True] > 0.3


def decoded(frame: bytes) -> wire.Packet:
    return wire.decode(frame)[1]


def stream(**changed: int) -> wire.Stream:
    numbers = {"query": 3, "epoch": 1, "phase": 0, "flow": 7} | changed
    return wire.Stream(wire.Address(1), wire.Address(250), **numbers)


def test_a_sender_keeps_its_window_and_its_end() -> None:
    bodies = [(1, bytes(16))] * 100
    sender = Sender(stream(), bodies, timeout_us=10, window=8)
    assert len(sender.poll(0)) == 8
    assert sender.poll(5) == []
    assert sender.wake() == 10
    sender.on_frame(decoded(wire.encode(stream(), wire.ACK, 3)))
    assert sender.poll(6) == []  # the lowest is still open
    for foreign in ({"query": 4}, {"flow": 8}, {"phase": 1}):
        sender.on_frame(decoded(wire.encode(stream(**foreign), wire.ACK, 1)))
    sender.on_frame(decoded(wire.encode(stream(epoch=9), wire.ACK, 1)))
    assert sender.poll(7) == []
    sender.on_frame(decoded(wire.encode(stream(epoch=9), wire.RECEIPT, 1)))
    assert [decoded(f).sequence for f in sender.poll(8)] == [9]
    late = [decoded(f).sequence for f in sender.poll(12)]
    assert late == [2, 4, 5, 6, 7, 8]
    assert sender.poll(13) == []
    now = 13.0
    while not sender.done:
        for number in range(1, 102):
            sender.on_frame(decoded(wire.encode(stream(), wire.ACK, number)))
        now += 1
        frames = [decoded(f) for f in sender.poll(now)]
        ends = [f for f in frames if f.kind == wire.EOS]
        assert all(f.sequence == 101 for f in ends)
        assert not ends or len(frames) == 1
    with pytest.raises(ValueError, match="1 to 64"):
        Sender(stream(), [], window=65)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 255))
def test_the_master_survives_any_bytes(noise: bytes, place: int, value: int) -> None:
    """Noise, and whole packets with one byte changed: refused or understood, never an exception."""
    receiver = Receiver(wire.Address(250), 3, 1, {7: wire.Address(1)})
    body = wire.lay_out(np.arange(5, dtype=np.uint32), np.ones((5, 3), np.uint32), np.arange(5))[0]
    good = wire.encode(stream(), wire.DATA, 1, *body)
    bent = bytearray(good)
    bent[place % len(bent)] = value
    for frame in (noise, good + noise, bytes(bent), good[: place % len(good)]):
        answer = receiver.on_frame(frame)
        assert answer is None or decoded(answer).kind == wire.RECEIPT
        assert set(receiver.survivors) <= {7}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 255))
def test_a_worker_survives_any_bytes(noise: bytes, place: int, value: int) -> None:
    """What does not acknowledge one of its own open packets changes nothing."""
    sender = Sender(stream(), [(1, bytes(16))] * 3)
    sender.poll(0)
    bent = bytearray(wire.encode(stream(), wire.RECEIPT, 2))
    bent[place % len(bent)] = value
    for message in (noise, bytes(bent)[wire.BELOW :]):
        try:
            packet = wire.decode_message(message)
        except wire.WireError:
            continue
        sender.on_frame(packet)
    assert not sender.done
    assert {decoded(f).sequence for f in sender.poll(2000)} >= {1, 3}


def test_the_master_refuses_what_is_not_of_its_query_now() -> None:
    receiver = Receiver(wire.Address(250), 3, 1, {7: wire.Address(1)})
    rows = wire.lay_out(np.arange(1, dtype=np.uint32), np.ones((1, 3), np.uint32), np.zeros(1, int))
    refused: list[dict[str, object]] = [
        {"query": 4}, {"epoch": 2}, {"flow": 8}, {"source": wire.Address(2)}
    ]  # fmt: skip
    for changed in refused:
        forged = replace(stream(), **changed)  # type: ignore[arg-type]
        assert receiver.on_frame(wire.encode(forged, wire.DATA, 1, *rows[0])) is None
    assert receiver.on_frame(wire.encode(stream(), wire.ACK, 1)) is None
    assert (receiver.refused, receiver.survivors) == (5, {})
    receiver.new_epoch(2)
    assert receiver.on_frame(wire.encode(stream(), wire.DATA, 1, *rows[0])) is None
    assert receiver.on_frame(wire.encode(stream(epoch=2), wire.DATA, 1, *rows[0])) is not None
    assert receiver.survivors == {7: {0}}


# -------------------------------------------------------------------------------- fetching

WORKER = Worker({"t": pa.table({"k": [1, 2, 3], "v": ["a", "b", "c"]})})
WORKER.choose(1, "t", None)
ASKED = fetch.Request("secret", 1, "t", ("v",), "all")
NO_IDS = pa.table({"id": pa.array([], pa.int64())})


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=100),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
                st.sampled_from(["token", "run", "table", "columns", "how", "x"]), inner,
                max_size=6,
            ),
            max_leaves=12,
        ).map(lambda value: json.dumps(value).encode()),
        st.tuples(st.integers(0, 90), st.integers(0, 255)).map(
            lambda change: ASKED.encode()[: change[0]] + bytes([change[1]])
            + ASKED.encode()[change[0] + 1 :]
        ),
    )
)  # fmt: skip
def test_a_shelf_survives_any_request(text: bytes) -> None:
    try:
        found = fetch.answer(WORKER, "secret", text, NO_IDS)
    except fetch.RequestError:
        return
    assert json.loads(text)["token"] == "secret"
    assert len(found) <= 3


@pytest.mark.parametrize(
    ("changed", "given", "says"),
    [
        ({"token": "guess"}, NO_IDS, "wrong token"),
        ({"table": "u"}, NO_IDS, "no table u"),
        ({"columns": ("v", "w")}, NO_IDS, "no table t with columns v, w"),
        ({"run": 9}, NO_IDS, "run 9 asked nothing"),
        ({"how": "survivors"}, pa.table({"id": [3]}), "rows 0..2"),
        ({"how": "survivors"}, pa.table({"id": [-1]}), "rows 0..2"),
        ({"how": "survivors"}, pa.table({"id": ["x"]}), "one column of integers"),
        ({"how": "restrict"}, pa.table({"id": [3]}), "rows 0..2"),
        ({"how": "restrict"}, pa.table({"id": [1]}), "run 1 asked nothing"),
        ({"how": "keyed"}, pa.table({"z": [1]}), "no keys"),
    ],
)
def test_what_a_shelf_refuses(changed: dict[str, object], given: pa.Table, says: str) -> None:
    request = replace(ASKED, **changed)  # type: ignore[arg-type]
    with pytest.raises(fetch.RequestError, match=says):
        fetch.answer(WORKER, "secret", request.encode(), given)
