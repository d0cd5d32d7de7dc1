#include "types.p4"

struct mine_t { small_t t; small_t[2] st; either_t u; bit<8> n; }
struct all_t { data_t d; small_t one; }
parser Q(packet_in p, out all_t h, inout mine_t m, inout standard_metadata_t s) {
    state start { p.extract(h.d); p.extract(m.t); p.extract(m.st.next); p.extract(m.u.wide); transition accept; }
}
control QV(inout all_t h, inout mine_t m) { apply { } }
control QI(inout all_t h, inout mine_t m, inout standard_metadata_t s) {
    apply {
        if (m.t.isValid() && m.st[0].isValid() && !m.st[1].isValid() && m.u.isValid()) { h.one = m.t; }
        m.st[1] = m.st[0];
        h.d.a = m.st[1].k;
        h.d.z = m.u.wide.n;
        m.t.setInvalid();
    }
}
control QE(inout all_t h, inout mine_t m, inout standard_metadata_t s) { apply { if (!m.t.isValid() && m.st[1].isValid()) { h.d.b = 1; } } }
control QD(packet_out p, in all_t h) { apply { p.emit(h); } }
V1Switch(Q(), QV(), QI(), QE(), QV(), QD()) main;
#define NO_FRAME

#include "frame.p4"
