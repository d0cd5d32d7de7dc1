#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action inc() { h.d.a = h.d.a + 1; }
    action dflt(bit<8> v) { h.d.b = h.d.b + v; }
    table t { key = { h.d.a: exact; } actions = { inc; @defaultonly dflt; } default_action = dflt(3); }
    apply { t.apply(); t.apply(); if (t.apply().hit) { h.d.c = 1; } }
}

#include "frame.p4"
