#define OWN_INGRESS
#include "types.p4"

void inc(inout bit<4> v) { v = v + 1; }
void both(inout bit<4> v, inout bit<8> w) { v = 7; w[7:4] = 9; }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        inc(h.d.a[7:4]);
        inc(h.d.a[3:0]);
        both(h.d.b[3:0], h.d.c);
    }
}

#include "frame.p4"
