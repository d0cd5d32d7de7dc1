// An argument that is copied in early, and another one for the same place: the later copy-out wins.
#define OWN_INGRESS
#include "types.p4"

bit<8> f(inout bit<8> p, out bit<8> q, in bit<8> r) {
    q = 2;
    p = p + 1;
    return r;
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        f(h.d.a, h.d.a, f(h.d.b, h.d.c, 5));
        f(h.d.b, h.d.b, f(h.d.b, h.d.b, h.d.b));
    }
}

#include "frame.p4"
