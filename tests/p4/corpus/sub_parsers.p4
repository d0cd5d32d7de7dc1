#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

parser Pair(packet_in p, out small_t t, inout bit<8> n)(bit<8> step) {
    bit<8> k = step;
    state start {
        p.extract(t);
        k = k + t.k;
        n = n + k;
        transition select(t.v) {
            0xff: reject;
            default: accept;
        }
    }
}
parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    Pair(1) first;
    Pair(2) second;
    state start {
        p.extract(h.d);
        first.apply(p, h.one, h.d.a);
        second.apply(p, h.two, h.d.a);
        transition select(h.d.op) { 1: again; default: accept; }
    }
    state again {
        first.apply(p, h.stack.next, h.d.b);
        transition accept;
    }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { if (h.two.isValid()) { h.d.c = 1; } } }

#include "frame.p4"
