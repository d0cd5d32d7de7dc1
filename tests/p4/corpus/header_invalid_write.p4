// A write to an invalid header changes nothing that can be seen.
#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.one.k = 7;
        h.d.a = h.one.k;
        h.one.setValid();
        h.one.v = 1;
        h.one.k = 0;
        small_t t;
        t.v = 9;
        h.two = t;
        if (h.two.isValid()) { h.d.b = 1; }
    }
}

#include "frame.p4"
