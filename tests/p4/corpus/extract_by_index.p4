// Extracting to an element by its index leaves `next` where it was.
#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start {
        p.extract(h.d);
        p.extract(h.stack[2]);
        p.extract(h.stack.next);
        p.extract(h.stack.next);
        m.n = (bit<16>)h.stack.lastIndex;
        m.kept = h.stack.last.v;
        transition accept;
    }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { h.d.x = m.n; h.d.a = m.kept; } }

#include "frame.p4"
