// The next index goes in and out with the stack.
#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

parser More(packet_in p, inout small_t[4] st) {
    state start {
        p.extract(st.next);
        transition select(st.last.k) { 0xff: accept; default: start; }
    }
}
parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    More() more;
    state start {
        p.extract(h.d);
        p.extract(h.stack.next);
        more.apply(p, h.stack);
        p.extract(h.stack.next);
        transition accept;
    }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { if (s.parser_error == error.NoError) { h.d.a = 1; } h.stack[0].v = 9; } }

#include "frame.p4"
