#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start {
        p.extract(h.d);
        transition more;
    }
    state more {
        p.extract(h.stack.next);
        transition select(h.stack.last.k) {
            0: accept;
            0xff: done;
            _: more;
        }
    }
    state done {
        m.n = (bit<16>)h.stack.lastIndex;
        transition accept;
    }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.d.x = m.n;
        if (s.parser_error == error.StackOutOfBounds) { h.d.a = 1; }
        if (s.parser_error == error.PacketTooShort) { h.d.a = 2; }
    }
}

#include "frame.p4"
