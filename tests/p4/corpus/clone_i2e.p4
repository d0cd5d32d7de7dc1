// An ingress clone is the packet as it came; it leaves first. Only listed fields survive.
#define OWN_INGRESS
#define OWN_EGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        s.egress_spec = 2;
        m.kept = 0x77;
        m.lost = 0x66;
        h.d.a = 0xaa;
        clone_preserving_field_list(CloneType.I2E, 5, 1);
    }
}
control MyEgress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (s.instance_type == 1) {
            h.d.b = m.kept;
            h.d.c = m.lost;
        }
        h.d.x = (bit<16>)s.egress_port;
        h.d.y = s.instance_type[15:0];
        h.d.z = s.packet_length;
    }
}

#include "frame.p4"
