#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start {
        p.extract(h.d);
        p.extract(h.option, (bit<32>)h.d.op);
        transition accept;
    }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        option_t o = h.option;
        if (o == h.option) { h.d.a = 1; }
        option_t q;
        if (q == h.option) { h.d.b = 1; }
        o.bits = o.bits + 1;
        if (o != h.option) { h.d.c = 1; }
        if (o.data == h.option.data) { h.d.x = 1; }
        h.option = o;
        if (h.d.y == 1) { h.option.setInvalid(); h.option = q; }
    }
}

#include "frame.p4"
