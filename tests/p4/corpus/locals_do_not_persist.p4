// Variables of a control begin anew at each call; those of its declarations, too.
#define OWN_INGRESS
#include "types.p4"

control Count(out bit<8> n) {
    bit<8> k = 5;
    apply {
        k = k + 1;
        n = k;
    }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    Count() count;
    apply {
        count.apply(h.d.a);
        count.apply(h.d.b);
    }
}

#include "frame.p4"
