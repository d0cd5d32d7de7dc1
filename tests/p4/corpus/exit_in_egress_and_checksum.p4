#define OWN_INGRESS
#define OWN_EGRESS
#define OWN_UPDATE
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { h.d.a = 1; exit; } }
control MyEgress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { h.d.b = 1; if (h.d.op == 1) { exit; } h.d.c = 1; } }
control MyUpdate(inout headers_t h, inout meta_t m) { apply { h.d.x = 1; } }

#include "frame.p4"
