#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action set(bit<8> v) { h.d.b = v; }
    table t { key = { h.d.a: exact; } actions = { set; } entries = { 1: set(1); const 2: set(2); } default_action = set(0xff); size = 8; }
    apply { t.apply(); }
}

#include "frame.p4"
