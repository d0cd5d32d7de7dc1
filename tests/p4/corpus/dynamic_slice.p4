#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.d.b = h.d.z[h.d.a +: 8];
        h.d.x[h.d.a +: 4] = 0xf;
        h.d.c = h.d.z[4 +: 8];
    }
}

#include "frame.p4"
