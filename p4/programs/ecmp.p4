/* An ECMP load balancer: flows to a virtual address are spread over servers by a hash of
   their five-tuple (RFC 2992), so that the packets of one flow stay together. */
#include <core.p4>
#include <v1model.p4>
#include "include/headers.p4"

struct headers_t {
    ethernet_t ethernet;
    ipv4_h ipv4;
    tcp_t tcp;
    udp_t udp;
}

struct meta_t {
    bit<16> src_port;
    bit<16> dst_port;
}

parser BalancerParser(packet_in packet, out headers_t hdr, inout meta_t meta,
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
            (0, PROTOCOL_UDP): udp;
            default: accept;
        }
    }
    state tcp {
        packet.extract(hdr.tcp);
        meta.src_port = hdr.tcp.src_port;
        meta.dst_port = hdr.tcp.dst_port;
        transition accept;
    }
    state udp {
        packet.extract(hdr.udp);
        meta.src_port = hdr.udp.src_port;
        meta.dst_port = hdr.udp.dst_port;
        transition accept;
    }
}

control VerifyNothing(inout headers_t hdr, inout meta_t meta) {
    apply { }
}

control ingress(inout headers_t hdr, inout meta_t meta, inout standard_metadata_t standard) {
    action_selector(HashAlgorithm.crc16, 1024, 16) servers;

    action drop() {
        mark_to_drop(standard);
    }

    action to_server(mac_t dst, port_t port) {
        hdr.ethernet.dst = dst;
        standard.egress_spec = port;
    }

    table services {
        key = {
            hdr.ipv4.dst : exact;
            hdr.ipv4.src : selector;
            hdr.ipv4.protocol : selector;
            meta.src_port : selector;
            meta.dst_port : selector;
        }
        actions = { to_server; drop; }
        implementation = servers;
        size = 4096;
    }

    apply {
        if (!hdr.ipv4.isValid() || !services.apply().hit) {
            drop();
        }
    }
}

control egress(inout headers_t hdr, inout meta_t meta, inout standard_metadata_t standard) {
    apply { }
}

control UpdateNothing(inout headers_t hdr, inout meta_t meta) {
    apply { }
}

control BalancerDeparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.ethernet);
        packet.emit(hdr.ipv4);
        packet.emit(hdr.tcp);
        packet.emit(hdr.udp);
    }
}

V1Switch(BalancerParser(), VerifyNothing(), ingress(), egress(), UpdateNothing(),
         BalancerDeparser()) main;
