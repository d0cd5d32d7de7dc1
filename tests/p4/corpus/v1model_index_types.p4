// From version 20200408 on the index types of counters, meters and registers are parameters.
#define V1MODEL_VERSION 20200408
#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    counter<bit<4>>(16, CounterType.packets) c;
    meter<bit<8>>(256, MeterType.packets) me;
    register<bit<16>, bit<8>>(256) r;
    register<bool, PortId_t>(512) flags;
    action NoAction() { h.d.c = 9; }
    table t { key = { h.d.a: exact; } actions = { NoAction; } }
    apply {
        c.count(h.d.a[3:0]);
        bit<2> colour;
        me.execute_meter(h.d.a, colour);
        r.read(h.d.x, h.d.b);
        r.write(h.d.b, h.d.x + 1);
        bool seen;
        flags.read(seen, s.ingress_port);
        flags.write(s.ingress_port, true);
        if (seen) { h.d.y = 1; }
        t.apply();
    }
}

#include "frame.p4"
