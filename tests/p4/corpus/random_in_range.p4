#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { random(h.d.a, 5, 5); random(h.d.x, 16w0x1200, 16w0x12ff); bit<32> r; random<bit<32>>(r, 0, 3); if (r > 3) { h.d.b = 1; } } }

#include "frame.p4"
