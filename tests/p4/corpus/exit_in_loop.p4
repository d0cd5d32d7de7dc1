#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        for (bit<8> i in 0 .. 9) {
            h.d.b = i;
            if (i == h.d.a) { exit; }
        }
        h.d.c = 1;
    }
}

#include "frame.p4"
