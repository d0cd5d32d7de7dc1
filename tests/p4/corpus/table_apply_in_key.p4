// A key may apply another table; an exit there ends the key's table, too.
#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action inner() { h.d.x = h.d.x + 1; }
    action leave() { h.d.x = 0xdead; exit; }
    action set(bit<8> v) { h.d.b = v; }
    table t {
        key = { h.d.a: exact; }
        actions = { inner; leave; }
        const entries = { 1: inner(); 9: leave(); }
        default_action = inner();
    }
    table u {
        key = { (t.apply().hit ? 8w1 : 8w2): exact @name("hit"); h.d.x: ternary; }
        actions = { set; }
        const entries = { (1, 1): set(0x11); (2, 1): set(0x22); _: set(0x33); }
    }
    apply { u.apply(); h.d.c = 1; }
}

#include "frame.p4"
