#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        bit<8> sum = 0;
        for (bit<8> i = 0; i < h.d.a; i += 1) {
            if (i == 2) { continue; }
            if (i == 6) { break; }
            sum += i;
        }
        h.d.b = sum;
        for (bit<8> i in 1 .. h.d.a) {
            for (bit<8> j in 8w1 .. i) {
                if (j == 3) break;
                h.d.c += 1;
            }
        }
        for (bit<16> v in { 16w1, 16w10, h.d.y }) { h.d.x += v; }
        for (bit<8> i = 0, bit<8> j = 9; i < j; i += 1, j -= 2) { h.d.z += (bit<32>)(j - i); }
    }
}

#include "frame.p4"
