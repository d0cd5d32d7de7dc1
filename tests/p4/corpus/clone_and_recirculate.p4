// A packet may be cloned at ingress and recirculated at egress; each is its own packet afterwards.
#define OWN_INGRESS
#define OWN_EGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        s.egress_spec = 1;
        if (s.instance_type == 0) { clone(CloneType.I2E, 9); }
        if (s.instance_type == 4) { h.d.c = 4; }
    }
}
control MyEgress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (s.instance_type == 1) { h.d.a = 0xcc; }
        else if (h.d.b == 0) { h.d.b = 1; recirculate_preserving_field_list(0); }
    }
}

#include "frame.p4"
