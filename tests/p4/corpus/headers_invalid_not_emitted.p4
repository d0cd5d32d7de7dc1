#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (h.d.a == 1) { h.d.setInvalid(); }
        if (h.d.isValid()) { h.d.b = 1; }
    }
}

#include "frame.p4"
