#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        bit<1> b = 1;
        int<1> i = -1;
        b = b + 1;
        h.d.a[0:0] = b;
        h.d.a[1:1] = ~b;
        h.d.b = (bit<8>)(i == -1 ? 8w1 : 0);
        bool t = (bool)h.d.c[7:7];
        h.d.c[0:0] = (bit<1>)!t;
        bit<0> none = 0;
        h.d.x = (bit<16>)(none ++ h.d.b);
        bit h1 = 1w1;
        h.d.y = (bit<16>)(8w0 ++ h1);
    }
}

#include "frame.p4"
