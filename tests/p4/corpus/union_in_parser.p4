#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start {
        p.extract(h.d);
        transition select(h.d.op) {
            1: small;
            2: wide;
            3: both;
            default: accept;
        }
    }
    state small { p.extract(h.either.small); transition accept; }
    state wide { p.extract(h.either.wide); transition accept; }
    state both { p.extract(h.either.small); p.extract(h.either.wide); transition accept; }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (h.either.small.isValid()) { h.d.a = h.either.small.k; h.either.small.v = 0xee; }
        if (h.either.wide.isValid()) { h.d.b = h.either.wide.n[7:0]; }
    }
}

#include "frame.p4"
