// Key sets need not be constants.
#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    bit<8> want;
    state start {
        p.extract(h.d);
        want = h.d.b + 1;
        transition select(h.d.a) {
            want: one;
            h.d.c &&& 0xf0: two;
            h.d.b .. h.d.c: three;
            default: accept;
        }
    }
    state one { m.kept = 1; transition accept; }
    state two { m.kept = 2; transition accept; }
    state three { m.kept = 3; transition accept; }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { h.d.op = m.kept; } }

#include "frame.p4"
