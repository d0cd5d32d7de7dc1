// Sends every Ethernet frame back where it came from, unless a table says otherwise.

#include <core.p4>
#include <v1model.p4>

header ethernet_t {
    bit<48> dst;
    bit<48> src;
    bit<16> type;
}

struct headers_t {
    ethernet_t ethernet;
}

struct meta_t {
}

parser ReflectorParser(packet_in packet, out headers_t hdr, inout meta_t meta,
                       inout standard_metadata_t standard) {

    state start {
        packet.extract(hdr.ethernet);
        transition accept;
    }
}

control Verify(inout headers_t hdr, inout meta_t meta) {

    apply {
    }
}

control ReflectorIngress(inout headers_t hdr, inout meta_t meta,
                         inout standard_metadata_t standard) {
    counter(512, CounterType.packets) by_port;

    action reflect() {
        bit<48> swap = hdr.ethernet.dst;
        hdr.ethernet.dst = hdr.ethernet.src;
        hdr.ethernet.src = swap;
        standard.egress_spec = standard.ingress_port;
    }

    action forward(bit<9> port) {
        standard.egress_spec = port;
    }

    action drop() {
        mark_to_drop(standard);
    }

    table stations {
        key = {
            hdr.ethernet.dst: exact;
        }
        actions = {
            reflect;
            forward;
            drop;
        }
        default_action = reflect();
        size = 1024;
    }

    apply {
        by_port.count((bit<32>)standard.ingress_port);
        stations.apply();
    }
}

control ReflectorEgress(inout headers_t hdr, inout meta_t meta,
                        inout standard_metadata_t standard) {

    apply {
    }
}

control Update(inout headers_t hdr, inout meta_t meta) {

    apply {
    }
}

control ReflectorDeparser(packet_out packet, in headers_t hdr) {

    apply {
        packet.emit(hdr);
    }
}

V1Switch(ReflectorParser(), Verify(), ReflectorIngress(), ReflectorEgress(), Update(), ReflectorDeparser()) main;
