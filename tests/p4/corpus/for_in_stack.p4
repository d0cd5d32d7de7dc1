#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.stack[0] = { 1, 2 };
        h.stack[2] = { 3, 4 };
        for (small_t t in h.stack) {
            if (t.isValid()) { h.d.a += t.k; h.d.b += 1; }
        }
        for (bit<8> i in 0 .. 3) {
            h.stack[i].v = i;
        }
    }
}

#include "frame.p4"
