// exit ends the whole of ingress but copies out on its way; egress still runs.
#define OWN_INGRESS
#define OWN_EGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action stop(inout bit<8> v) {
        v = v + 1;
        exit;
    }
    action run(inout bit<8> v) {
        stop(v);
        v = 99;
    }
    apply {
        run(h.d.a);
        h.d.b = 1;
    }
}
control MyEgress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.d.c = 7;
    }
}

#include "frame.p4"
