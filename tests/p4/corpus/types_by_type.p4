#define OWN_INGRESS
#include "types.p4"

type bit<8> Port;
type Port Better;
header typed_t { Better b; }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action set(Port p) { h.d.b = (bit<8>)p; }
    table t { key = { h.d.a: exact; } actions = { set; } default_action = set((Port)9); }
    apply {
        t.apply();
        Better x = (Better)(Port)h.d.a;
        if (x == (Better)(Port)8w5) { h.d.c = 1; }
        typed_t u = { x };
        h.d.x = (bit<16>)(bit<8>)(Port)u.b;
    }
}

#include "frame.p4"
