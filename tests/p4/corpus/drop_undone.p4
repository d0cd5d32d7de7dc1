// The last write to egress_spec counts.
#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { mark_to_drop(s); if (h.d.a == 1) { s.egress_spec = 6; } } }

#include "frame.p4"
