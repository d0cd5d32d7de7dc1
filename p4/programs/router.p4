/* An IPv4 router: longest prefix match, next hops, TTL and header checksum (RFC 1812, 5.2). */
#include <core.p4>
#include <v1model.p4>
#include "include/headers.p4"

struct headers_t {
    ethernet_t ethernet;
    ipv4_h ipv4;
}

struct meta_t {
    bit<16> next_hop;
}

parser RouterParser(packet_in packet, out headers_t hdr, inout meta_t meta,
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
        transition accept;
    }
}

control VerifyIpv4(inout headers_t hdr, inout meta_t meta) {
    apply {
        verify_checksum(hdr.ipv4.isValid() && hdr.ipv4.ihl == 5, IPV4_CHECKSUM_FIELDS(hdr.ipv4),
                        hdr.ipv4.checksum, HashAlgorithm.csum16);
    }
}

control ingress(inout headers_t hdr, inout meta_t meta, inout standard_metadata_t standard) {
    direct_counter(CounterType.packets_and_bytes) route_counter;

    action drop() {
        mark_to_drop(standard);
    }

    action route(bit<16> next_hop) {
        route_counter.count();
        meta.next_hop = next_hop;
    }

    action forward(mac_t src, mac_t dst, port_t port) {
        hdr.ethernet.src = src;
        hdr.ethernet.dst = dst;
        standard.egress_spec = port;
    }

    table ipv4_lpm {
        key = { hdr.ipv4.dst : lpm; }
        actions = { route; @defaultonly NoAction; }
        counters = route_counter;
        default_action = NoAction();
        size = 65536;
    }

    table next_hops {
        key = { meta.next_hop : exact; }
        actions = { forward; drop; }
        default_action = drop();
        size = 65536;
    }

    apply {
        if (!hdr.ipv4.isValid() || standard.checksum_error == 1 || hdr.ipv4.ttl <= 1) {
            drop();
        } else if (ipv4_lpm.apply().hit) {
            hdr.ipv4.ttl = hdr.ipv4.ttl - 1;
            next_hops.apply();
        } else {
            drop();
        }
    }
}

control egress(inout headers_t hdr, inout meta_t meta, inout standard_metadata_t standard) {
    apply { }
}

control UpdateIpv4(inout headers_t hdr, inout meta_t meta) {
    apply {
        update_checksum(hdr.ipv4.isValid() && hdr.ipv4.ihl == 5, IPV4_CHECKSUM_FIELDS(hdr.ipv4),
                        hdr.ipv4.checksum, HashAlgorithm.csum16);
    }
}

control RouterDeparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.ethernet);
        packet.emit(hdr.ipv4);
    }
}

V1Switch(RouterParser(), VerifyIpv4(), ingress(), egress(), UpdateIpv4(), RouterDeparser()) main;
