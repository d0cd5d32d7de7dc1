"""Scapy builds the packets and takes apart what the sample programs send: headers, lengths, sums.

Scapy knows the protocols from elsewhere; each comparison is of whole packets, rebuilt by Scapy with
its own checksums and lengths.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p4_programs import v1model
from scapy.fields import BitField, ByteField, IntField, PacketListField, ShortField
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw, bind_layers

from weft.p4.switch import Switch

PROGRAMS = Path(__file__).parents[3] / "p4" / "programs"
A, B, OURS = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:aa"


@pytest.fixture(scope="module")
def router() -> Iterator[Switch]:
    with Switch.load(PROGRAMS / "router.p4") as switch:
        switch.table("ipv4_lpm").insert([(0x0A000000, 8)], "route", [7])
        switch.table("next_hops").insert([7], "forward", [OURS, B, 3])
        yield switch


def rebuilt(packet: Packet) -> bytes:
    """The packet with every length and checksum computed by Scapy."""
    copy = packet.copy()
    for layer in (IP, UDP, TCP, ICMP):
        part = copy.getlayer(layer)
        while part is not None:
            for name in ("len", "chksum", "ihl", "dataofs"):
                if name in part.fields:
                    delattr(part, name)
            part = part.payload.getlayer(layer)
    return bytes(copy)


packets = st.builds(
    lambda layer, payload, ttl, tos, ident, flags, last: (
        Ether(src=A, dst=OURS)
        / IP(src="192.168.1.7", dst=f"10.1.2.{last}", ttl=ttl, tos=tos, id=ident, flags=flags)
        / layer / Raw(payload)
    ),
    st.sampled_from([UDP(sport=9, dport=10), TCP(sport=80, dport=81, seq=5, flags="SA"), ICMP()]),
    st.binary(max_size=200), st.integers(2, 255), st.integers(0, 255), st.integers(0, 65535),
    st.sampled_from(["", "DF", "MF"]), st.integers(0, 255),
)  # fmt: skip


@settings(deadline=None)
@given(packet=packets)
def test_router(router: Switch, packet: Packet) -> None:
    """One hop further: the addresses of the link, the TTL and the header's checksum."""
    (out,) = router.send(0, bytes(packet))
    wanted = Ether(bytes(packet))
    wanted.src, wanted.dst = OURS, B
    wanted[IP].ttl -= 1
    del wanted[IP].chksum
    assert (out.port, out.data) == (3, bytes(wanted))


@settings(deadline=None)
@given(packet=packets, wrong=st.integers(1, 65534))
def test_router_drops_what_scapy_calls_wrong(router: Switch, packet: Packet, wrong: int) -> None:
    broken = Ether(bytes(packet))
    broken[IP].chksum = (broken[IP].chksum + wrong) % 65535
    right = Ether(rebuilt(broken))[IP].chksum
    sent = router.send(0, bytes(broken))
    assert bool(sent) == (broken[IP].chksum % 65535 == right % 65535)


@pytest.fixture(scope="module")
def tunnel() -> Iterator[Switch]:
    with Switch.load(PROGRAMS / "vxlan.p4") as switch:
        switch.table("ports").insert([1], "network", [100])
        switch.table("macs").insert(
            [100, B], "tunnel", [9, OURS, "02:00:00:00:00:bb", "172.16.0.1", "172.16.0.2"]
        )
        switch.table("macs").insert([100, A], "local", [1])
        yield switch


@settings(deadline=None)
@given(packet=packets)
def test_vxlan(tunnel: Switch, packet: Packet) -> None:
    """What leaves by the tunnel is the frame within headers that Scapy would build alike."""
    packet.dst = B
    inner = bytes(packet)
    (out,) = tunnel.send(1, inner)
    outer = Ether(out.data)
    assert out.port == 9
    assert [type(outer.getlayer(i)) for i in range(5)] == [Ether, IP, UDP, VXLAN, Ether]
    assert (outer.src, outer.dst) == (OURS, "02:00:00:00:00:bb")
    assert (outer[IP].src, outer[IP].dst) == ("172.16.0.1", "172.16.0.2")
    assert outer[VXLAN].vni == 100 and outer[UDP].sport >= 49152
    assert bytes(outer[VXLAN].payload) == inner
    copy = Ether(out.data)
    del copy[IP].chksum, copy[IP].len, copy[UDP].len  # no UDP checksum in a tunnel: RFC 7348
    assert bytes(copy) == out.data
    # The way back, built by Scapy alone.
    back = (
        Ether(src="02:00:00:00:00:bb", dst=OURS) / IP(src="172.16.0.2", dst="172.16.0.1")
        / UDP(sport=50000, dport=4789) / VXLAN(vni=100, flags="Instance")
        / Ether(src=B, dst=A) / Raw(inner[12:])
    )  # fmt: skip
    (out,) = tunnel.send(9, bytes(back))
    assert (out.port, out.data) == (1, bytes(back[VXLAN].payload))


class Record(Packet):  # type: ignore[misc]
    name = "record"
    fields_desc = [  # noqa: RUF012
        IntField("switch_id", 0), ShortField("came", 0), ShortField("left", 0),
        IntField("depth", 0), BitField("time", 0, 48), ShortField("reserved", 0),
    ]  # fmt: skip

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes]:
        return b"", s


class Shim(Packet):  # type: ignore[misc]
    name = "shim"
    fields_desc = [  # noqa: RUF012
        ByteField("hops", 0), ByteField("remaining", 0), ShortField("dst_port", 0),
        PacketListField("records", [], Record, count_from=lambda shim: shim.hops),
    ]  # fmt: skip


bind_layers(UDP, Shim, dport=5000)


