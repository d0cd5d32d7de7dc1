#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action a(bit<8> v) {
        switch (v) {
            0: { h.d.b = 5; }
            1: { h.d.b = 6; exit; }
            default: { h.d.b = 7; return; }
        }
        h.d.c = 1;
    }
    apply { a(h.d.a); h.d.x = 1; }
}

#include "frame.p4"
