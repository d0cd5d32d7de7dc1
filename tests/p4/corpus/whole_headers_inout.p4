#define OWN_INGRESS
#include "types.p4"

void touch(inout headers_t x, in bit<8> v) { x.d.a = v; x.one = { v, v }; x.d.b = x.d.b + v; }
control Sub(inout headers_t x, inout bit<8> y) { apply { x.d.c = 5; y = y + 1; x.d.c = x.d.c + 1; } }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        touch(h, h.d.a + 1);
        Sub.apply(h, h.d.c);
        Sub.apply(h, h.d.x[7:0]);
    }
}

#include "frame.p4"
