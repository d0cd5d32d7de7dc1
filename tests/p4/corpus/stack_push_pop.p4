#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start { p.extract(h.d); transition three; }
    state three {
        p.extract(h.stack.next);
        p.extract(h.stack.next);
        p.extract(h.stack.next);
        transition accept;
    }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (h.d.a == 1) { h.stack.push_front(1); h.stack[0] = { 0xaa, 0xbb }; }
        if (h.d.a == 2) { h.stack.push_front(2); }
        if (h.d.a == 3) { h.stack.pop_front(1); }
        if (h.d.a == 4) { h.stack.pop_front(2); h.stack.push_front(1); h.stack[0].setValid(); }
        if (h.d.a == 5) { h.stack.pop_front(4); }
        if (h.d.a == 6) { h.stack.push_front(5); }
        if (h.d.a == 7) { h.stack[1].setInvalid(); }
    }
}

#include "frame.p4"
