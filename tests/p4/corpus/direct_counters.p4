#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    direct_counter(CounterType.packets_and_bytes) hits;
    action set(bit<8> v) { h.d.b = v; hits.count(); }
    action other() { h.d.b = 9; }
    table t {
        key = { h.d.a: exact; }
        actions = { set; other; }
        default_action = other();
        counters = hits;
    }
    apply { t.apply(); }
}

#include "frame.p4"
