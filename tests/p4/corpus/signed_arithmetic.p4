#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        int<8> p = (int<8>)h.d.a;
        int<8> q = (int<8>)h.d.b;
        h.d.c = (bit<8>)(p |+| q);
        int<16> w = (int<16>)p * (int<16>)q;
        h.d.x = (bit<16>)w;
        h.d.y = (p < q ? 8w1 : 0) ++ (bit<8>)(p >> 2);
        h.d.z = (bit<32>)(int<32>)(-p) ^ (32w0 ++ p[7:4])[31:0];
    }
}

#include "frame.p4"
