#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

struct key_t { bit<8> a; @match(ternary) bit<16> x; }
struct range_t { @match(range) bit<8> c; }
parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    value_set<bit<8>>(4) ops;
    value_set<key_t>(4) keys;
    value_set<range_t>(2) ranges;
    state start {
        p.extract(h.d);
        transition select(h.d.op) { ops: one; default: second; }
    }
    state second {
        transition select(h.d.a, h.d.x) { keys: two; (9, _): three; default: third; }
    }
    state third {
        transition select(h.d.c) { ranges: four; default: accept; }
    }
    state one { m.kept = 1; transition accept; }
    state two { m.kept = 2; transition accept; }
    state three { m.kept = 3; transition accept; }
    state four { m.kept = 4; transition accept; }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { h.d.b = m.kept; } }

#include "frame.p4"
