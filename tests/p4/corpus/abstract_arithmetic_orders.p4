// Precedence: & | ^ bind tighter than comparisons; ++ is as + is; shifts come after sums.
#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (h.d.a & 0xf == 5) { h.d.b = 1; }
        h.d.c = h.d.a + 1 << 1;
        h.d.x = h.d.a ++ (h.d.a + 8w0) ++ 0w0;
        h.d.y = 16w1 | 16w6 ^ 16w2 & 16w3;
        h.d.z = (bit<32>)(-8w1) |-| 32w0xfe;
    }
}

#include "frame.p4"
