/* GROUP BY with MAX (MIN by complemented codes): d rows of w cached (key, best so far).

   A row is pruned when its key is cached and it is no better. First pass: look, and raise the best.
   Second pass, for a key that is not cached: enter it, and push the others on. `exact` is 1 when equal
   codes mean equal values; a cell holds the least code that may pass, best + exact. */
#ifndef WEFT_PRUNING_GROUP_BY_P4
#define WEFT_PRUNING_GROUP_BY_P4
#include "distinct.p4"

control BestColumn(in bit<32> value, in bit<32> exact, in bit<32> index, in bit<1> roll,
                   inout bit<32> carried, out bit<1> prune) {
    register<bit<32>>(CELLS) cells;

    apply {
        bit<32> old;
        prune = 0;
        cells.read(old, index);
        if (roll == 1) {
            cells.write(index, carried);
            carried = old;
        } else if (value < old) {
            prune = 1;
        } else {
            cells.write(index, value |+| exact);
        }
    }
}

#define GROUP_COLUMN(i)                                                                            \
    KeyColumn() key##i;                                                                            \
    BestColumn() best##i;
#define MEET_GROUP_COLUMN(i)                                                                       \
    if (found == 0) {                                                                              \
        key##i.apply(key, index, roll, carried_key, found);                                        \
        if (found == 1 || roll == 1) {                                                             \
            best##i.apply(value, exact, index, roll, carried_best, prune);                         \
        }                                                                                          \
    }

control GroupBy(in bit<64> key, in bit<32> value, in bit<32> exact, in bit<32> base,
                in bit<32> size, in bit<1> roll, out bit<1> found, out bit<1> prune) {
    FOR_EACH_COLUMN(GROUP_COLUMN)

    apply {
        bit<32> index;
        hash(index, HashAlgorithm.crc32, base, { key }, size);
        bit<64> carried_key = key;
        bit<32> carried_best = value |+| exact;
        found = 0;
        prune = 0;
        FOR_EACH_COLUMN(MEET_GROUP_COLUMN)
    }
}

#endif
