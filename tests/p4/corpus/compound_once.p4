// A op= B evaluates A once.
#define OWN_INGRESS
#include "types.p4"

bit<8> take(inout bit<8> n) { n = n + 1; return n; }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.stack[0] = { 10, 11 };
        h.stack[1] = { 12, 13 };
        h.stack[2] = { 14, 15 };
        h.stack[take(h.d.a)].v += 5;
        h.d.x[7:0] |= 3;
        h.d.y <<= 4;
        h.d.z |-|= 1;
    }
}

#include "frame.p4"
