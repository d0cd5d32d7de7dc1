#define OWN_INGRESS
#define OWN_VERIFY
#include "types.p4"

control MyVerify(inout headers_t h, inout meta_t m) { apply { h.d.a = h.d.a + 1; m.n = 3; } }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { h.d.x = m.n; h.d.b = h.d.a; } }

#include "frame.p4"
