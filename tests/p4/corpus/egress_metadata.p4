#define OWN_INGRESS
#define OWN_EGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { s.egress_spec = 9; s.priority = 3; } }
control MyEgress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.d.a = (bit<8>)s.egress_port;
        h.d.b = (bit<8>)s.egress_spec;
        h.d.c = (bit<8>)s.ingress_port;
        h.d.x = (bit<16>)s.deq_qdepth;
        h.d.y = (bit<16>)s.priority;
        h.d.z = s.packet_length;
    }
}

#include "frame.p4"
