#include "types.p4"

header empty_t { }
struct all_t { data_t d; empty_t e; small_t one; }
parser Q(packet_in p, out all_t h, inout meta_t m, inout standard_metadata_t s) {
    state start { p.extract(h.d); p.extract(h.e); transition accept; }
}
control QV(inout all_t h, inout meta_t m) { apply { } }
control QI(inout all_t h, inout meta_t m, inout standard_metadata_t s) {
    apply { if (h.e.isValid()) { h.d.a = 1; } h.e.setInvalid(); empty_t f = {}; if (f.isValid()) { h.d.b = 1; } }
}
control QE(inout all_t h, inout meta_t m, inout standard_metadata_t s) { apply { } }
control QD(packet_out p, in all_t h) { apply { p.emit(h); } }
V1Switch<all_t, meta_t>(Q(), QV(), QI(), QE(), QV(), QD()) main;
#define NO_FRAME

#include "frame.p4"
