#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    meter(4, MeterType.bytes) m1;
    direct_meter<bit<8>>(MeterType.packets) m2;
    action set(bit<8> v) { m2.read(h.d.b); h.d.c = v; }
    table t { key = { h.d.a: exact; } actions = { set; NoAction; } meters = m2; default_action = NoAction; }
    apply {
        bit<8> colour = 7;
        m1.execute_meter((bit<32>)h.d.a, colour);
        h.d.x = (bit<16>)colour;
        t.apply();
    }
}

#include "frame.p4"
