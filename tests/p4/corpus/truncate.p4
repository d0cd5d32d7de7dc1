#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { s.egress_spec = 1; truncate((bit<32>)h.d.a); } }

#include "frame.p4"
