#define OWN_INGRESS
#define OWN_PARSER
#include "types.p4"

enum bit<8> Kind { One = 1, Two = 2 }
enum Colour { Red, Green }
parser MyParser(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    Colour c = Colour.Red;
    state start {
        p.extract(h.d);
        transition select((Kind)h.d.a) {
            Kind.One: one;
            Kind.Two: two;
            default: three;
        }
    }
    state one {
        m.kept = 1;
        bool big = h.d.b > 100;
        transition select(big, h.d.c) {
            (true, 0x10 &&& 0xf0): four;
            (true, _): five;
            (false, 1 .. 9): five;
            default: accept;
        }
    }
    state two {
        m.kept = 2;
        if (h.d.b == 1) { c = Colour.Green; }
        transition select(c) { Colour.Green: four; Colour.Red: five; }
    }
    state three {
        int<8> t = (int<8>)h.d.b;
        transition select(t) { -3 .. 3: four; -8s100: five; _: accept; }
    }
    state four { m.lost = 4; transition accept; }
    state five { m.lost = 5; transition accept; }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply { h.d.x = m.kept ++ m.lost; }
}

#include "frame.p4"
