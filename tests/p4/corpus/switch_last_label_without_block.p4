#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.d.b = 7;
        switch (h.d.a) {
            1: { h.d.b = 1; }
            2:
            default:
        }
    }
}

#include "frame.p4"
