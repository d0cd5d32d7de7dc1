// && and || evaluate their right side only when it matters.
#define OWN_INGRESS
#include "types.p4"

bool yes(inout bit<8> n) { n = n + 1; return true; }
bool no(inout bit<8> n) { n = n + 16; return false; }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (no(h.d.a) && yes(h.d.a)) { h.d.b = 1; }
        if (yes(h.d.a) || no(h.d.a)) { h.d.b = h.d.b + 2; }
        bool t = yes(h.d.c) && no(h.d.c) || yes(h.d.c);
        if (t) { h.d.x = 1; }
    }
}

#include "frame.p4"
