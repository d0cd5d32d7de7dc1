// What the list of actions binds is evaluated when the action runs, after the key.
#define OWN_INGRESS
#include "types.p4"

action put(out bit<8> to, in bit<8> from) { to = from; }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    table t { key = { h.d.a: exact; } actions = { put(h.d.b, h.d.c + 1); } default_action = put(h.d.b, h.d.c + 1); }
    apply { h.d.c = 5; t.apply(); }
}

#include "frame.p4"
