#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.stack[0] = { 1, 0x10 };
        h.stack[1] = { 2, 0x20 };
        h.stack[2] = { 3, 0x30 };
        h.stack[h.d.a].v = 0xee;
        h.d.c = h.stack[h.d.b].k;
        h.stack[3] = h.stack[h.d.b];
        if (h.stack[h.d.b].isValid()) { h.d.x = 1; }
        h.stack[h.d.a].k = h.stack[h.d.b].k + h.stack[h.d.b & 1].k;
    }
}

#include "frame.p4"
