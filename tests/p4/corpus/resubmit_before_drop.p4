// Resubmission comes before dropping.
#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (s.instance_type != 6) { mark_to_drop(s); resubmit_preserving_field_list(0); }
        else { s.egress_spec = 3; }
    }
}

#include "frame.p4"
