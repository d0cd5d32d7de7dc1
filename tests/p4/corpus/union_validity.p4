#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.either.small.setValid();
        h.either.small.k = 1;
        h.either.small.v = 2;
        if (h.d.a == 1) { h.either.wide.setValid(); h.either.wide.n = 5; }
        if (h.d.a == 2) { h.either.small.setInvalid(); }
        if (h.d.a == 3) { h.either.wide = { 0xdeadbeef }; }
        if (h.d.a == 4) { wide_t w; h.either.wide = w; }
        if (h.d.a == 5) { h.either = {#}; }
        if (h.either.isValid()) { h.d.b = 1; }
        if (h.either.small.isValid()) { h.d.c = 1; }
        if (h.either.wide.isValid()) { h.d.c = 2; }
    }
}

#include "frame.p4"
