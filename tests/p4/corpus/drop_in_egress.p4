#define OWN_INGRESS
#define OWN_EGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { s.egress_spec = 1; } }
control MyEgress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { if (h.d.a == 1) { mark_to_drop(s); } if (h.d.a == 2) { s.egress_spec = 511; } if (h.d.a == 3) { s.egress_spec = 5; } } }

#include "frame.p4"
