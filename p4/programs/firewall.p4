/* A firewall that keeps state in registers: connections may be opened from inside only. Two
   Bloom filters (Bloom, 1970) remember the five-tuples that left; what comes from outside must be the
   reverse of one. */
#include <core.p4>
#include <v1model.p4>
#include "include/headers.p4"

const bit<32> FILTER_BITS = 65536;

struct headers_t {
    ethernet_t ethernet;
    ipv4_h ipv4;
    tcp_t tcp;
}

struct meta_t {
    bit<1> outbound;
}

parser FirewallParser(packet_in packet, out headers_t hdr, inout meta_t meta,
                      inout standard_metadata_t standard) {
    state start {
        packet.extract(hdr.ethernet);
        transition select(hdr.ethernet.ether_type) {
            ETHERTYPE_IPV4: ipv4;
            default: accept;
        }
    }
    state ipv4 {
        packet.extract(hdr.ipv4);
        transition select(hdr.ipv4.fragment_offset, hdr.ipv4.protocol) {
            (0, PROTOCOL_TCP): tcp;
            default: accept;
        }
    }
    state tcp {
        packet.extract(hdr.tcp);
        transition accept;
    }
}

control VerifyNothing(inout headers_t hdr, inout meta_t meta) {
    apply { }
}

control ingress(inout headers_t hdr, inout meta_t meta, inout standard_metadata_t standard) {
    register<bit<1>>(FILTER_BITS) filter_a;
    register<bit<1>>(FILTER_BITS) filter_b;
    counter(2, CounterType.packets) verdicts;  // 0: passed, 1: refused

    action drop() {
        mark_to_drop(standard);
    }

    action direction(bit<1> outbound, port_t port) {
        meta.outbound = outbound;
        standard.egress_spec = port;
    }

    table ports {
        key = { standard.ingress_port : exact; }
        actions = { direction; drop; }
        default_action = drop();
        size = 512;
    }

    apply {
        if (!ports.apply().hit) {
            exit;
        }
        if (!hdr.tcp.isValid()) {
            return;
        }
        // The same key for both directions: inside address and port first.
        bit<32> inside = meta.outbound == 1 ? hdr.ipv4.src : hdr.ipv4.dst;
        bit<32> outside = meta.outbound == 1 ? hdr.ipv4.dst : hdr.ipv4.src;
        bit<16> inside_port = meta.outbound == 1 ? hdr.tcp.src_port : hdr.tcp.dst_port;
        bit<16> outside_port = meta.outbound == 1 ? hdr.tcp.dst_port : hdr.tcp.src_port;
        bit<32> a;
        bit<32> b;
        hash(a, HashAlgorithm.crc16, 32w0, { inside, outside, inside_port, outside_port },
             FILTER_BITS);
        hash(b, HashAlgorithm.crc32, 32w0, { inside, outside, inside_port, outside_port },
             FILTER_BITS);
        if (meta.outbound == 1) {
            if (hdr.tcp.flags & 2 != 0) {
                filter_a.write(a, 1);
                filter_b.write(b, 1);
            }
            verdicts.count(0);
        } else {
            bit<1> known_a;
            bit<1> known_b;
            filter_a.read(known_a, a);
            filter_b.read(known_b, b);
            if (known_a & known_b == 1) {
                verdicts.count(0);
            } else {
                verdicts.count(1);
                drop();
            }
        }
    }
}

control egress(inout headers_t hdr, inout meta_t meta, inout standard_metadata_t standard) {
    apply { }
}

control UpdateNothing(inout headers_t hdr, inout meta_t meta) {
    apply { }
}

control FirewallDeparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.ethernet);
        packet.emit(hdr.ipv4);
        packet.emit(hdr.tcp);
    }
}

V1Switch(FirewallParser(), VerifyNothing(), ingress(), egress(), UpdateNothing(),
         FirewallDeparser()) main;
