#define OWN_INGRESS
#include "types.p4"

bit<16> power(in bit<16> base, in bit<8> n) {
    bit<16> r = 1;
    for (bit<8> i = 0; i < n; i = i + 1) {
        if (r > 1000) { return 0xffff; }
        r = r * base;
    }
    return r;
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action sum(bit<8> n) {
        for (bit<8> i in 1 .. n) {
            if (i == 5) { return; }
            h.d.x = h.d.x + (bit<16>)i;
        }
        h.d.b = 1;
    }
    apply {
        sum(h.d.a);
        h.d.y = power(3, h.d.a);
    }
}

#include "frame.p4"
