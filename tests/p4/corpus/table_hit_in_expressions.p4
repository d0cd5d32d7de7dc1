#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action n() { h.d.x = h.d.x + 1; }
    table t { key = { h.d.a: exact; } actions = { n; } const entries = { 1: n(); } default_action = n(); }
    table e { actions = { n; } default_action = n(); }
    apply {
        h.d.b = t.apply().hit ? 8w5 : 6;
        bool m1 = t.apply().miss;
        if (m1 || t.apply().hit) { h.d.c = 1; }
        if (e.apply().hit) { h.d.c = 9; }
        if (!e.apply().miss && t.apply().hit) { h.d.c = 8; }
    }
}

#include "frame.p4"
