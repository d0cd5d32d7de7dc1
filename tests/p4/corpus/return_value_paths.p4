#define OWN_INGRESS
#include "types.p4"

bit<8> f(in bit<8> v) {
    switch (v) {
        0: { return 10; }
        1: { for (bit<8> i in 0 .. 9) { if (i == 4) { return i; } } return 99; }
        default: { if (v > 100) { return 1; } else { return 2; } }
    }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { h.d.b = f(h.d.a); } }

#include "frame.p4"
