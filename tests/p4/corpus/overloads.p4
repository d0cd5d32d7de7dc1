#define OWN_INGRESS
#include "types.p4"

bit<8> f(in bit<8> v) { return v + 1; }
bit<8> f(in bit<8> v, in bit<8> w) { return v + w; }
bit<8> f() { return 7; }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.d.a = f();
        h.d.b = f(h.d.b);
        h.d.c = f(w = 2, v = h.d.c);
    }
}

#include "frame.p4"
