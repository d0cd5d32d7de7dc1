#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        standard_metadata_t t = s;
        t.egress_spec = 5;
        s = t;
        h.d.a = (bit<8>)s.ingress_port;
    }
}

#include "frame.p4"
