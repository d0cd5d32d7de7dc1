"""A peer that is not Weft: speaks its wire format (weft_wire.py, docs/protocol.md, docs/rdma.md)
through pyverbs, linux-rdma's own binding; runs in a machine.

`pyverbs_peer.py SPEC`, SPEC in JSON: address (of a Weft context, hex), secret, lanes. Calls that
context; then sends a small message (tag 7) and a large one (tag 8), which the device writes into
place, and receives a small (tag 9) and a large one (tag 10). Prints one JSON object: digests of
what came, and how.
"""

from __future__ import annotations

import hashlib
import json
import random
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyverbs.enums as e
from pyverbs.addr import AH, AHAttr, GlobalRoute
from pyverbs.cq import CQ
from pyverbs.device import Context
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.qp import QP, QPAttr, QPCap, QPInitAttr
from pyverbs.wr import SGE, RecvWR, SendWR
from weft_wire import (
    CONTROL_KEY,
    EAGER,
    GRH,
    NO_LANE,
    UC,
    WANTS_GRANT,
    Address,
    Card,
    Descriptor,
    Immediate,
    Kind,
    Note,
    NoteKind,
    Packet,
    Prefix,
    RailCard,
    Side,
    derive_key,
    prove,
)  # fmt: skip

DEADLINE = 60.0
RECEIVES, CONTROL_BYTES, LANE_BYTES = 64, 4096 + 256, 40_000
PATIENCE = 0.5
"""Seconds until a packet that nobody acknowledged is sent again."""
EAGER_LIMIT = 64 << 10
SMALL, LARGE = 1000, (1 << 20) + 123


class Pair:
    """A queue pair with buffers for what it receives and sends."""

    def __init__(self, device: Device, kind: int, size: int) -> None:
        cap = QPCap(max_send_wr=256, max_recv_wr=RECEIVES, max_send_sge=1, max_recv_sge=1)
        init = QPInitAttr(qp_type=kind, scq=device.cq, rcq=device.cq, cap=cap)
        self.qp = QP(device.pd, init)
        self.device, self.size = device, size
        self.memory = MR(device.pd, RECEIVES * size, e.IBV_ACCESS_LOCAL_WRITE)
        self.outgoing = MR(device.pd, 64 * size, e.IBV_ACCESS_LOCAL_WRITE)
        self._sent = 0

    @property
    def number(self) -> int:
        return int(self.qp.qp_num)

    def post_receive(self, index: int) -> None:
        place = SGE(self.memory.buf + index * self.size, self.size, self.memory.lkey)
        self.qp.post_recv(RecvWR(wr_id=index, num_sge=1, sg=[place]))

    def received(self, index: int, length: int) -> bytes:
        data = bytes(self.memory.read(length, index * self.size))
        self.post_receive(index)
        return data

    def place(self, data: bytes) -> SGE:
        """Room for what is sent: 64 places in turn, which is more than are ever under way."""
        at = self._sent % 64 * self.size
        self._sent += 1
        self.outgoing.write(data, len(data), at)
        return SGE(self.outgoing.buf + at, len(data), self.outgoing.lkey)


class Device:
    """The first device's first port, by its IPv4 address."""

    def __init__(self) -> None:
        self.context = Context(name="rxe0")
        self.pd, self.cq = PD(self.context), CQ(self.context, 4096)
        self.mtu = self.context.query_port(1).active_mtu
        for index in range(16):
            gid = bytes.fromhex(self.context.query_gid(1, index).gid.replace(":", ""))
            if gid[:12] == bytes(10) + b"\xff\xff":
                self.gid, self.gid_index = gid, index
                return
        raise SystemExit("no GID of an IPv4 address")

    def route(self, gid: bytes) -> AHAttr:
        text = ":".join(gid[i : i + 2].hex() for i in range(0, 16, 2))
        grh = GlobalRoute(dgid=gid_of(text), sgid_index=self.gid_index, hop_limit=64)
        return AHAttr(gr=grh, is_global=1, port_num=1)


def gid_of(text: str) -> Any:
    from pyverbs.addr import GID

    return GID(text)


