// The program around a test's controls. A test that brings its own block defines OWN_<BLOCK>.
#ifndef NO_FRAME
#ifndef OWN_PARSER
parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start {
        p.extract(h.d);
        transition accept;
    }
}
#endif
#ifndef OWN_VERIFY
control MyVerify(inout headers_t h, inout meta_t m) {
    apply { }
}
#endif
#ifndef OWN_INGRESS
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply { }
}
#endif
#ifndef OWN_EGRESS
control MyEgress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply { }
}
#endif
#ifndef OWN_UPDATE
control MyUpdate(inout headers_t h, inout meta_t m) {
    apply { }
}
#endif
#ifndef OWN_DEPARSER
control MyDeparser(packet_out p, in headers_t h) {
    apply { p.emit(h); }
}
#endif
V1Switch(MyParser(), MyVerify(), MyIngress(), MyEgress(), MyUpdate(), MyDeparser()) main;
#endif
