// The largest priority number wins, and of equal ones the first entry.
#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action set(bit<8> v) { h.d.b = v; }
    table t { key = { h.d.a: ternary; h.d.x: ternary; } actions = { set; NoAction; } default_action = NoAction; }
    apply { t.apply(); }
}

#include "frame.p4"
