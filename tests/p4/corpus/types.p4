// Headers that the corpus shares; frame.p4 builds a whole program around a test's control Ingress.
#include <core.p4>
#include <v1model.p4>

header data_t {
    bit<8>  op;
    bit<8>  a;
    bit<8>  b;
    bit<8>  c;
    bit<16> x;
    bit<16> y;
    bit<32> z;
}
header small_t {
    bit<8> k;
    bit<8> v;
}
header wide_t {
    bit<32> n;
}
header option_t {
    bit<8>      bits;
    varbit<128> data;
}
header_union either_t {
    small_t small;
    wide_t  wide;
}
struct headers_t {
    data_t     d;
    small_t    one;
    small_t    two;
    small_t[4] stack;
    either_t   either;
    option_t   option;
}
struct meta_t {
    @field_list(1)
    bit<8>  kept;
    bit<8>  lost;
    bit<16> n;
    bool    flag;
    int<8>  i;
}
