#define OWN_INGRESS
#include "types.p4"

enum bit<8> E { A = 5, B = 0xf0 }
enum int<8> S { N = -2, P = 2 }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        E e = (E)h.d.a;
        h.d.b = e + 1;
        h.d.c = E.A | E.B;
        if (e == E.A) { h.d.x = 1; }
        S q = (S)(int<8>)h.d.a;
        if (q == S.N) { h.d.x = 2; }
        h.d.y = (bit<16>)(16w1 << E.A);
        int<8> t = S.N;
        h.d.z = (bit<32>)(int<32>)t;
    }
}

#include "frame.p4"
