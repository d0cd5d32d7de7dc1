// Control-plane names: @name, absolute and not, on tables, actions and keys.
#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    @name("renamed") action a(@name("value") bit<8> v) { h.d.b = v; }
    @name(".top.act") action b() { h.d.b = 0xbb; }
    @name(".global") table t { key = { h.d.a: exact @name("first"); h.d.x: exact @name("the.second"); } actions = { a; b; } }
    @name("other.t") table u { actions = { b; a; } default_action = a(3); }
    apply { if (!t.apply().hit) { u.apply(); } }
}

#include "frame.p4"
