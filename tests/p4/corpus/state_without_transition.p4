// Without a transition a state ends in reject.
#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start { p.extract(h.d); }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply { h.d.a = 1; }
}

#include "frame.p4"
