#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action a(bit<8> v) {
        if (v == 1) { h.d.b = 1; return; }
        if (v == 2) return;
        h.d.c = v;
    }
    apply {
        a(h.d.a);
        h.d.x = 1;
    }
}

#include "frame.p4"
