/* SKYLINE, larger is better in up to three dimensions: w points with the highest scores so far.

   A point meets the kept points from the highest score down. One of higher score that dominates it
   prunes it; one of lower score gives it its place and rolls on. The score must not fall when a
   coordinate grows: SUM, or the sum of approximate logarithms (APH), which orders like the product.
   Equal points are never pruned by one another: domination needs a strictly higher score. `strict_*`
   is 1 for a dimension whose codes are coarse: there equal codes prove nothing. */
#ifndef WEFT_PRUNING_SKYLINE_P4
#define WEFT_PRUNING_SKYLINE_P4
#include "columns.p4"
#define QUERY_SLOTS 64

control Score(in bit<32> slot, inout bit<32> carried, out bit<1> swap, out bit<1> higher) {
    register<bit<32>>(QUERY_SLOTS) cells;

    apply {
        bit<32> old;
        swap = 0;
        higher = 0;
        cells.read(old, slot);
        if (carried > old) {
            cells.write(slot, carried);
            carried = old;
            swap = 1;
        } else if (carried < old) {
            higher = 1;
        }
    }
}

control Coordinate(in bit<32> slot, in bit<1> swap, in bit<32> strict, inout bit<32> carried,
                   out bit<1> covers) {
    register<bit<32>>(QUERY_SLOTS) cells;

    apply {
        bit<32> old;
        covers = 0;
        cells.read(old, slot);
        if (swap == 1) {
            cells.write(slot, carried);
            carried = old;
        } else if (old >= carried + strict) {
            covers = 1;
        }
    }
}

#define POINT(i)                                                                                   \
    Score() score##i;                                                                              \
    Coordinate() a##i;                                                                             \
    Coordinate() b##i;                                                                             \
    Coordinate() c##i;
#define MEET_POINT(i)                                                                              \
    if (prune == 0) {                                                                              \
        bit<1> swap##i;                                                                            \
        bit<1> higher##i;                                                                          \
        bit<1> covers_a##i;                                                                        \
        bit<1> covers_b##i;                                                                        \
        bit<1> covers_c##i;                                                                        \
        score##i.apply(slot, score, swap##i, higher##i);                                           \
        kept = kept | swap##i;                                                                     \
        a##i.apply(slot, swap##i, strict_a, x, covers_a##i);                                       \
        b##i.apply(slot, swap##i, strict_b, y, covers_b##i);                                       \
        c##i.apply(slot, swap##i, strict_c, z, covers_c##i);                                       \
        prune = higher##i & covers_a##i & covers_b##i & covers_c##i & ~kept;                       \
    }

#ifdef APH
/* log2 of a code in steps of 2^-20: the place of its highest bit, and a table for what follows it. */
#define LOG_BITS 8
control Logarithm(in bit<32> code, out bit<32> result) {
    bit<32> whole = 0;
    bit<LOG_BITS> rest = 0;

    action highest(bit<32> log, bit<8> down, bit<8> up) {
        whole = log;
        rest = (bit<LOG_BITS>)((code >> down) << up);
    }

    action fraction(bit<32> log) {
        result = whole + log;
    }

    table highest_bit {
        key = { code : ternary; }
        actions = { highest; }
        default_action = highest(0, 0, 0);
        size = 32;
    }

    table fractions {
        key = { rest : exact; }
        actions = { fraction; }
        default_action = fraction(0);
        size = 256;
    }

    apply {
        result = 0;
        highest_bit.apply();
        fractions.apply();
    }
}
#endif

control Skyline(in codes_t code, in bit<32> slot, in bit<32> strict_a, in bit<32> strict_b,
                in bit<32> strict_c, out bit<1> prune) {
    FOR_EACH_COLUMN(POINT)
#ifdef APH
    Logarithm() log_a;
    Logarithm() log_b;
    Logarithm() log_c;
#endif

    apply {
        bit<32> x = code.a;
        bit<32> y = code.b;
        bit<32> z = code.c;
        bit<32> score;
        bit<1> kept = 0;
        prune = 0;
#ifdef APH
        bit<32> u;
        bit<32> v;
        bit<32> w;
        log_a.apply(x, u);
        log_b.apply(y, v);
        log_c.apply(z, w);
        score = u + v + w;
#else
        score = x + y + z;
#endif
        FOR_EACH_COLUMN(MEET_POINT)
    }
}

#endif
