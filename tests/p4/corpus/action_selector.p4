#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action_selector(HashAlgorithm.crc16, 16, 14) sel;
    action set(bit<9> port) { s.egress_spec = port; }
    table t {
        key = { h.d.a: exact; h.d.x: selector; h.d.y: selector; }
        actions = { set; NoAction; }
        implementation = sel;
    }
    apply { t.apply(); }
}

#include "frame.p4"
