#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action_profile(16) ap;
    action set(bit<8> v) { h.d.b = v; }
    action drop() { mark_to_drop(s); }
    table t { key = { h.d.a: exact; } actions = { set; drop; NoAction; } implementation = ap; default_action = NoAction; }
    table u { key = { h.d.a: exact; } actions = { set; drop; NoAction; } implementation = ap; }
    apply { if (t.apply().hit) { h.d.c = 1; } u.apply(); }
}

#include "frame.p4"
