#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { clone(CloneType.I2E, 5); mark_to_drop(s); } }

#include "frame.p4"
