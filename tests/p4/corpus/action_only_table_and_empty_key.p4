#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    action one() { h.d.a = h.d.a + 1; }
    table t { actions = { one; } default_action = one(); }
    table u { key = { } actions = { one; NoAction; } const default_action = one(); }
    table v { actions = { one; } }
    apply {
        if (t.apply().miss) { h.d.b = 1; }
        switch (u.apply().action_run) { one: { h.d.c = 1; } }
        v.apply();
    }
}

#include "frame.p4"
