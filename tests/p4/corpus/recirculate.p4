// Recirculation takes the deparsed packet.
#define OWN_INGRESS
#define OWN_EGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        s.egress_spec = 3;
        h.d.y = h.d.y + 1;
        if (s.instance_type == 4) { h.d.b = m.kept; h.d.c = m.lost; h.d.z = s.packet_length; }
    }
}
control MyEgress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (s.instance_type == 0 && h.d.op > 0) {
            h.d.op = h.d.op - 1;
            m.kept = 7;
            m.lost = 8;
            h.one = { 1, 2 };
            recirculate_preserving_field_list(1);
        }
    }
}

#include "frame.p4"
