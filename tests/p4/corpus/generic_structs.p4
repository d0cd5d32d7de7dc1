#define OWN_INGRESS
#include "types.p4"

struct pair_t<T, U> { T first; U second; }
header box_t<T> { T value; }
pair_t<U, T> flip<T, U>(in pair_t<T, U> p) { return { p.second, p.first }; }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        pair_t<bit<8>, bit<16>> p = { h.d.a, h.d.x };
        pair_t<bit<16>, bit<8>> q = flip(p);
        h.d.y = q.first;
        h.d.b = q.second;
        box_t<bit<32>> b = { 0xdeadbeef };
        box_t<bit<32>>[2] st;
        st[1] = b;
        if (st[1].isValid() && !st[0].isValid()) { h.d.z = st[1].value; }
        pair_t<pair_t<bit<8>, bit<8>>, bool> n = { { 1, 2 }, true };
        if (n.second) { h.d.c = n.first.second; }
    }
}

#include "frame.p4"
