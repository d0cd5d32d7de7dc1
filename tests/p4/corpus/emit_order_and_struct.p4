#define OWN_INGRESS
#define OWN_DEPARSER
#include "types.p4"

struct deep_t { small_t a; either_t e; small_t[2] s; }
control MyDeparser(packet_out p, in headers_t h) {
    apply {
        deep_t d;
        d.s[1] = { 3, 3 };
        d.a = { 1, 1 };
        d.e.wide = { 2 };
        p.emit(h.one);
        p.emit(d);
        p.emit(h.d);
        if (h.d.a == 1) { p.emit(h.two); }
        p.emit(h.stack[1]);
    }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { h.one = { 9, 9 }; h.two = { 8, 8 }; h.stack[1] = { 7, 7 }; } }

#include "frame.p4"
