#define OWN_INGRESS
#define OWN_EGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { s.egress_spec = 2; } }
control MyEgress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (s.instance_type == 0) {
            m.kept = 9;
            h.d.a = 0xaa;
            clone_preserving_field_list(CloneType.E2E, 5, 1);
            h.d.b = 0xbb;
        } else {
            h.d.c = m.kept;
            h.d.x = s.instance_type[15:0];
        }
    }
}

#include "frame.p4"
