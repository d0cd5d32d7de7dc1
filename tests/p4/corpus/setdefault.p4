#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action set(bit<8> v) { h.d.b = v; }
    action none() { h.d.b = 0xee; }
    table t { key = { h.d.a: exact; } actions = { set; none; } default_action = none(); }
    apply { t.apply(); }
}

#include "frame.p4"
