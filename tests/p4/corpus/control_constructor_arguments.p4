#define OWN_INGRESS
#include "types.p4"

control Add(inout bit<8> v)(bit<8> n, bool twice) {
    apply {
        v = v + n;
        if (twice) { v = v + n; }
    }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    Add(3, false) three;
    Add(twice = true, n = 4) eight;
    apply {
        three.apply(h.d.a);
        eight.apply(h.d.b);
        three.apply(h.d.c);
    }
}

#include "frame.p4"
