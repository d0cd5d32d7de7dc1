#define OWN_INGRESS
#include "types.p4"

control Keep<T>(inout T v)(T first) {
    T mine = first;
    apply { T t = v; v = mine; mine = t; }
}
struct two_t { bit<8> p; bit<16> q; }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    Keep<bit<8>>(7) a;
    Keep(16w0x1234) b;
    Keep<two_t>({ 5, 0x0607 }) c;
    apply {
        two_t t = { 1, 2 };
        a.apply(h.d.a);
        b.apply(h.d.x);
        c.apply(t);
        h.d.b = t.p;
        h.d.y = t.q;
    }
}

#include "frame.p4"
