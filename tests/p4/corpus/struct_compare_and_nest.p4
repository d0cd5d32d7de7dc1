#define OWN_INGRESS
#include "types.p4"

struct in_t { bit<8> p; bool q; }
struct out_t { in_t i; small_t t; tuple<bit<8>, bit<4>> u; }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        out_t x = { { 1, true }, { 2, 3 }, { 4, 5 } };
        out_t y = x;
        if (x == y) { h.d.a = 1; }
        y.i.q = false;
        if (x != y) { h.d.b = 1; }
        if (x.i == { 1, true }) { h.d.c = x.u[0]; }
        x.t.setInvalid();
        y = x;
        if (x == y && !y.t.isValid()) { h.d.x = 1; }
        h.one = y.t;
        if (x.u == { 8w4, 4w5 }) { h.d.y = 1; }
    }
}

#include "frame.p4"
