#define OWN_INGRESS
#include "types.p4"

enum Colour { Red, Green, Blue }
enum bit<8> Kind { A = 1, B = 7 }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        Colour c = Colour.Red;
        if (h.d.a == 1) { c = Colour.Green; } else if (h.d.a == 2) { c = Colour.Blue; }
        switch (c) {
            Colour.Green: { h.d.b = 1; }
            Colour.Blue: { h.d.b = 2; }
            default: { h.d.b = 3; }
        }
        switch ((Kind)h.d.c) {
            Kind.A: { h.d.x = 1; }
            Kind.B: { h.d.x = 2; }
        }
        switch (s.parser_error) {
            error.PacketTooShort: { h.d.y = 1; }
            error.NoError: { h.d.y = 2; }
        }
    }
}

#include "frame.p4"
