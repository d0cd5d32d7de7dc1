#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.one.setValid();
        h.one = { 1, 2 };
        small_t t = { 1, 2 };
        small_t u;
        if (h.one == t) { h.d.a = 1; }
        if (h.two == u) { h.d.b = 1; }
        if (h.one == u) { h.d.c = 1; }
        t.v = 3;
        if (h.one != t) { h.d.x = 1; }
        h.one.setInvalid();
        if (h.one == u) { h.d.y = 1; }
        if (h.one == {#}) { h.d.z = 1; }
    }
}

#include "frame.p4"
