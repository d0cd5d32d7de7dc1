#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        bit<256> w = 256w1 << 255;
        w = w + (256w1 << 200) - 1;
        h.d.a = w[255:248];
        h.d.b = w[207:200];
        bit<128> q = 128w0xffffffffffffffffffffffffffffffff;
        q = q * q;
        h.d.c = q[7:0];
        q = (128w1 << 64) * (128w3 << 62);
        h.d.x = q[127:112];
        int<100> s1 = -100s1;
        s1 = s1 >> 40;
        h.d.y = (bit<16>)((bit<100>)s1)[99:84];
        bit<100> sh = 100w1 << h.d.op;
        h.d.z = sh[95:64];
        if (w > (256w1 << 254)) { h.d.op = 1; }
    }
}

#include "frame.p4"
