// An out parameter of header type begins invalid.
#define OWN_INGRESS
#include "types.p4"

void make(out small_t t, in bool fill) {
    if (fill) {
        t.setValid();
        t.k = 9;
        t.v = 8;
    }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.one.setValid();
        h.one.k = 1;
        make(h.one, h.d.a == 1);
        make(h.two, h.d.a == 2);
    }
}

#include "frame.p4"