@settings(deadline=None)
@given(hops=st.integers(0, 8), remaining=st.integers(0, 10), payload=st.binary(max_size=64),
       sink=st.booleans())  # fmt: skip
def test_telemetry(hops: int, remaining: int, payload: bytes, sink: bool, way: Switch) -> None:
    before = [Record(switch_id=100 + i, came=i, left=i + 1, time=5 * i) for i in range(hops)]
    packet = (
        Ether(src=A, dst=B) / IP(src="10.0.0.1", dst="10.0.2.1" if sink else "10.0.1.1")
        / UDP(sport=7, dport=5000)
        / Shim(hops=hops, remaining=remaining, dst_port=7000, records=before) / Raw(payload)
    )  # fmt: skip
    sent = bytes(packet)
    (out,) = way.send(2, sent)
    got, wanted = Ether(out.data), Ether(sent)
    changed = sink or (hops < 8 and remaining > 0)
    if sink:
        wanted[UDP].remove_payload()
        wanted = wanted / Raw(payload)
        wanted[UDP].dport = 7000
    elif changed:
        made = got[Shim].records[0]
        assert (made.switch_id, made.came, made.left) == (42, 2, 3)
        shim = wanted[Shim]
        shim.hops, shim.remaining, shim.records = hops + 1, remaining - 1, [made, *shim.records]
    if changed:
        del wanted[IP].len, wanted[IP].chksum, wanted[UDP].len
        wanted[UDP].chksum = 0
    assert (out.port, out.data) == (4 if sink else 3, bytes(wanted))


@pytest.fixture(scope="module")
def way() -> Iterator[Switch]:
    with Switch.load(PROGRAMS / "telemetry.p4") as switch:
        switch.table("self").set_default("identify", [42])
        for network, port, sink in (("10.0.1.0", 3, 0), ("10.0.2.0", 4, 1)):
            switch.table("destinations").insert(
                [(network, 0xFFFFFF00)], "forward", [port, sink], priority=1
            )
        yield switch


TRANSPORT = (
    v1model(
        types="""
header ip_t { bit<72> a; bit<8> protocol; bit<16> sum; bit<32> src; bit<32> dst; }
header udp_t { bit<16> from; bit<16> to; bit<16> length; bit<16> sum; }
header tcp_t { bit<128> a; bit<16> sum; bit<16> urgent; }
struct own_t { ethernet_t ethernet; ip_t ip; udp_t udp; tcp_t tcp; }
struct mine_t { bit<16> octets; }
""",
    ).split("parser P")[0]
    + """
parser P(packet_in p, out own_t h, inout mine_t m, inout standard_metadata_t s) {
    state start { p.extract(h.ethernet); p.extract(h.ip); m.octets = (bit<16>)s.packet_length - 34;
        transition select(h.ip.protocol) { 6: tcp; 17: udp; default: accept; } }
    state tcp { p.extract(h.tcp); transition accept; }
    state udp { p.extract(h.udp); transition accept; }
}
control V(inout own_t h, inout mine_t m) { apply {
    verify_checksum_with_payload(h.udp.isValid(), { h.ip.src, h.ip.dst, 8w0, h.ip.protocol,
        m.octets, h.udp.from, h.udp.to, h.udp.length }, h.udp.sum, HashAlgorithm.csum16);
    verify_checksum_with_payload(h.tcp.isValid(), { h.ip.src, h.ip.dst, 8w0, h.ip.protocol,
        m.octets, h.tcp.a, h.tcp.urgent }, h.tcp.sum, HashAlgorithm.csum16); } }
control I(inout own_t h, inout mine_t m, inout standard_metadata_t s) { apply {
    s.egress_spec = s.checksum_error == 1 ? 9w2 : 9w1; h.ip.src = h.ip.src + 1; } }
control E(inout own_t h, inout mine_t m, inout standard_metadata_t s) { apply { } }
control C(inout own_t h, inout mine_t m) { apply {
    update_checksum(true, { h.ip.a, h.ip.protocol, h.ip.src, h.ip.dst }, h.ip.sum,
        HashAlgorithm.csum16);
    update_checksum_with_payload(h.udp.isValid(), { h.ip.src, h.ip.dst, 8w0, h.ip.protocol,
        m.octets, h.udp.from, h.udp.to, h.udp.length }, h.udp.sum, HashAlgorithm.csum16);
    update_checksum_with_payload(h.tcp.isValid(), { h.ip.src, h.ip.dst, 8w0, h.ip.protocol,
        m.octets, h.tcp.a, h.tcp.urgent }, h.tcp.sum, HashAlgorithm.csum16); } }
control D(packet_out p, in own_t h) { apply { p.emit(h); } }
V1Switch(P(), V(), I(), E(), C(), D()) main;
"""
)


@pytest.fixture(scope="module")
def transport() -> Iterator[Switch]:
    with Switch.from_text(TRANSPORT) as switch:
        yield switch


@settings(deadline=None)
@given(packet=packets, wrong=st.booleans())
def test_sums_over_the_payload(transport: Switch, packet: Packet, wrong: bool) -> None:
    """Verified and computed anew over pseudo-header, header and payload of any length."""
    given = Ether(bytes(packet))
    layer: Any = next((given[x] for x in (UDP, TCP) if x in given), None)
    if wrong and layer is not None:
        layer.chksum ^= 0x0100
    (out,) = transport.send(0, bytes(given))
    bad = wrong and layer is not None
    first, _, last = given[IP].src.rpartition(".")
    given[IP].src = f"{first}.{int(last) + 1}"
    wanted = Ether(rebuilt(given))
    if UDP in wanted and wanted[UDP].chksum == 0xFFFF:  # Scapy says 0 as UDP does (RFC 768)
        return
    assert (out.port, out.data) == (2 if bad else 1, bytes(wanted))
