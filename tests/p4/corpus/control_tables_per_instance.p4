// Each instance has tables of its own.
#define OWN_INGRESS
#include "types.p4"

control Look(inout bit<8> v) {
    action set(bit<8> n) { v = n; }
    table t {
        key = { v: exact; }
        actions = { set; NoAction; }
        default_action = NoAction();
    }
    apply { t.apply(); }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    Look() first;
    Look() second;
    apply {
        first.apply(h.d.a);
        second.apply(h.d.b);
    }
}

#include "frame.p4"
