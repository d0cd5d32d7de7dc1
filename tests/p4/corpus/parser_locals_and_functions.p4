#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

bit<8> next(in bit<8> v) { return v + 1; }
parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    bit<8> count = 2;
    small_t t;
    state start {
        p.extract(h.d);
        count = next(count);
        transition loop;
    }
    state loop {
        p.extract(t);
        m.n = m.n + (bit<16>)t.v;
        count = count - 1;
        transition select(count) { 0: accept; default: loop; }
    }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { h.d.x = m.n; } }

#include "frame.p4"
