#define OWN_EGRESS
#define OWN_UPDATE
#include "types.p4"

control MyUpdate(inout headers_t h, inout meta_t m) { apply { h.d.a = h.d.a + 1; h.one = { 1, 1 }; if (m.n == 3) { h.d.b = 9; } } }
control MyEgress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { m.n = 3; h.d.a = 0x10; } }

#include "frame.p4"
