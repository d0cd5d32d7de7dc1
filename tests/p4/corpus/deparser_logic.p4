#define OWN_INGRESS
#define OWN_DEPARSER
#include "types.p4"

bit<8> twice(in bit<8> v) { return v * 2; }
control MyDeparser(packet_out p, in headers_t h) {
    small_t local;
    apply {
        if (h.d.a == 1) {
            local.setValid();
            local.k = twice(h.d.b);
            local.v = 1;
        }
        p.emit(local);
        p.emit(h.d);
        for (bit<8> i in 8w0 .. 8w1) { p.emit(h.one); }
    }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { h.one = { 7, 7 }; } }

#include "frame.p4"
