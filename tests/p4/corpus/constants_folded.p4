#define OWN_INGRESS
#include "types.p4"

const int big = 1 << 70;
const bit<16> masked = (bit<16>)(big >> 60) | 16w3;
const bit<8> divided = 200 / 7 % 5;
const bool yes = big > 5 && !(3 == 4);
typedef bit<(8 * 2)> two_t;
enum bit<16> Sum { X = masked + 1, Y = masked == 16w3 ? 16w1 : 2 }

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        two_t v = masked;
        h.d.x = v;
        h.d.a = divided;
        if (yes) { h.d.b = 1; }
    }
}

#include "frame.p4"
