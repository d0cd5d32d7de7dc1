#define OWN_INGRESS
#include "types.p4"

control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    counter(4, CounterType.packets) seen;
    counter(8w2 ++ 24w0, CounterType.bytes) big;
    @name(".both") counter(2, CounterType.packets_and_bytes) both_;
    apply {
        seen.count((bit<32>)h.d.a);
        both_.count(1);
    }
}

#include "frame.p4"
