#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        s.egress_spec = 2;
        clone(CloneType.I2E, 5);
        clone(CloneType.I2E, 6);
    }
}

#include "frame.p4"