@dataclass
class Incoming:
    """A message that comes in: into `memory`, once we have granted it."""

    size: int
    tag: int
    data: bytearray
    memory: MR | None = None
    got: set[int] = field(default_factory=set)
    highest: int = 0
    written: int = 0

    def whole(self, chunk: int) -> bool:
        return len(self.got) == max(1, -(-self.size // chunk))

    def bytes(self) -> bytes:
        if self.memory is None:
            return bytes(self.data)
        placed = bytes(self.memory.read(self.size, 0))
        eager = len(self.data)
        return bytes(self.data[:eager]) + placed[eager:]


class Peer:
    """One connection to a Weft context, as its caller."""

    def __init__(
        self, device: Device, address: Address, secret: str, lanes: int, seed: int
    ) -> None:
        chance = random.Random(seed)
        self.device, self.key = device, derive_key(secret, "weft")
        self.there, self.remote = address.peer, Card.decode(address.datapaths["verbs"])[0]
        assert self.remote.kind == UC, "this peer speaks of unreliable connections only"
        self.epoch = (self.there ^ self.there >> 32) & 0xFFFFFFFF
        me, connection = chance.getrandbits(63) | 1, chance.getrandbits(63) | 1
        self.us = Side(connection, me, sequence=chance.getrandbits(16), eager_limit=EAGER_LIMIT)
        self.them: Side | None = None
        self.control = Pair(device, e.IBV_QPT_UD, CONTROL_BYTES)
        self._open_control()
        self.way = AH(device.pd, attr=device.route(self.remote.rails[0].gid))
        self.card = Card(UC, [RailCard(device.gid, [self.control.number], 128 << device.mtu)])
        self.lanes = [Pair(device, e.IBV_QPT_UC, LANE_BYTES) for _ in range(lanes)]
        self.psns = [chance.getrandbits(24) for _ in range(lanes)]
        self.known = [0] * lanes
        self.ready = [False] * lanes
        self.checked = self.confirmed = self.closed = False
        self.nonce = chance.getrandbits(64)
        self.next_sequence = self.us.sequence
        self.unacknowledged: dict[int, tuple[Packet, int]] = {}
        self.grants: dict[int, Descriptor] = {}
        self.seen: set[int] = set()
        self.cumulative = self.highest = 0
        self.messages: dict[int, Incoming] = {}
        self.slots: list[int] = []

    # --- Making it

    def _open_control(self) -> None:
        attr = QPAttr(port_num=1)
        attr.qkey, attr.pkey_index = CONTROL_KEY, 0
        self.control.qp.to_rts(attr)
        for index in range(RECEIVES):
            self.control.post_receive(index)

    def open(self) -> None:
        """Is anybody there; who are you; lanes. Everything may be lost and is said again."""
        self._until(lambda: self.checked, self._check)
        self._until(lambda: self.them is not None, self._hello)
        self._until(lambda: self.confirmed, self._respond)
        for index in range(len(self.lanes)):
            self._until(lambda i=index: self.ready[i], lambda i=index: self._say_lane(i, True))

    def _check(self) -> None:
        self._note(NoteKind.CHECK, id=self.there, word=self.nonce)

    def _hello(self) -> None:
        proof = prove(self.key, Kind.HELLO, self.epoch, self.us)
        self._control(self._packet(Kind.HELLO, 0, self.us.body(proof)), card=True)

    def _respond(self) -> None:
        proof = prove(self.key, Kind.RESPONSE, self.epoch, self.us, self.them)
        self._control(self._packet(Kind.RESPONSE, self._them().connection, (proof,)))

    def _say_lane(self, index: int, wants: bool) -> None:
        self._note(
            NoteKind.LANE, id=self._them().connection, index=index, count=len(self.lanes),
            wants=wants, pair=self.lanes[index].number, psn=self.psns[index],
            known=self.known[index], life=1,
        )  # fmt: skip

    def _on_lane(self, note: Note) -> None:
        if self.known[note.index] == 0:
            lane = self.lanes[note.index]
            attr = QPAttr(port_num=1)
            attr.qp_access_flags = e.IBV_ACCESS_REMOTE_WRITE | e.IBV_ACCESS_LOCAL_WRITE
            lane.qp.to_init(attr)
            for index in range(RECEIVES):
                lane.post_receive(index)
            attr.dest_qp_num, attr.rq_psn, attr.sq_psn = note.pair, note.psn, self.psns[note.index]
            ours, theirs = 128 << self.device.mtu, self.remote.rails[0].mtu
            attr.path_mtu = min(ours, theirs).bit_length() - 8
            attr.ah_attr = self.device.route(self.remote.rails[0].gid)
            lane.qp.to_rts(attr)
            self.known[note.index] = note.pair
        self.ready[note.index] = note.known == self.lanes[note.index].number
        if note.wants:
            self._say_lane(note.index, False)

    def _them(self) -> Side:
        assert self.them is not None
        return self.them

    # --- Out

    def _packet(self, kind: Kind, connection: int, body: tuple[Any, ...], **more: Any) -> Packet:
        stamp = time.monotonic_ns() & 0xFFFFFFFF
        return Packet(kind, connection, body, epoch=self.epoch, timestamp=stamp, **more)

    def _send(self, pair: Pair, data: bytes) -> None:
        work = SendWR(opcode=e.IBV_WR_SEND, num_sge=1, sg=[pair.place(data)],
                      send_flags=e.IBV_SEND_SIGNALED)  # fmt: skip
        if pair is self.control:
            work.set_wr_ud(self.way, self.remote.rails[0].controls[0], CONTROL_KEY)
        pair.qp.post_send(work)

    def _control(self, packet: Packet | Note, card: bool = False) -> None:
        head = Prefix(card=card).encode() + (self.card.encode() if card else b"")
        self._send(self.control, head + packet.encode())

    def _note(self, kind: NoteKind, **fields: Any) -> None:
        note = Note(kind, **fields)
        check = kind == NoteKind.CHECK
        self._control(note if check else note.proved(self.key), card=check)

    def _sequenced(self, kind: Kind, body: tuple[Any, ...], **more: Any) -> Packet:
        packet = self._packet(
            kind, self._them().connection, body, sequence=self.next_sequence, **more
        )
        self.next_sequence += 1
        return packet

    def send(self, number: int, tag: int, data: bytes) -> None:
        """A message, until all of it is acknowledged: as packets, or once granted by writing."""
        chunk = min(self.us.chunk, self._them().chunk)
        group = 1  # messages between peers, the first of its tag

        def body(offset: int, length: int) -> tuple[int, ...]:
            return (length, number, offset, len(data), group, tag, 0)

        if len(data) <= chunk:
            packet = self._sequenced(Kind.DATA, body(0, len(data)), rest=data, flags=EAGER)
            self.unacknowledged[packet.sequence] = (packet, NO_LANE)
            self._send(self.lanes[0], Prefix().encode() + packet.encode())
        else:
            packet = self._sequenced(Kind.DATA, body(0, 0), flags=WANTS_GRANT)
            self.unacknowledged[packet.sequence] = (packet, NO_LANE)
            self._send(self.lanes[0], Prefix().encode() + packet.encode())
            self._until(lambda: number in self.grants, self._again)
            there = self.grants[number]
            source = MR(self.device.pd, len(data), e.IBV_ACCESS_LOCAL_WRITE)
            source.write(data, len(data), 0)
            for place, offset in enumerate(range(0, len(data), chunk)):
                self._until(lambda: len(self.unacknowledged) < 32, self._again)
                length = min(chunk, len(data) - offset)
                packet = self._sequenced(
                    Kind.DATA, body(offset, length), rest=data[offset : offset + length]
                )
                lane = place % len(self.lanes)
                self.unacknowledged[packet.sequence] = (packet, lane)
                immediate = Immediate(packet.sequence, there.slot, place).encode()
                work = SendWR(opcode=e.IBV_WR_RDMA_WRITE_WITH_IMM, num_sge=1,
                              imm_data=socket.htonl(immediate), send_flags=e.IBV_SEND_SIGNALED,
                              sg=[SGE(source.buf + offset, length, source.lkey)])  # fmt: skip
                work.set_wr_rdma(there.keys[0], there.address + offset)
                self.lanes[lane].qp.post_send(work)
        self._until(lambda: not self.unacknowledged, self._again)

    def _again(self) -> None:
        """What was not acknowledged, as packets; a written chunk says on which lane it went, since
        its first copy may yet land."""
        for packet, lane in self.unacknowledged.values():
            self._send(self.lanes[0], Prefix(first_lane=lane).encode() + packet.encode())

    def close(self) -> None:
        def say() -> None:
            self._control(self._packet(Kind.CLOSE, self._them().connection, (0,)))

        self._until(lambda: self.closed, say)

    # --- In

    def _until(self, done: Callable[[], bool], again: Callable[[], None]) -> None:
        until, next_try = time.monotonic() + DEADLINE, 0.0
        if again == self._again:
            next_try = time.monotonic() + PATIENCE
        while not done():
            now = time.monotonic()
            if now > until:
                raise SystemExit(f"the other side does not answer: {self._state()}")
            if now >= next_try:
                again()
                next_try = now + PATIENCE
            if not self.poll():
                time.sleep(1e-3)

    def _state(self) -> str:
        done = {m.tag: (m.size, len(m.got)) for m in self.messages.values()}
        return (
            f"checked {self.checked}, confirmed {self.confirmed}, lanes ready {self.ready}, "
            f"unacknowledged {sorted(self.unacknowledged)}, granted {sorted(self.grants)}, "
            f"received by tag (bytes, chunks) {done}"
        )

    def poll(self) -> int:
        count, completions = self.device.cq.poll(64)
        for done in completions or []:
            if done.status != e.IBV_WC_SUCCESS:
                raise SystemExit(f"work request failed: status {done.status}")
            if not done.opcode & e.IBV_WC_RECV:
                continue
            if done.qp_num == self.control.number:
                self._on_control(self.control.received(done.wr_id, done.byte_len)[GRH:])
                continue
            index = [lane.number for lane in self.lanes].index(done.qp_num)
            lane = self.lanes[index]
            if done.opcode == e.IBV_WC_RECV_RDMA_WITH_IMM:
                lane.post_receive(done.wr_id)
                self._on_written(socket.ntohl(done.imm_data), index)
            else:
                data = lane.received(done.wr_id, done.byte_len)
                self.ready[index] = True  # whoever sends on it knows our pair
                self._on_packet(Packet.decode(data[4:]))
        return int(count)

    def _on_control(self, data: bytes) -> None:
        prefix, rest = Prefix.decode(data), data[4:]
        assert not prefix.card
        if rest[0] >= NoteKind.CHECK:
            note = Note.decode(rest)
            if note.kind == NoteKind.CHECKED and note.word == self.nonce:
                self.checked = True
            elif note.kind == NoteKind.LANE:
                self._on_lane(note)
            elif note.kind == NoteKind.FENCE:
                marker = Note(
                    NoteKind.MARKER, index=note.index, count=note.count, word=note.word,
                    id=self._them().connection,
                ).proved(self.key)  # fmt: skip
                self._send(self.lanes[note.index], Prefix().encode() + marker.encode())
            elif note.kind == NoteKind.KNOCK:
                self._note(
                    NoteKind.HEARD, index=note.index, count=note.count, word=note.word,
                    id=self._them().connection,
                )  # fmt: skip
            return
        self._on_packet(Packet.decode(rest))

    def _on_packet(self, packet: Packet) -> None:
        assert packet.connection == self.us.connection and packet.epoch == self.epoch
        if Kind.DATA <= packet.kind <= Kind.SKIP and not self._is_new(packet):
            return
        if packet.kind == Kind.CHALLENGE and self.them is None:
            them = Side.of(packet.body)
            proof = prove(self.key, Kind.CHALLENGE, self.epoch, self.us, them)
            assert packet.body[-1] == proof, "the other side does not know the secret"
            self.them = them
            self.cumulative = self.highest = them.sequence
        elif packet.kind == Kind.CONFIRM:
            self.confirmed = True
        elif packet.kind == Kind.REJECT:
            raise SystemExit(f"rejected: reason {packet.body[0]}")
        elif packet.kind == Kind.GRANT:
            number, place = packet.body
            descriptor = Descriptor.decode(bytes(place))  # type: ignore[arg-type]
            assert descriptor is not None
            self.grants[int(number)] = descriptor
        elif packet.kind == Kind.DATA:
            self._on_data(packet)
        elif packet.kind == Kind.ACK:
            self._on_ack(packet)
        elif packet.kind == Kind.PROBE:
            reply = (packet.timestamp, packet.path)
            self._control(self._packet(Kind.PROBE_REPLY, self._them().connection, reply))
        elif packet.kind == Kind.CLOSE_REPLY:
            self.closed = True
        elif packet.kind == Kind.CLOSE:
            self.closed = True
            self._control(self._packet(Kind.CLOSE_REPLY, self._them().connection, (0,)))

    def _is_new(self, packet: Packet) -> bool:
        new = packet.sequence >= self.cumulative and packet.sequence not in self.seen
        self.seen.add(packet.sequence)
        self.highest = max(self.highest, packet.sequence)
        while self.cumulative in self.seen:
            self.cumulative += 1
        bitmap = [0] * (1 + (self.highest // 64) - (self.cumulative // 64))
        for sequence in self.seen:
            if sequence >= self.cumulative:
                bitmap[sequence // 64 - self.cumulative // 64] |= 1 << sequence % 64
        words = b"".join(word.to_bytes(8, "little") for word in bitmap)
        flags = 8 | (0 if new else 2)
        body = (packet.sequence, packet.timestamp, packet.path, flags, len(bitmap), 0, 0, 1 << 40)
        self._control(
            self._packet(Kind.ACK, self._them().connection, body, rest=words,
                         sequence=self.cumulative)
        )  # fmt: skip
        return new

    def _on_ack(self, packet: Packet) -> None:
        cumulative = packet.sequence
        words = [
            int.from_bytes(packet.rest[i : i + 8], "little") for i in range(0, len(packet.rest), 8)
        ]
        for sequence in list(self.unacknowledged):
            at = sequence // 64 - cumulative // 64
            bit = 0 <= at < len(words) and words[at] >> sequence % 64 & 1
            if sequence < cumulative or bit:
                del self.unacknowledged[sequence]

    def _on_data(self, packet: Packet) -> None:
        length, number, offset, size, _, tag, _ = map(int, packet.body)
        chunk = min(self.us.chunk, self._them().chunk)
        message = self.messages.get(number)
        if message is None:
            message = Incoming(size, tag, bytearray(min(size, EAGER_LIMIT // chunk * chunk)))
            self.messages[number] = message
        if message.memory is None and (size > EAGER_LIMIT or packet.flags & WANTS_GRANT):
            access = e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_REMOTE_WRITE
            message.memory = MR(self.device.pd, size, access)
            place = Descriptor(message.memory.buf, len(self.slots), (message.memory.rkey, 0, 0, 0))
            self.slots.append(number)
            grant = self._sequenced(Kind.GRANT, (number, place.encode()))
            self.unacknowledged[grant.sequence] = (grant, NO_LANE)
            self._control(grant)
        if length == 0 and size > 0:
            return
        message.got.add(offset // chunk)
        if offset + length <= len(message.data):
            message.data[offset : offset + length] = packet.rest
        else:
            assert message.memory is not None
            message.memory.write(packet.rest, length, offset)

    def _on_written(self, bits: int, lane: int) -> None:
        immediate = Immediate.decode(bits)
        low = immediate.sequence - self.highest & 0xFFFF
        sequence = self.highest + (low if low < 0x8000 else low - 0x10000)
        message = self.messages[self.slots[immediate.slot]]
        place = immediate.place  # messages of fewer than 1024 chunks
        message.got.add(place)
        message.written += 1
        packet = Packet(Kind.DATA, self.us.connection, sequence=sequence, path=lane)
        self._is_new(packet)


def receive(peer: Peer, tag: int) -> Incoming:
    chunk = min(peer.us.chunk, peer._them().chunk)

    def found() -> Incoming | None:
        return next((m for m in peer.messages.values() if m.tag == tag and m.whole(chunk)), None)

    peer._until(lambda: found() is not None, peer._again)
    message = found()
    assert message is not None
    return message


def main() -> int:
    spec = json.loads(sys.argv[1])
    address = Address.decode(bytes.fromhex(spec["address"]))
    peer = Peer(Device(), address, spec["secret"], spec["lanes"], spec["seed"])
    peer.open()
    chance = random.Random(spec["seed"] + 1)
    for number, (tag, size) in enumerate(((7, SMALL), (8, LARGE)), start=1):
        peer.send(number, tag, chance.randbytes(size))
    small, large = receive(peer, 9), receive(peer, 10)
    said = {
        str(m.tag): {"digest": hashlib.sha256(m.bytes()).hexdigest(), "written": m.written}
        for m in (small, large)
    }
    peer.close()
    print(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
