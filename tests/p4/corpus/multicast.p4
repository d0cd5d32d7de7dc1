#define OWN_INGRESS
#define OWN_EGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        s.mcast_grp = h.d.x;
        if (h.d.op == 1) { mark_to_drop(s); }
        if (h.d.op == 2) { s.egress_spec = 511; s.mcast_grp = 1; }
    }
}
control MyEgress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.d.y = s.egress_rid;
        h.d.a = (bit<8>)s.egress_port;
        if (s.egress_port == s.ingress_port) { mark_to_drop(s); }
        h.d.c = s.instance_type[7:0];
    }
}

#include "frame.p4"
