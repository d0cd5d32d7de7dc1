#include "types.p4"

control MyI(inout headers_t h, inout meta_t m, inout standard_metadata_t s)(bit<9> port, bit<8> v) {
    apply { s.egress_spec = port; h.d.a = v; }
}
#define OWN_INGRESS
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    MyI(port = 3, v = 9) inner;
    apply { inner.apply(h, m, s); }
}

#include "frame.p4"
