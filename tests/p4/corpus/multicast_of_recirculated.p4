#define OWN_INGRESS
#define OWN_EGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (s.instance_type == 4) { s.mcast_grp = 2; } else { s.egress_spec = 1; }
    }
}
control MyEgress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (s.instance_type == 0) { h.d.a = 1; recirculate_preserving_field_list(0); }
        h.d.x = s.egress_rid;
    }
}

#include "frame.p4"
