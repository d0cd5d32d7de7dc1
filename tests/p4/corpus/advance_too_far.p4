#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start { p.extract(h.d); p.advance((bit<32>)h.d.a << 3); p.extract(h.one); transition accept; }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { if (s.parser_error == error.PacketTooShort) { h.d.b = 1; } } }

#include "frame.p4"
