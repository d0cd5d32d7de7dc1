#define OWN_PARSER
#include "types.p4"

parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start {
        p.extract<small_t>(_);
        p.extract(h.d);
        p.advance(16);
        p.extract(h.one);
        transition accept;
    }
}

#include "frame.p4"
