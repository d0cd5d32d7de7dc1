// The second extract overwrites the header, and both parts of the packet are consumed.
#define OWN_PARSER
#include "types.p4"

parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start { p.extract(h.d); p.extract(h.one); p.extract(h.one); transition accept; }
}

#include "frame.p4"
