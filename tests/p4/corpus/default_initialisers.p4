#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        small_t a = ...;
        small_t b = { k = 5, ... };
        small_t c = { ... };
        h.one = b;
        h.two = c;
        h.stack[0] = a;
        h.d = { a = 7, ... };
    }
}

#include "frame.p4"
