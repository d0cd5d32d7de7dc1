#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    tuple<bit<8>, tuple<bool, bit<16>>> t;
    apply {
        t = { h.d.a, { h.d.b == 1, h.d.x } };
        h.d.c = t[0];
        if (t[1][0]) { h.d.y = t[1][1]; }
        tuple<bit<8>, tuple<bool, bit<16>>> u = t;
        if (u == t) { h.d.z = 1; }
    }
}

#include "frame.p4"
