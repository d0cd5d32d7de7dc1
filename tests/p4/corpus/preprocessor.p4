#define OWN_INGRESS
#include "types.p4"

#define ADD 3
#define TWICE ADD + ADD
#ifdef NOTHING
this is no P4
#else
#define OK 1
#endif
#if OK && defined(ADD) && !defined(NOTHING) && ADD * 2 >= 6
#define RESULT 0x77
#elif 1
#error "unreachable"
#endif
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.d.a = TWICE;
        h.d.b = RESULT;
#if 0
        h.d.c = 1;
#endif
        h.d.x = \
            5;
    }
}

#include "frame.p4"
