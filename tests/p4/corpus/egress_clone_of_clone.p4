// A clone may be cloned again.
#define OWN_INGRESS
#define OWN_EGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { s.egress_spec = 1; } }
control MyEgress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.d.a = h.d.a + 1;
        if (h.d.a < 3) { clone(CloneType.E2E, 4); }
    }
}

#include "frame.p4"
