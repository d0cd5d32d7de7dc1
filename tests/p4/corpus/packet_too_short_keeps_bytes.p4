// A header that does not fit stays invalid and its bytes stay payload.
#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start { p.extract(h.one); p.extract(h.d); transition accept; }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (h.one.isValid() && !h.d.isValid()) { h.one.v = 0xee; }
    }
}

#include "frame.p4"
