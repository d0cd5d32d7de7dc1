#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action one() { h.d.b = 1; }
    action two(bit<8> v) { h.d.b = v; }
    action three() { h.d.b = 3; }
    table t {
        key = { h.d.a: exact; }
        actions = { one; two; three; }
        default_action = three();
    }
    apply {
        switch (t.apply().action_run) {
            one: { h.d.c = 0x10; }
            two:
            three: { h.d.c = 0x20; }
        }
    }
}

#include "frame.p4"
