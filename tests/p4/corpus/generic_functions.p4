#define OWN_INGRESS
#include "types.p4"

T pick<T>(in bool c, in T p, in T q) {
    if (c) { return p; }
    return q;
}
void assign<T>(out T to, in T from) { to = from; }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        h.d.a = pick(h.d.op == 1, 8w5, 8w6);
        h.d.x = pick<bit<16>>(h.d.op == 1, 5, h.d.y);
        assign(h.one, { 1, 2 });
        small_t t = pick(h.d.op == 1, h.one, h.two);
        assign(h.two, t);
    }
}

#include "frame.p4"
