#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action set(bit<8> v) { h.d.b = v; }
    table e { key = { h.d.a: exact; } actions = { set; } const entries = { 0x01: set(1); 2: set(2); (3): set(3); } default_action = set(9); }
    table l { key = { h.d.x: lpm; } actions = { set; } const entries = { 0x1100 &&& 0xff00: set(0x11); 0x1234: set(0x12); 0x1000 &&& 0xf000: set(0x10); _: set(0x19); } }
    table n { key = { h.d.x: ternary; } actions = { set; } const entries = { 0x1111 &&& 0xf: set(0x21); 0x1181: set(0x22); 0x1000 &&& 0xf000: set(0x23); default: set(0x29); } }
    table r { key = { h.d.x: range; } actions = { set; } const entries = { 1 .. 8: set(0x31); 6 .. 12: set(0x32); 15: set(0x33); _: set(0x34); } }
    table o { key = { h.d.a: optional; h.d.c: optional; } actions = { set; } const entries = { (1, _): set(0x41); (_, 2): set(0x42); (_, _): set(0x49); } }
    apply {
        switch (h.d.op) {
            0: { e.apply(); }
            1: { l.apply(); }
            2: { n.apply(); }
            3: { r.apply(); }
            4: { o.apply(); }
        }
    }
}

#include "frame.p4"
