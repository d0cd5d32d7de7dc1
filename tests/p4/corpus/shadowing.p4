#define OWN_INGRESS
#include "types.p4"

const bit<8> v = 1;
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    bit<8> w = v;
    apply {
        bit<8> v = w + 1;
        {
            bit<8> v = 40;
            h.d.a = v;
            h.d.c = .v;
        }
        h.d.b = v;
    }
}

#include "frame.p4"
