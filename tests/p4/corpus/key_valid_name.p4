#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start { p.extract(h.d); transition select(h.d.op) { 1: one; default: accept; } }
    state one { p.extract(h.one); transition accept; }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action set(bit<8> v) { h.d.b = v; }
    table t { key = { h.one.isValid(): exact; h.one.k: ternary; } actions = { set; NoAction; } default_action = NoAction; }
    apply { t.apply(); }
}

#include "frame.p4"
