// A table whose action exits: neither branch of the condition runs.
#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action leave() { h.d.b = 1; exit; }
    action stay() { h.d.b = 2; }
    table t {
        key = { h.d.a: exact; }
        actions = { leave; stay; }
        const entries = { 1: leave(); 2: stay(); }
        default_action = stay();
    }
    apply {
        if (t.apply().hit) { h.d.c = 1; } else { h.d.c = 2; }
        h.d.x = 0xffff;
    }
}

#include "frame.p4"
