#define OWN_INGRESS
#include "types.p4"

struct in_t { bit<8> p; small_t q; }
enum bit<8> Kind { A = 0x31 }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        bit<16> first;
        bit<16> second;
        h.one = { 0x33, 0x34 };
        in_t t = { 0x32, h.one };
        hash(first, HashAlgorithm.crc16, 16w0, { 8w0x31, 8w0x32, 8w0x33, 8w0x34 }, 32w0x10000);
        hash(second, HashAlgorithm.crc16, 16w0, { Kind.A, t }, 32w0x10000);
        if (first == second) { h.d.a = 1; }
        hash(second, HashAlgorithm.crc16, 16w0, 32w0x31323334, 32w0x10000);
        if (first == second) { h.d.b = 1; }
        hash(second, HashAlgorithm.crc16, 16w0, { { 8w0x31, 16w0x3233 }, { 8w0x34 } }, 32w0x10000);
        if (first == second) { h.d.c = 1; }
        bit<5> small;
        hash(small, HashAlgorithm.crc32, 5w2, { h.d.z }, 5w7);
        if (small >= 2 && small < 9) { h.d.x = 1; }
        hash(h.d.y, HashAlgorithm.crc16, 16w100, { 8w0x31, 8w0x32, 8w0x33, 8w0x34 }, 16w1);
    }
}

#include "frame.p4"
