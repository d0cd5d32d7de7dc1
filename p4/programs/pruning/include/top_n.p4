/* TOP N, largest first (smallest by complemented codes).

   Randomised: a row of the matrix is drawn for every entry and keeps its w largest; what is smaller than
   all w is pruned (with probability 1 - delta no true answer is, by the choice of d and w).
   Deterministic: t0 is the least of the first N, t_i = 2^i t0; once N entries reached t_i, what is
   below t_i is pruned. */
#ifndef WEFT_PRUNING_TOP_N_P4
#define WEFT_PRUNING_TOP_N_P4
#include "columns.p4"

control LargestColumn(in bit<32> index, in bit<32> exact, inout bit<32> carried,
                      inout bit<1> kept) {
    register<bit<32>>(CELLS) cells;

    apply {
        bit<32> old;
        cells.read(old, index);
        if (carried >= old |+| exact) {
            cells.write(index, carried);
            carried = old;
            kept = 1;
        }
    }
}

#define LARGEST_COLUMN(i) LargestColumn() column##i;
#define MEET_LARGEST_COLUMN(i) column##i.apply(index, exact, carried, kept);

control TopNRandom(in bit<32> value, in bit<32> exact, in bit<32> base, in bit<32> size,
                   out bit<1> prune) {
    FOR_EACH_COLUMN(LARGEST_COLUMN)

    apply {
        bit<32> index;
        random(index, base, base + size - 1);
        bit<32> carried = value;
        bit<1> kept = 0;
        FOR_EACH_COLUMN(MEET_LARGEST_COLUMN)
        prune = 1 - kept;
    }
}

#define QUERY_SLOTS 64

control Seen(in bit<32> slot, out bit<32> before) {
    register<bit<32>>(QUERY_SLOTS) cells;

    apply {
        cells.read(before, slot);
        cells.write(slot, before |+| 1);
    }
}

control Least(in bit<32> slot, in bit<32> seen, in bit<32> number, in bit<32> value,
              out bit<32> least) {
    register<bit<32>>(QUERY_SLOTS) cells;

    apply {
        cells.read(least, slot);
        if (seen == 0 || (seen < number && value < least)) {
            cells.write(slot, value);
            least = value;
        }
    }
}

control Threshold(in bit<32> slot, in bit<32> number, in bit<1> count, out bit<1> prune) {
    register<bit<32>>(QUERY_SLOTS) cells;

    apply {
        bit<32> reached;
        prune = 0;
        cells.read(reached, slot);
        if (count == 1) {
            cells.write(slot, reached |+| 1);
        } else if (reached >= number) {
            prune = 1;
        }
    }
}

#define THRESHOLD(i) Threshold() threshold##i;
// While the first N come, t0 is not known: each of them is at least t0, and reaches no other.
#define MEET_THRESHOLD(i)                                                                          \
    bit<1> prune##i = 0;                                                                           \
    if (seen >= number || i == 0) {                                                                \
        bit<1> count##i = 0;                                                                       \
        if ((bit<56>)value >= (bit<56>)least << i || seen < number) {                              \
            count##i = 1;                                                                          \
        }                                                                                          \
        threshold##i.apply(slot, number, count##i, prune##i);                                      \
    }
#define OR_PRUNE(i) | prune##i

control TopNDeterministic(in bit<32> value, in bit<32> slot, in bit<32> number, out bit<1> prune) {
    Seen() seen_so_far;
    Least() least_of_first;
    FOR_EACH_COLUMN(THRESHOLD)

    apply {
        bit<32> seen;
        bit<32> least;
        seen_so_far.apply(slot, seen);
        least_of_first.apply(slot, seen, number, value, least);
        FOR_EACH_COLUMN(MEET_THRESHOLD)
        prune = 1w0 FOR_EACH_COLUMN(OR_PRUNE);
    }
}

#endif
