#define OWN_INGRESS
#include "types.p4"

action put(inout bit<8> to, in bit<8> from, bit<8> v) { to = from + v; }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    table t {
        key = { h.d.op: exact; }
        actions = { put(h.d.b, h.d.a); NoAction; }
        default_action = put(h.d.b, h.d.a, 7);
    }
    apply { t.apply(); put(h.d.c, h.d.b, h.d.b); }
}

#include "frame.p4"
