#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        switch (h.d.a) {
            1: { h.d.b = 1; }
            2:
            3: { h.d.b = 2; }
            4 + 1: { h.d.b = 3; }
            default: { h.d.b = 9; }
        }
        switch (h.d.x + 1) {
            16w0: { h.d.c = 1; }
            0x100: { h.d.c = 2; }
        }
    }
}

#include "frame.p4"
