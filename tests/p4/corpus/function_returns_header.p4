#define OWN_INGRESS
#include "types.p4"

small_t made(in bit<8> k) {
    small_t t;
    t.setValid();
    t.k = k;
    t.v = ~k;
    return t;
}
small_t none() {
    small_t t;
    return t;
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.one = made(h.d.a);
        h.two = made(3);
        if (h.d.b == 1) { h.two = none(); }
        h.d.c = made(7).v;
    }
}

#include "frame.p4"
