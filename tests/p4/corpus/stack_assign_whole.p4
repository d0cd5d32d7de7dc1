#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        small_t[4] t;
        t[1] = { 5, 6 };
        t[3] = { 7, 8 };
        h.stack = t;
        t[1].setInvalid();
        if (h.stack == t) { h.d.a = 1; }
        h.stack[1].setInvalid();
        if (h.stack == t) { h.d.b = 1; }
        h.stack[2] = h.stack[3];
        small_t[2] u = { { 1, 2 }, {#} };
        h.one = u[0];
        h.two = u[1];
    }
}

#include "frame.p4"
