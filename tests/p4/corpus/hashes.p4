// crc32 of "123456789" is cbf43926, crc16/ARC bb3d: the published check values.
#include "types.p4"

header nine_t { bit<72> text; }
struct hs_t { nine_t n; data_t d; }
parser Q(packet_in p, out hs_t h, inout meta_t m, inout standard_metadata_t s) {
    state start { p.extract(h.n); p.extract(h.d); transition accept; }
}
control QV(inout hs_t h, inout meta_t m) { apply { } }
control QI(inout hs_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        hash(h.d.z, HashAlgorithm.crc32, 32w0, { h.n.text }, 64w0x100000000);
        hash(h.d.x, HashAlgorithm.crc16, 16w0, { h.n.text }, 32w0x10000);
        hash(h.d.y, HashAlgorithm.csum16, 16w0, { h.n.text[71:8] }, 32w0x10000);
        hash(h.d.a, HashAlgorithm.identity, 8w3, { 8w7 }, 8w5);
        hash(h.d.b, HashAlgorithm.identity, 8w3, { 8w7 }, 8w0);
        hash(h.d.c, HashAlgorithm.xor16, 8w0, { 32w0x12345678 }, 32w256);
    }
}
control QE(inout hs_t h, inout meta_t m, inout standard_metadata_t s) { apply { } }
control QD(packet_out p, in hs_t h) { apply { p.emit(h); } }
V1Switch(Q(), QV(), QI(), QE(), QV(), QD()) main;
#define NO_FRAME

#include "frame.p4"
