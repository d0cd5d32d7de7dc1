// Fields that are no whole bytes, signed fields and bools in headers.
#include "types.p4"

header odd_t {
    bit<3>  p;
    int<5>  q;
    bool    r;
    bit<15> t;
    bit<33> u;
    int<7>  v;
}
struct hs_t { odd_t odd; }
parser Q(packet_in p, out hs_t h, inout meta_t m, inout standard_metadata_t s) {
    state start { p.extract(h.odd); transition accept; }
}
control QV(inout hs_t h, inout meta_t m) { apply { } }
control QI(inout hs_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.odd.p = h.odd.p + 1;
        h.odd.q = -h.odd.q;
        h.odd.r = !h.odd.r;
        h.odd.t = h.odd.t << 1;
        h.odd.u = h.odd.u - 1;
        h.odd.v = h.odd.v >> 1;
    }
}
control QE(inout hs_t h, inout meta_t m, inout standard_metadata_t s) { apply { } }
control QD(packet_out p, in hs_t h) { apply { p.emit(h.odd); } }
V1Switch(Q(), QV(), QI(), QE(), QV(), QD()) main;
#define NO_FRAME

#include "frame.p4"
