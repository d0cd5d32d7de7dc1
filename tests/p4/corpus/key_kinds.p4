#define OWN_INGRESS
#include "types.p4"

enum bit<8> Kind { One = 1, Two = 2 }
enum Colour { Red, Green, Blue }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    Colour c;
    action set(bit<8> v) { h.d.b = v; }
    table t {
        key = { h.one.isValid(): exact; h.d.x[11:4]: exact; (Kind)h.d.a: exact @name("kind"); h.d.y & 0xff00: ternary; m.i: exact; m.flag: ternary; c: exact; h.stack[1].k: exact; }
        actions = { set; }
        const entries = {
            (true, 0x23, Kind.One, 0x1200 &&& 0xff00, -1, true, Colour.Green, 7): set(1);
            (false, 0x23, Kind.Two, _, 5, _, Colour.Red, 0): set(2);
        }
        default_action = set(9);
    }
    apply {
        c = Colour.Red;
        m.i = 5;
        if (h.d.a == 1) { h.one = { 1, 1 }; c = Colour.Green; m.i = -1; m.flag = true; h.stack[1] = { 7, 0 }; }
        t.apply();
        h.one.setInvalid();
        h.stack[1].setInvalid();
    }
}

#include "frame.p4"
