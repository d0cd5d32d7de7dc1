#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action set(bit<8> v) { h.d.b = v; }
    table big {
        key = { h.d.x: ternary; }
        actions = { set; }
        @noWarn("entries_out_of_priority_order")
        entries = { priority = 1: 0x0 &&& 0x0: set(1); priority = 5: 0x1000 &&& 0xf000: set(2); 0x1200 &&& 0xff00: set(3); }
    }
    table small {
        key = { h.d.x: ternary; }
        actions = { set; }
        largest_priority_wins = false;
        priority_delta = 10;
        @noWarn("duplicate_priorities")
        entries = { const priority = 10: 0x1200 &&& 0xff00: set(1); 0x1000 &&& 0xf000: set(2); priority = 5: 0x1234: set(3); }
    }
    apply { if (h.d.a == 0) { big.apply(); } else { small.apply(); } }
}

#include "frame.p4"
