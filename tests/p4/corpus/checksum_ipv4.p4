#include "types.p4"

header ipv4_t {
    bit<4> version; bit<4> ihl; bit<8> tos; bit<16> length;
    bit<16> id; bit<3> flags; bit<13> offset;
    bit<8> ttl; bit<8> protocol; bit<16> checksum;
    bit<32> src; bit<32> dst;
}
struct hs_t { ipv4_t ip; }
parser Q(packet_in p, out hs_t h, inout meta_t m, inout standard_metadata_t s) {
    state start { p.extract(h.ip); transition accept; }
}
control QV(inout hs_t h, inout meta_t m) {
    apply {
        verify_checksum(h.ip.isValid(), { h.ip.version, h.ip.ihl, h.ip.tos, h.ip.length, h.ip.id,
            h.ip.flags, h.ip.offset, h.ip.ttl, h.ip.protocol, h.ip.src, h.ip.dst },
            h.ip.checksum, HashAlgorithm.csum16);
    }
}
control QI(inout hs_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (s.checksum_error == 1) { mark_to_drop(s); exit; }
        h.ip.ttl = h.ip.ttl - 1;
        s.egress_spec = 2;
    }
}
control QE(inout hs_t h, inout meta_t m, inout standard_metadata_t s) { apply { } }
control QC(inout hs_t h, inout meta_t m) {
    apply {
        update_checksum(true, { h.ip.version, h.ip.ihl, h.ip.tos, h.ip.length, h.ip.id,
            h.ip.flags, h.ip.offset, h.ip.ttl, h.ip.protocol, h.ip.src, h.ip.dst },
            h.ip.checksum, HashAlgorithm.csum16);
    }
}
control QD(packet_out p, in hs_t h) { apply { p.emit(h); } }
V1Switch(Q(), QV(), QI(), QE(), QC(), QD()) main;
#define NO_FRAME

#include "frame.p4"
