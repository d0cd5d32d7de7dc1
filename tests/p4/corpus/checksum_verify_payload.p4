#define OWN_INGRESS
#define OWN_VERIFY
#include "types.p4"

control MyVerify(inout headers_t h, inout meta_t m) {
    apply { verify_checksum_with_payload(h.d.op == 1, { h.d.a, h.d.b }, h.d.x, HashAlgorithm.csum16); }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { h.d.c = (bit<8>)s.checksum_error; } }

#include "frame.p4"
