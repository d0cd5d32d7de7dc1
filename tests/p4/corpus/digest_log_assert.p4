#define OWN_INGRESS
#include "types.p4"

struct note_t { bit<8> a; bit<16> x; }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        digest<note_t>(1, { h.d.a, h.d.x });
        log_msg("a = {} and x = {}", { h.d.a, h.d.x });
        log_msg("nothing");
        assert(h.d.a != 9);
        assume(h.d.a != 8);
        h.d.b = 1;
    }
}

#include "frame.p4"
