#define OWN_INGRESS
#include "types.p4"

control Leaf(inout bit<8> v) {
    action set(bit<8> n) { v = n; }
    table t { key = { v: exact; } actions = { set; } default_action = set(0xee); }
    apply { t.apply(); }
}
control Branch(inout bit<8> v, inout bit<8> w) {
    Leaf() left;
    Leaf() right;
    apply { left.apply(v); right.apply(w); }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    Branch() a;
    Branch() b;
    apply { a.apply(h.d.a, h.d.b); b.apply(h.d.c, h.d.op); }
}

#include "frame.p4"
