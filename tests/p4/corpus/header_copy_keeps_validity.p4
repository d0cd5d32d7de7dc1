#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        small_t t;
        h.one = { 1, 2 };
        t = h.one;
        h.one = h.two;
        h.two = t;
    }
}

#include "frame.p4"
