// Operands are evaluated from left to right, each with the effects of the ones before.
#define OWN_INGRESS
#include "types.p4"

bit<8> bump(inout bit<8> v) {
    v = v + 1;
    return v;
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.d.b = h.d.a + bump(h.d.a) + h.d.a;
        h.d.c = bump(h.d.a) - bump(h.d.a);
    }
}

#include "frame.p4"
