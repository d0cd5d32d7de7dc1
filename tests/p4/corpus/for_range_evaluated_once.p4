// The bounds are taken before the first turn; writing to the variable changes that turn only.
#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        for (bit<8> i in 0 .. h.d.a) {
            h.d.a = 0;
            h.d.b += 1;
            i = 100;
        }
        for (bit<8> i in 253 .. 255) { h.d.c += 1; }
        for (bit<8> i in 5 .. 4) { h.d.x += 1; }
    }
}

#include "frame.p4"
