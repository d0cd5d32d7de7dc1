// Field lists keep whole structs and headers, and one field may be in several lists.
#include "types.p4"

struct deep_t { bit<8> p; bit<16> q; }
struct mine_t {
    @field_list(1) deep_t deep;
    @field_list(1, 2) bit<8> both;
    @field_list(2) small_t head;
    bit<8> none;
    @field_list(1) bool yes;
    @field_list(1) int<8> sign;
}
struct all_t { data_t d; small_t out1; }
parser Q(packet_in p, out all_t h, inout mine_t m, inout standard_metadata_t s) {
    state start { p.extract(h.d); transition accept; }
}
control QV(inout all_t h, inout mine_t m) { apply { } }
control QI(inout all_t h, inout mine_t m, inout standard_metadata_t s) {
    apply {
        if (s.instance_type == 0) {
            m.deep = { 1, 0x0203 };
            m.both = 4;
            m.head = { 5, 6 };
            m.none = 7;
            m.yes = true;
            m.sign = -1;
            if (h.d.op == 1) { resubmit_preserving_field_list(1); } else { resubmit_preserving_field_list(2); }
        } else {
            h.d.a = m.deep.p;
            h.d.x = m.deep.q;
            h.d.b = m.both;
            h.d.c = m.none;
            h.out1 = m.head;
            if (m.yes) { h.d.y = (bit<16>)(int<16>)m.sign; }
        }
    }
}
control QE(inout all_t h, inout mine_t m, inout standard_metadata_t s) { apply { } }
control QD(packet_out p, in all_t h) { apply { p.emit(h); } }
V1Switch(Q(), QV(), QI(), QE(), QV(), QD()) main;
#define NO_FRAME

#include "frame.p4"
