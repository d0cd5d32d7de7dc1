#include "types.p4"

header_union choice_t { small_t small; wide_t wide; }
struct list_t { choice_t[3] c; }
parser Options(packet_in p, out list_t l) {
    state start {
        transition select(p.lookahead<bit<8>>()) {
            1: small;
            2: wide;
            default: accept;
        }
    }
    state small { p.extract(l.c.next.small); transition start; }
    state wide { p.extract(l.c.next.wide); transition start; }
}
struct all_t { data_t d; list_t l; }
parser Q(packet_in p, out all_t h, inout meta_t m, inout standard_metadata_t s) {
    Options() options;
    state start { p.extract(h.d); options.apply(p, h.l); transition accept; }
}
control QV(inout all_t h, inout meta_t m) { apply { } }
control QI(inout all_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (h.l.c[0].small.isValid()) { h.d.a = 1; }
        if (h.l.c[0].isValid()) { h.d.b = 1; }
        if (h.l.c[1].wide.isValid()) { h.d.c = h.l.c[1].wide.n[7:0]; }
        if (s.parser_error == error.StackOutOfBounds) { h.d.x = 1; }
        if (h.d.op == 9) { h.l.c.pop_front(1); }
    }
}
control QE(inout all_t h, inout meta_t m, inout standard_metadata_t s) { apply { } }
control QD(packet_out p, in all_t h) { apply { p.emit(h.d); p.emit(h.l.c); } }
V1Switch(Q(), QV(), QI(), QE(), QV(), QD()) main;
#define NO_FRAME

#include "frame.p4"
