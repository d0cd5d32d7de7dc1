#define OWN_INGRESS
#include "types.p4"

control Step(inout bit<8> v);
control Inc(inout bit<8> v) { apply { v = v + 1; } }
control Dbl(inout bit<8> v)(bit<8> by) { apply { v = v * by; } }
control Twice(inout bit<8> v)(Step inner) {
    apply { inner.apply(v); inner.apply(v); }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    Twice(Inc()) inc;
    Twice(Dbl(3)) dbl;
    apply { inc.apply(h.d.a); dbl.apply(h.d.b); }
}

#include "frame.p4"
