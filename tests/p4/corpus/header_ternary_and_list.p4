#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.one = { 1, 2 };
        h.two = h.d.a == 1 ? h.one : h.stack[0];
        h.stack[0] = h.d.a == 2 ? h.one : (small_t){ 8, 9 };
    }
}

#include "frame.p4"
