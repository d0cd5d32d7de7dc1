#define OWN_UPDATE
#include "types.p4"

control MyUpdate(inout headers_t h, inout meta_t m) {
    apply {
        update_checksum_with_payload(true, { h.d.op, h.d.a }, h.d.x, HashAlgorithm.csum16);
        update_checksum(h.d.b == 1, { h.d.op, h.d.a, 8w0 }, h.d.y, HashAlgorithm.csum16);
    }
}

#include "frame.p4"
