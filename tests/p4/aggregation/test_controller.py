"""The talk between a group and the controller of a switch: proved in both directions, and deaf to
all else. (tests/p4/aggregation/test_lab.py has groups that are granted slots.)"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import ranks
import weft_wire
from hypothesis import example, given, settings
from hypothesis import strategies as st

from weft.collectives import Communicator
from weft.p4.aggregation import AggregationSwitch, Controller
from weft.p4.aggregation.control import place
from weft.p4.aggregation.controller import Caller, RefusedRequest, Request

SECRET, OTHER = "of this group", "of another"
DEADLINE = 20.0


def proof(secret: str, speaker: str, nonce: str, caller_nonce: str, line: str) -> str:
    """A second time, from docs/innet.md: SipHash of who speaks, both nonces, and the line."""
    words = f"{speaker} {nonce} {caller_nonce} {line}".encode()
    return f"{weft_wire.siphash(weft_wire.derive_key(secret, 'innt'), words):016x}"


@pytest.fixture(scope="module")
def switch() -> Iterator[AggregationSwitch]:
    made = AggregationSwitch()
    yield made
    made.close()


@pytest.fixture
def controller(switch: AggregationSwitch) -> Iterator[Controller]:
    listener = socket.create_server(("127.0.0.1", 0))
    local = place(1, 1)
    hosts = {"127.0.0.1": type(local)(local.port, local.mac, "127.0.0.1")}
    with Controller(switch.jobs, hosts, listener, ["somebody else's", SECRET]) as made:
        yield made


class RankZero:
    """A group's rank 0 by hand."""

    def __init__(self, controller: Controller, secret: str = SECRET) -> None:
        host, port = controller.address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=DEADLINE)
        self.secret, self.own = secret, "00000000000000aa"
        self.file = self.socket.makefile("rb")
        greeting, _, self.nonce = self.file.readline().decode().rstrip("\n").rpartition(" nonce=")
        assert greeting == "weft-controller" and len(self.nonce) == 16

    def request(self, workers: str = "127.0.0.1:5000,127.0.0.1:5001", version: int = 3) -> str:
        line = f"weft-innet {version} slots=8 workers={workers} nonce={self.own}"
        return f"{line} proof={proof(self.secret, 'caller', self.nonce, self.own, line)}\n"

    def ask(self, request: str) -> str:
        """The controller's answer, whose proof is right."""
        self.socket.sendall(request.encode())
        answer, _, proved = self.file.readline().decode().rstrip("\n").rpartition(" proof=")
        assert proved == proof(self.secret, "controller", self.nonce, self.own, answer)
        return answer

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture
def call(controller: Controller) -> Iterator[Callable[..., RankZero]]:
    made: list[RankZero] = []

    def caller(secret: str = SECRET) -> RankZero:
        made.append(RankZero(controller, secret))
        return made[-1]

    yield caller
    for each in made:
        each.close()


def test_who_knows_the_secret_gets_slots(call: Callable[..., RankZero]) -> None:
    caller = call()
    answer = caller.ask(caller.request())
    assert answer.startswith("granted job=") and "slots=8 values=256 switch=" in answer


def test_a_forged_proof_gets_nothing(controller: Controller, call: Callable[..., RankZero]) -> None:
    """Whoever lacks the secret can prove nothing, nor check what he is told."""
    caller = call(OTHER)
    caller.socket.sendall(caller.request().encode())
    assert caller.file.readline().startswith(b"refused the controller knows no such secret proof=")
    assert controller.refused == {"proof": 1}
    assert not controller.jobs._jobs


def test_what_was_said_before_is_worth_nothing_again(
    controller: Controller, call: Callable[..., RankZero]
) -> None:
    overheard = call()
    request = overheard.request()
    overheard.ask(request)
    replayed = call()
    replayed.socket.sendall(request.encode())
    assert replayed.file.readline().startswith(b"refused the controller knows no such secret")
    assert controller.refused == {"proof": 1}
    assert len(controller.jobs._jobs) == 1


def test_a_request_that_was_changed_on_the_way_gets_nothing(
    controller: Controller, call: Callable[..., RankZero]
) -> None:
    caller = call()
    caller.socket.sendall(caller.request().replace("slots=8", "slots=9").encode())
    assert caller.file.readline().startswith(b"refused the controller knows no such secret")
    assert controller.refused == {"proof": 1}


def test_a_request_that_breaks_off_is_counted(
    controller: Controller, call: Callable[..., RankZero]
) -> None:
    caller = call()
    caller.socket.sendall(caller.request()[:-10].encode())
    caller.socket.shutdown(socket.SHUT_WR)
    assert caller.file.readline().startswith(b"refused the request broke off")
    assert controller.refused == {"truncated": 1}


