#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action set(bit<8> v) { h.d.b = v; }
    table t { key = { h.stack[h.d.a].k: exact @name("at"); } actions = { set; } default_action = set(0xff); }
    apply {
        h.stack[0] = { 5, 0 };
        h.stack[1] = { 6, 0 };
        t.apply();
        h.stack.pop_front(4);
    }
}

#include "frame.p4"
