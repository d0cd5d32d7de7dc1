// exit in a sub-control ends all callers; values are copied out.
#define OWN_INGRESS
#include "types.p4"

control Inner(inout bit<8> v, out bit<8> w) {
    apply {
        v = v + 1;
        w = 5;
        if (v == 3) { exit; }
        v = v + 1;
    }
}
control Middle(inout headers_t h) {
    Inner() inner;
    apply {
        inner.apply(h.d.a, h.d.b);
        h.d.c = 0xcc;
    }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    Middle() middle;
    apply {
        middle.apply(h);
        h.d.x = 0xffff;
    }
}

#include "frame.p4"