@pytest.mark.parametrize(
    ("request_", "said", "kind"),
    [
        ({"workers": "127.0.0.1:5000,10.9.9.9:1"}, "10.9.9.9 is not at this switch", "stranger"),
        ({"workers": "127.0.0.1:0"}, "127.0.0.1:0 is no address and port", "malformed"),
        ({"workers": "127.0.0.1"}, "127.0.0.1 is no address and port", "malformed"),
        ({"workers": ",".join(["127.0.0.1:1"] * 33)}, "33 workers are more than 32", "malformed"),
        ({"version": 9}, "version 9 is not the switch's, 3", "version"),
    ],
)
def test_wrong_requests_are_told_why(
    controller: Controller, call: Callable[..., RankZero],
    request_: dict[str, object], said: str, kind: str,
) -> None:  # fmt: skip
    caller = call()
    assert caller.ask(caller.request(**request_)) == f"refused {said}"  # type: ignore[arg-type]
    assert controller.refused == {kind: 1}
    assert not controller.jobs._jobs


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 200), st.binary(min_size=1, max_size=3))
@example(b"\n", 0, b"\n")
def test_no_bytes_but_a_proved_request_are_one(noise: bytes, at: int, piece: bytes) -> None:
    nonce, own = "0" * 16, "0" * 15 + "1"
    line = f"weft-innet 3 slots=8 workers=10.0.0.1:1,10.0.0.2:2 nonce={own}"
    right = f"{line} proof={proof(SECRET, 'caller', nonce, own, line)}\n".encode()
    parsed = Request.parse(Caller.prove(right, 0, [OTHER, SECRET]).line)
    assert parsed.workers == {0: ("10.0.0.1", 1), 1: ("10.0.0.2", 2)} and parsed.slots == 8
    bent = right[: at % len(right)] + piece + right[at % len(right) + len(piece) :]
    for wrong in {noise, bent, right[: at % len(right)], right + noise, noise + right} - {right}:
        with pytest.raises(RefusedRequest):
            Caller.prove(wrong, 0, [SECRET])


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=120), st.from_regex(r"\d{0,6} slots=\d{0,6} workers=[0-9.:,]{0,60}"))
def test_any_proved_line_is_a_request_or_refused(noise: str, likely: str) -> None:
    for line in (noise, f"weft-innet {likely} nonce=00", f"weft-innet 3 slots=1 workers={noise}"):
        try:
            parsed = Request.parse(line)
        except RefusedRequest:
            continue
        assert 1 <= len(parsed.workers) <= 32 and parsed.slots >= 1
        assert all(0 < port <= 0xFFFF for _, port in parsed.workers.values())


# ---------------------------------------------------------------- the group's part


def added(group: Communicator) -> tuple[float, str]:
    data = np.full(5000, group.rank + 1.0, np.float32)
    group.all_reduce(data, algorithm="innet")
    return float(data[17]), group.explain("all_reduce", 20_000_000)["innet"]


class Impostor:
    """Listens where a controller should, and answers each caller with the same lines."""

    def __init__(self, answer: Callable[[str], bytes]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self.listener.getsockname())
        self.answer = answer
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self.listener.accept()
            except OSError:
                return
            with caller, caller.makefile("rb") as file:
                caller.settimeout(DEADLINE)
                caller.sendall(b"weft-controller nonce=00000000000000ff\n")
                caller.sendall(self.answer(file.readline().decode().rstrip("\n")))

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(DEADLINE)


GRANT = "granted job=1 epoch=5 slots=8 values=256 switch=127.0.0.1:22353"


def proved(secret: str, line: str) -> Callable[[str], bytes]:
    def answer(request: str) -> bytes:
        own = request.rpartition(" nonce=")[2].partition(" ")[0]
        proof_ = proof(secret, "controller", "0" * 14 + "ff", own, line)
        return f"{line} proof={proof_}\n".encode()

    return answer


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (proved(OTHER, GRANT), "the controller does not know this group's secret (WEFT_SECRET)"),
        (lambda _: GRANT.encode() + b"\n",
         "the controller does not know this group's secret (WEFT_SECRET)"),
        (proved(SECRET, "granted job=1 epoch=5"), "the controller's answer makes no sense"),
        (proved(SECRET, "refused all slots are out"), "all slots are out"),
        (lambda _: b"granted", "no controller answers at {address}"),
    ],
    ids=["forged", "unproved", "nonsense", "refusal", "truncated"],
)  # fmt: skip
def test_a_group_takes_no_grant_that_is_not_proved(
    answer: Callable[[str], bytes], why: str
) -> None:
    impostor = Impostor(answer)
    try:
        options = {"algorithms": {"innet": impostor.address}}
        found = ranks.run(2, added, group=options, context=lambda _: {"secret": SECRET})
    finally:
        impostor.close()
    for value, said in found:
        assert value == 3.0
        assert said == "refused: " + why.format(address=impostor.address)
