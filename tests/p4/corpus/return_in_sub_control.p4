// return ends one control only, and copies out.
#define OWN_INGRESS
#include "types.p4"

control Inner(inout bit<8> v, in bit<8> when) {
    apply {
        v = v + 1;
        if (when == 0) return;
        v = v + 1;
    }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        Inner.apply(h.d.a, h.d.b);
        h.d.c = 1;
        if (h.d.b == 2) { return; }
        h.d.c = 2;
    }
}

#include "frame.p4"
