#define OWN_INGRESS
#include "types.p4"

bit<8> count(inout bit<8> n, in bit<8> r) { n = n + 1; return r; }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.d.a = h.d.op == 1 ? count(h.d.b, 5) : count(h.d.c, 6);
    }
}

#include "frame.p4"
