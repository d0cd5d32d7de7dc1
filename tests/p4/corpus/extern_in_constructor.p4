// Objects given to constructors: shared ones, and one that is made where it is given.
#define OWN_INGRESS
#include "types.p4"

control Next(inout bit<8> v)(register<bit<8>> r) {
    apply {
        r.read(v, 0);
        v = v + 1;
        r.write(0, v);
    }
}
control Twice(inout bit<8> v)(register<bit<8>> r) {
    Next(r) next;
    apply { next.apply(v); next.apply(v); }
}
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    register<bit<8>>(4) mine;
    Next(mine) a;
    Twice(mine) b;
    Next(register<bit<8>>(2)) c;
    apply {
        a.apply(h.d.a);
        b.apply(h.d.b);
        c.apply(h.d.c);
    }
}

#include "frame.p4"
