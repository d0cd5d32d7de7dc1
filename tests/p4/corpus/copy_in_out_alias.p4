// Arguments are copied in from left to right and out from left to right: the last writer wins.
#define OWN_INGRESS
#include "types.p4"

void two(inout bit<8> p, inout bit<8> q) {
    p = p + 1;
    q = q + 10;
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        two(h.d.a, h.d.a);
        two(h.d.b, h.d.c);
    }
}

#include "frame.p4"
