#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { h.d.a = m.kept; h.d.x = m.n; m.kept = 1; m.n = 2; m.flag = true; } }

#include "frame.p4"
