#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start {
        p.extract(h.d);
        bit<8> n = p.lookahead<bit<8>>();
        p.extract(h.option, (bit<32>)n);
        transition accept;
    }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (s.parser_error == error.HeaderTooShort) { h.d.a = 1; }
        if (s.parser_error == error.PacketTooShort) { h.d.a = 2; }
        if (s.parser_error == error.ParserInvalidArgument) { h.d.a = 3; }
        if (h.option.isValid()) { h.d.b = h.option.bits; h.option.bits = 0; }
    }
}

#include "frame.p4"
