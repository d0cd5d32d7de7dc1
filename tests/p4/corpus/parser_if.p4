#define OWN_PARSER
#include "types.p4"

parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start {
        p.extract(h.d);
        if (h.d.a == 1) {
            p.extract(h.one);
        } else if (h.d.a == 2) {
            p.extract(h.two);
            h.two.k = h.two.k + 1;
        }
        transition accept;
    }
}

#include "frame.p4"
