// Each direct application is an instance of its own, with tables of its own names.
#define OWN_INGRESS
#include "types.p4"

control Look(inout bit<8> v) {
    bit<8> seen = 0;
    apply { seen = seen + v; v = seen + 1; }
}
control Outer(inout bit<8> v) { apply { Look.apply(v); } }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply { Look.apply(h.d.a); Outer.apply(h.d.a); Look.apply(h.d.b); }
}

#include "frame.p4"
