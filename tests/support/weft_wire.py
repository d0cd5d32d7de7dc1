"""Weft's wire format a second time, from docs/protocol.md and docs/rdma.md and not from the code: a
reference to read, and an independent peer for tests. Nothing here imports Weft.

Packets of the transport (docs/protocol.md) first, then what the verbs datapath puts around them
(docs/rdma.md). All integers are little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum

MASK = (1 << 64) - 1
VERSION = 1


# --- SipHash-2-4 (Aumasson and Bernstein, INDOCRYPT 2012), and keys made with it


def siphash(key: bytes, data: bytes) -> int:
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D,
         k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]  # fmt: skip

    def turn(word: int, bits: int) -> int:
        return (word << bits | word >> (64 - bits)) & MASK

    def rounds(count: int) -> None:
        for _ in range(count):
            v[0] = v[0] + v[1] & MASK
            v[2] = v[2] + v[3] & MASK
            v[1] = turn(v[1], 13) ^ v[0]
            v[3] = turn(v[3], 16) ^ v[2]
            v[0] = turn(v[0], 32)
            v[2] = v[2] + v[1] & MASK
            v[0] = v[0] + v[3] & MASK
            v[1] = turn(v[1], 17) ^ v[2]
            v[3] = turn(v[3], 21) ^ v[0]
            v[2] = turn(v[2], 32)

    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) & 255])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def derive_key(secret: str, purpose: str) -> bytes:
    """Of a job's secret: two hashes under keys made of the purpose's four letters and 0 or 1."""
    under = purpose.encode().ljust(4)[:4]
    halves = (siphash((under + bytes([half])).ljust(16, b"\0"), secret.encode()) for half in (0, 1))
    return struct.pack("<QQ", *halves)


# --- Addresses: what weft.transport.Context.address is


@dataclass
class Address:
    peer: int
    datapaths: dict[str, bytes]

    def encode(self) -> bytes:
        out = struct.pack("<4sBQB", b"WEFT", 1, self.peer, len(self.datapaths))
        for name, address in self.datapaths.items():
            out += bytes([len(name)]) + name.encode()
            out += struct.pack("<H", len(address)) + address
        return out

    @classmethod
    def decode(cls, blob: bytes) -> Address:
        magic, version, peer, count = struct.unpack_from("<4sBQB", blob)
        if (magic, version) != (b"WEFT", 1):
            raise ValueError("not the address of a Weft process")
        at, found = 14, {}
        for _ in range(count):
            name = blob[at + 1 : at + 1 + blob[at]].decode()
            at += 1 + blob[at]
            (length,) = struct.unpack_from("<H", blob, at)
            found[name] = blob[at + 2 : at + 2 + length]
            at += 2 + length
        return cls(peer, found)


# --- Packets of the transport


class Kind(IntEnum):
    HELLO, CHALLENGE, RESPONSE, CONFIRM, REJECT = 1, 2, 3, 4, 5
    DATA, GRANT, CANCEL, REFUSE, SKIP = 16, 17, 18, 19, 20
    ACK, PROBE, PROBE_REPLY, CLOSE, CLOSE_REPLY, CREDIT, DEMAND = 32, 33, 34, 35, 36, 37, 38


EAGER, WANTS_GRANT = 2, 4
COMMON = struct.Struct("<BBHIQIII")
BODY = {
    Kind.HELLO: "<IIQQIIQQQ",
    Kind.CHALLENGE: "<IIQQIIQQQ",
    Kind.RESPONSE: "<Q",
    Kind.CONFIRM: "<",
    Kind.REJECT: "<I",
    Kind.DATA: "<IQQQQQQ",
    Kind.GRANT: "<Q24s",
    Kind.CANCEL: "<QI",
    Kind.REFUSE: "<QI",
    Kind.SKIP: "<QI",
    Kind.ACK: "<IIHBBIIQ",
    Kind.PROBE: "<IH",
    Kind.PROBE_REPLY: "<IH",
    Kind.CLOSE: "<I",
    Kind.CLOSE_REPLY: "<I",
    Kind.CREDIT: "<Q",
    Kind.DEMAND: "<Q",
}


@dataclass
class Packet:
    """`body`: the fields of its kind in the order of docs/protocol.md. `rest`: the payload of data,
    the bitmap of an acknowledgement."""

    kind: Kind
    connection: int
    body: tuple[int | bytes, ...] = ()
    rest: bytes = b""
    flags: int = 0
    priority: int = 0
    path: int = 0
    epoch: int = 0
    sequence: int = 0
    timestamp: int = 0

    def encode(self) -> bytes:
        head = COMMON.pack(
            self.kind, self.flags | self.priority << 4, self.path, self.epoch, self.connection, 0,
            self.sequence, self.timestamp,
        )  # fmt: skip
        return head + struct.pack(BODY[self.kind], *self.body) + self.rest

    @classmethod
    def decode(cls, data: bytes) -> Packet:
        kind, flags, path, epoch, connection, _, sequence, stamp = COMMON.unpack_from(data)
        shape = BODY[Kind(kind)]
        body = struct.unpack_from(shape, data, COMMON.size)
        rest = data[COMMON.size + struct.calcsize(shape) :]
        return cls(
            Kind(kind), connection, body, rest, flags & 15, flags >> 4, path, epoch, sequence, stamp
        )


@dataclass
class Side:
    """What one side says of itself in the handshake."""

    connection: int
    peer: int
    sequence: int = 1
    chunk: int = 32768
    window: int = 256
    eager_window: int = 1 << 20
    eager_limit: int = 256 << 10
    version: int = VERSION

    def transcript(self) -> bytes:
        return struct.pack(
            "<IIQQIIQQ", self.version, self.sequence, self.connection, self.peer, self.chunk,
            self.window, self.eager_window, self.eager_limit,
        )  # fmt: skip

    def body(self, proof: int) -> tuple[int, ...]:
        return (
            self.version, self.sequence, self.connection, self.peer, self.chunk, self.window,
            self.eager_window, self.eager_limit, proof,
        )  # fmt: skip

    @classmethod
    def of(cls, body: tuple[int | bytes, ...]) -> Side:
        version, sequence, connection, peer, chunk, window, eager, limit, _ = map(int, body)
        return cls(connection, peer, sequence, chunk, window, eager, limit, version)


def prove(key: bytes, kind: Kind, epoch: int, client: Side, server: Side | None = None) -> int:
    """Of 101 bytes, those of a server that is not yet known being zero."""
    said = bytes([kind]) + struct.pack("<I", epoch) + client.transcript()
    said += server.transcript() if server is not None else b""
    return siphash(key, said.ljust(5 + 2 * 48, b"\0"))


# --- Around them: the verbs datapath

GRH = 40
"""Bytes before every datagram that is received (IBTA 1.6, section 11.4.1.2)."""
CONTROL_KEY = 0x57454654
"""Q_Key of the control queue pairs."""
NO_LANE = 0xFFFF
UC, RC, UD = 0, 1, 2


@dataclass
class Prefix:
    """Before every packet and note."""

    rail: int = 0
    card: bool = False
    first_lane: int = NO_LANE

    def encode(self) -> bytes:
        bits = self.rail | (4 if self.card else 0) | (8 if self.first_lane != NO_LANE else 0)
        return struct.pack("<BBH", 0xB7, bits, self.first_lane)

    @classmethod
    def decode(cls, data: bytes) -> Prefix:
        magic, bits, lane = struct.unpack_from("<BBH", data)
        if magic != 0xB7 or bits >= 16:
            raise ValueError(f"not a prefix: {data[:4].hex()}")
        return cls(bits & 3, bool(bits & 4), lane)


@dataclass
class RailCard:
    gid: bytes
    controls: list[int]
    mtu: int = 1024
    lid: int = 0
    ethernet: bool = True


@dataclass
class Card:
    """Who somebody is, and where; also the address of the datapath."""

    kind: int
    rails: list[RailCard] = field(default_factory=list)

    def encode(self) -> bytes:
        out = bytes([1, self.kind, len(self.rails)])
        for rail in self.rails:
            out += struct.pack(
                "<BBH16sB", rail.ethernet, rail.mtu.bit_length(), rail.lid, rail.gid,
                len(rail.controls),
            ) + struct.pack(f"<{len(rail.controls)}I", *rail.controls)  # fmt: skip
        return out

    @classmethod
    def decode(cls, data: bytes) -> tuple[Card, int]:
        """The card and how many bytes it took."""
        card, at = cls(data[1]), 3
        for _ in range(data[2]):
            ethernet, width, lid, gid, count = struct.unpack_from("<BBH16sB", data, at)
            at += 21
            numbers = list(struct.unpack_from(f"<{count}I", data, at))
            at += 4 * count
            card.rails.append(RailCard(gid, numbers, 1 << (width - 1), lid, bool(ethernet)))
        return card, at


class NoteKind(IntEnum):
    CHECK, CHECKED, LANE, FENCE, MARKER, KNOCK, HEARD = range(0xD1, 0xD8)


NOTE = struct.Struct("<BBBBHHQQIIIIQ")


@dataclass
class Note:
    kind: NoteKind
    from_rail: int = 0
    to_rail: int = 0
    wants: bool = False
    index: int = 0
    count: int = 0
    id: int = 0
    word: int = 0
    pair: int = 0
    psn: int = 0
    known: int = 0
    life: int = 0
    proof: int = 0

    def encode(self) -> bytes:
        return NOTE.pack(
            self.kind, self.from_rail, self.to_rail, self.wants, self.index, self.count, self.id,
            self.word, self.pair, self.psn, self.known, self.life, self.proof,
        )  # fmt: skip

    def proved(self, key: bytes) -> Note:
        self.proof = 0
        self.proof = siphash(key, self.encode())
        return self

    @classmethod
    def decode(cls, data: bytes) -> Note:
        kind, source, to, wants, *rest = NOTE.unpack(data)
        return cls(NoteKind(kind), source, to, bool(wants), *rest)


@dataclass
class Immediate:
    """Of a chunk that the device writes: the low ends of three numbers that both sides know."""

    sequence: int
    slot: int
    place: int

    def encode(self) -> int:
        return (self.sequence & 0xFFFF) << 16 | (self.slot & 63) << 10 | self.place & 1023

    @classmethod
    def decode(cls, bits: int) -> Immediate:
        return cls(bits >> 16, bits >> 10 & 63, bits & 1023)


@dataclass
class Descriptor:
    """Of a destination, in the 24 opaque bytes of a grant: where to write, by which rail's key."""

    address: int
    slot: int
    keys: tuple[int, int, int, int]

    def encode(self) -> bytes:
        return struct.pack("<Q4I", self.address | self.slot + 1 << 56, *self.keys)

    @classmethod
    def decode(cls, data: bytes) -> Descriptor | None:
        first, *keys = struct.unpack("<Q4I", data)
        if first >> 56 == 0:
            return None
        a, b, c, d = keys
        return cls(first & (1 << 56) - 1, (first >> 56) - 1, (a, b, c, d))
