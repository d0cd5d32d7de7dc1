#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { s.egress_spec = (bit<9>)h.d.x; } }

#include "frame.p4"
