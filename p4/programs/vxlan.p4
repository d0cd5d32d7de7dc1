/* A VXLAN tunnel end point (RFC 7348): frames of a local port are wrapped towards the tunnel that their
   MAC address lies behind; what arrives in a tunnel is unwrapped. */
#include <core.p4>
#include <v1model.p4>
#include "include/headers.p4"

const bit<16> VXLAN_PORT = 4789;

header vxlan_t {
    bit<8> flags;
    bit<24> reserved;
    bit<24> vni;
    bit<8> reserved2;
}

struct headers_t {
    ethernet_t outer_ethernet;
    ipv4_h outer_ipv4;
    udp_t outer_udp;
    vxlan_t vxlan;
    ethernet_t ethernet;
}

struct meta_t {
    bit<24> vni;
    bit<16> entropy;
    bit<1> from_tunnel;
}

parser VxlanParser(packet_in packet, out headers_t hdr, inout meta_t meta,
                   inout standard_metadata_t standard) {
    // A tunnel is told by Ethernet type, protocol and UDP port before anything is taken, each looked
    // up only where the packet must have it: a short frame is an inner frame, not an error.
    state start {
        transition select(packet.lookahead<bit<112>>()[15:0]) {
            ETHERTYPE_IPV4: outer_ipv4;
            default: inner;
        }
    }
    state outer_ipv4 {
        transition select(packet.lookahead<bit<272>>()[87:80]) {
            PROTOCOL_UDP: outer_udp;
            default: inner;
        }
    }
    state outer_udp {
        transition select(packet.lookahead<bit<304>>()[15:0]) {
            VXLAN_PORT: tunnel;
            default: inner;
        }
    }
    state tunnel {
        packet.extract(hdr.outer_ethernet);
        packet.extract(hdr.outer_ipv4);
        packet.extract(hdr.outer_udp);
        packet.extract(hdr.vxlan);
        meta.from_tunnel = 1;
        meta.vni = hdr.vxlan.vni;
        transition inner;
    }
    state inner {
        packet.extract(hdr.ethernet);
        transition accept;
    }
}

control VerifyNothing(inout headers_t hdr, inout meta_t meta) {
    apply { }
}

control ingress(inout headers_t hdr, inout meta_t meta, inout standard_metadata_t standard) {
    action drop() {
        mark_to_drop(standard);
    }

    action local(port_t port) {
        standard.egress_spec = port;
    }

    action network(bit<24> vni) {
        meta.vni = vni;
    }

    action tunnel(port_t port, mac_t src_mac, mac_t dst_mac, ipv4_t src, ipv4_t dst) {
        standard.egress_spec = port;
        hash(meta.entropy, HashAlgorithm.crc16, 16w49152, { hdr.ethernet.dst, hdr.ethernet.src },
             32w16384);
        hdr.outer_ethernet.setValid();
        hdr.outer_ethernet = { dst_mac, src_mac, ETHERTYPE_IPV4 };
        hdr.outer_ipv4.setValid();
        // Outer headers: 20 + 8 + 8 bytes.
        hdr.outer_ipv4 = { 4, 5, 0, 0, (bit<16>)standard.packet_length + 36, 0, 2, 0, 64,
                           PROTOCOL_UDP, 0, src, dst };
        hdr.outer_udp.setValid();
        hdr.outer_udp = { meta.entropy, VXLAN_PORT, (bit<16>)standard.packet_length + 16, 0 };
        hdr.vxlan.setValid();
        hdr.vxlan = { 8, 0, meta.vni, 0 };
    }

    table ports {
        key = { standard.ingress_port : exact; }
        actions = { network; drop; }
        default_action = drop();
        size = 512;
    }

    table macs {
        key = {
            meta.vni : exact;
            hdr.ethernet.dst : exact;
        }
        actions = { local; tunnel; drop; }
        default_action = drop();
        size = 65536;
    }

    apply {
        if (meta.from_tunnel == 1) {
            hdr.outer_ethernet.setInvalid();
            hdr.outer_ipv4.setInvalid();
            hdr.outer_udp.setInvalid();
            hdr.vxlan.setInvalid();
        } else if (!ports.apply().hit) {
            exit;
        }
        macs.apply();
    }
}

control egress(inout headers_t hdr, inout meta_t meta, inout standard_metadata_t standard) {
    apply { }
}

control UpdateOuter(inout headers_t hdr, inout meta_t meta) {
    apply {
        update_checksum(hdr.outer_ipv4.isValid(), IPV4_CHECKSUM_FIELDS(hdr.outer_ipv4),
                        hdr.outer_ipv4.checksum, HashAlgorithm.csum16);
    }
}

control VxlanDeparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.outer_ethernet);
        packet.emit(hdr.outer_ipv4);
        packet.emit(hdr.outer_udp);
        packet.emit(hdr.vxlan);
        packet.emit(hdr.ethernet);
    }
}

V1Switch(VxlanParser(), VerifyNothing(), ingress(), egress(), UpdateOuter(), VxlanDeparser()) main;
