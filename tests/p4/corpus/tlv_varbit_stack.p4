#include "types.p4"

header tlv_t { bit<8> kind; bit<8> length; varbit<64> value; }
struct top_t { bit<8> kind; bit<8> length; }
struct all_t { data_t d; tlv_t[3] t; }
parser Q(packet_in p, out all_t h, inout meta_t m, inout standard_metadata_t s) {
    bit<8> left;
    state start { p.extract(h.d); left = h.d.a; transition next; }
    state next { transition select(left) { 0: accept; default: one; } }
    state one {
        bit<8> n = p.lookahead<top_t>().length;
        verify(n >= 2, error.ParserInvalidArgument);
        p.extract(h.t.next, (bit<32>)((n - 2) << 3));
        left = left - n;
        transition next;
    }
}
control QV(inout all_t h, inout meta_t m) { apply { } }
control QI(inout all_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (s.parser_error == error.StackOutOfBounds) { h.d.b = 1; }
        if (s.parser_error == error.HeaderTooShort) { h.d.b = 2; }
        if (s.parser_error == error.ParserInvalidArgument) { h.d.b = 3; }
        if (h.t[0].isValid()) { h.t[0].kind = 0xee; }
        if (h.d.op == 1) { h.t.pop_front(1); }
        if (h.d.op == 2) { h.t[2] = h.t[0]; }
        if (h.d.op == 3 && h.t[0] == h.t[1]) { h.d.c = 1; }
    }
}
control QE(inout all_t h, inout meta_t m, inout standard_metadata_t s) { apply { } }
control QD(packet_out p, in all_t h) { apply { p.emit(h); } }
V1Switch(Q(), QV(), QI(), QE(), QV(), QD()) main;
#define NO_FRAME

#include "frame.p4"
