#define OWN_INGRESS
#define OWN_EGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { clone(CloneType.I2E, 5); s.egress_spec = 1; } }
control MyEgress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { h.d.x = s.egress_rid; h.d.y = s.instance_type[15:0]; } }

#include "frame.p4"
