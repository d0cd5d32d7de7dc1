#define OWN_INGRESS
#include "types.p4"

bit<8> add(in bit<8> p, in bit<8> q) { return p + q; }
bit<8> twice(in bit<8> p) { return add(p, p); }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.d.a = add(twice(h.d.a), twice(add(h.d.b, 1)));
    }
}

#include "frame.p4"
