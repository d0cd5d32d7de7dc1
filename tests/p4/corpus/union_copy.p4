#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        either_t u;
        either_t t;
        u.small.setValid();
        u.small = { 3, 4 };
        if (h.d.a == 1) { u.wide = { 7 }; }
        if (h.d.a == 2) { u = t; }
        h.either = u;
        if (u == h.either) { h.d.b = 1; }
        if (t == u) { h.d.c = 1; }
    }
}

#include "frame.p4"
