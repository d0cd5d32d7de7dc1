#define OWN_UPDATE
#include "types.p4"

control MyUpdate(inout headers_t h, inout meta_t m) {
    apply {
        update_checksum(true, { h.d.a[3:0], h.d.b }, h.d.x, HashAlgorithm.csum16);
        update_checksum(true, { h.d.a }, h.d.z, HashAlgorithm.crc32);
    }
}

#include "frame.p4"
