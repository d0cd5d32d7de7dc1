// With an exact and an lpm key the longest prefix wins; beside a ternary key priorities decide.
#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action set(bit<8> v) { h.d.b = v; }
    table p { key = { h.d.a: exact; h.d.x: lpm; } actions = { set; } default_action = set(0); }
    table q { key = { h.d.c: ternary; h.d.y: lpm; } actions = { set; } default_action = set(0xf0); }
    apply { if (h.d.op == 0) { p.apply(); } else { q.apply(); } }
}

#include "frame.p4"
