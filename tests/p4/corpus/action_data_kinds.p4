#define OWN_INGRESS
#include "types.p4"

enum Colour { Red, Green }
enum bit<8> Kind { A = 3, B = 4 }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action set(bool f, int<8> i, Kind k, bit<100> w, bit<1> one) {
        if (f) { h.d.a = 1; }
        h.d.b = (bit<8>)i;
        h.d.c = (bit<8>)k;
        h.d.x = w[99:84];
        h.d.y = (bit<16>)one;
    }
    table t { key = { h.d.op: exact; } actions = { set; NoAction; } default_action = set(true, -2, Kind.B, 100w1 << 99, 1); }
    apply { t.apply(); }
}

#include "frame.p4"
