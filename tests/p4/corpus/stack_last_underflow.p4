#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start { p.extract(h.d); m.kept = h.stack.last.v; transition accept; }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { if (s.parser_error == error.StackOutOfBounds) { h.d.a = 1; } } }

#include "frame.p4"
