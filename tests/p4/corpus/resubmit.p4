#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (s.instance_type == 0) {
            m.kept = h.d.a + 1;
            m.lost = 5;
            h.d.b = 0xbb;
            resubmit_preserving_field_list(1);
        } else {
            h.d.a = m.kept;
            h.d.c = m.lost;
            h.d.x = s.instance_type[15:0];
            s.egress_spec = 4;
        }
    }
}

#include "frame.p4"
