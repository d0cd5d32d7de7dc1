#define OWN_UPDATE
#define OWN_PARSER
#include "types.p4"

parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start { p.extract(h.d); p.extract(h.option, (bit<32>)h.d.op); transition accept; }
}
control MyUpdate(inout headers_t h, inout meta_t m) {
    apply { update_checksum(h.option.isValid(), { h.d.op, h.option.bits, h.option.data }, h.d.x, HashAlgorithm.csum16); }
}

#include "frame.p4"
