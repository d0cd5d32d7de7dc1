#define OWN_INGRESS
#include "types.p4"

struct pair_t { bit<8> first; bit<16> second; }
pair_t swap(in bit<8> p, in bit<16> q) {
    return { q[7:0], (bit<16>)p };
}
pair_t named(in bit<8> p) {
    return { second = 7, first = p };
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        pair_t t = swap(h.d.a, h.d.x);
        h.d.a = t.first;
        h.d.x = t.second;
        h.d.b = named(9).first;
        h.d.y = named(9).second;
    }
}

#include "frame.p4"
