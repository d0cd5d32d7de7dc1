#define OWN_INGRESS
#include "types.p4"

#define FIELD(n) h.d.n
#define SUM(p, q) ((p) + (q))
#define JOIN_(p, q) p ## q
#define JOIN(p, q) JOIN_(p, q)
#define NOTHING
#define MANY \
    h.d.c = 1; \
    h.d.x = 2;
NOTHING
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        FIELD(a) = SUM(1, SUM(2, 3));
        h.d.JOIN(b, ) = 4;
        MANY
#ifdef SUM
        h.d.y = 5;
#endif
#undef SUM
#ifndef SUM
        h.d.z = 6;
#endif
    }
}

#include "frame.p4"
