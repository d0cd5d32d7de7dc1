// The index of an l-value argument is evaluated once, before the call.
#define OWN_INGRESS
#include "types.p4"

void bump(inout bit<8> i, inout bit<8> v) {
    i = i + 1;
    v = v + 16;
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.stack[0] = { 1, 1 };
        h.stack[1] = { 2, 2 };
        bit<8> i = 0;
        bump(i, h.stack[i].v);
        h.d.a = i;
    }
}

#include "frame.p4"
