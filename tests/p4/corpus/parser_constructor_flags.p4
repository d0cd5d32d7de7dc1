#define OWN_PARSER
#include "types.p4"

parser Opt(packet_in p, inout headers_t h)(bool two, bit<8> bias) {
    state start { transition select(two) { true: both; false: one; } }
    state both { p.extract(h.one); transition one; }
    state one { p.extract(h.two); h.two.v = h.two.v + bias; transition accept; }
}
parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    Opt(true, 1) a;
    Opt(bias = 2, two = false) b;
    state start {
        p.extract(h.d);
        transition select(h.d.a) { 1: with_a; default: with_b; }
    }
    state with_a { a.apply(p, h); transition accept; }
    state with_b { b.apply(p, h); transition accept; }
}

#include "frame.p4"
