#define OWN_INGRESS
#include "types.p4"

// Values of any size, known where a call gives them.
bit<8> f(int a, in bit<8> b) { return (a + 3 > 5 ? b : b << 1) + a; }
control Sum(int a, out bit<8> b) {
    action more() { b = b + a; }
    apply { b = a + 8w1; more(); b = b + f(a, b) + f(7, b); }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    Sum() sum;
    apply {
        Sum.apply(3, h.d.a);
        sum.apply(1 << 20, h.d.b);
        sum.apply(-2, h.d.c);
        const int<6> places = 2;  // signed, and a constant
        h.d.x = (bit<16>)(8w1 << places);
    }
}

#include "frame.p4"
