#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

struct pair_t { bit<4> hi; bit<12> lo; }
parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start {
        p.extract(h.d);
        pair_t t = p.lookahead<pair_t>();
        m.kept = (bit<8>)t.hi;
        m.n = (bit<16>)t.lo;
        small_t u = p.lookahead<small_t>();
        if (u.isValid()) { m.lost = u.v; }
        bool top = p.lookahead<bool>();
        m.flag = top;
        m.i = p.lookahead<int<8>>();
        transition select(p.lookahead<tuple<bit<8>, bit<8>>>()[1], p.lookahead<bit<3>>()) {
            (0x34, 0): skip;
            (_, 4 .. 7): accept;
        }
    }
    state skip { p.advance(8); p.extract(h.one); transition accept; }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.d.a = m.kept;
        h.d.b = m.lost;
        if (m.flag) { h.d.c = 1; }
        h.d.x = m.n;
        h.d.y = (bit<16>)(int<16>)m.i;
        if (s.parser_error == error.NoMatch) { h.d.z = 1; }
    }
}

#include "frame.p4"
