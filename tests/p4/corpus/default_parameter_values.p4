#define OWN_INGRESS
#include "types.p4"

bit<8> f(in bit<8> v, in bit<8> w = 3, in bit<8> u = 10) { return v + w + u; }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action a(inout bit<8> t, bit<8> d = 5) { t = t + d; }
    apply {
        h.d.a = f(1);
        h.d.b = f(1, 1);
        h.d.c = f(u = 0, v = 2);
        bit<8> k = 1;
        a(k);
        a(k, 7);
        h.d.x = (bit<16>)k;
    }
}

#include "frame.p4"
