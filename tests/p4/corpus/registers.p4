#define OWN_INGRESS
#include "types.p4"

struct state_t { bit<8> k; bit<32> n; bool f; int<4> i; }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    register<bit<16>>(4) words;
    register<state_t>(2) states;
    register<bool>(8) flags;
    register<int<8>>(2) signs;
    register<bit<128>>(1) wide;
    apply {
        words.read(h.d.x, (bit<32>)h.d.a);
        words.write((bit<32>)h.d.a, h.d.x + 3);
        state_t t;
        states.read(t, 1);
        h.d.y = (bit<16>)t.n[15:0];
        t.n = t.n + 2;
        t.k = 1;
        t.f = !t.f;
        t.i = t.i - 1;
        states.write(1, t);
        bool f;
        flags.read(f, 7);
        h.d.b = f ? 8w1 : 0;
        flags.write(7, !f);
        int<8> i;
        signs.read(i, 0);
        signs.write(0, i - 1);
        h.d.c = (bit<8>)i;
        bit<128> w;
        wide.read(w, 0);
        h.d.z = w[127:96];
        wide.write(0, w + (128w1 << 96));
    }
}

#include "frame.p4"
