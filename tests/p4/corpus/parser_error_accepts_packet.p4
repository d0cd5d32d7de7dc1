// What was extracted before the error stays; ingress runs and the rest is payload.
#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

error { Mine, Other }
parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start {
        p.extract(h.d);
        verify(h.d.op != 1, error.Mine);
        verify(h.d.op < 5, error.Other);
        transition select(h.d.op) {
            0: accept;
            2: reject;
            3: more;
        }
    }
    state more { p.extract(h.one); verify(false, error.Mine); transition accept; }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (s.parser_error == error.Mine) { h.d.a = 1; }
        else if (s.parser_error == error.Other) { h.d.a = 2; }
        else if (s.parser_error == error.NoMatch) { h.d.a = 3; }
        else if (s.parser_error == error.NoError) { h.d.a = 4; }
        if (h.one.isValid()) { h.d.b = 1; }
    }
}

#include "frame.p4"
