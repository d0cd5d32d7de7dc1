/* DISTINCT: d rows of w cached keys; a key that is cached was sent before, so it need not go again.

   A new key enters column 0 and pushes the others on; the last is forgotten (a later copy then passes:
   harmless). LRU rolls always, which moves a hit to the front in the same pass. FIFO looks first and
   rolls only on a miss, in a second pass, because a register is met once per pass. */
#ifndef WEFT_PRUNING_DISTINCT_P4
#define WEFT_PRUNING_DISTINCT_P4
#include "columns.p4"

control KeyColumn(in bit<64> key, in bit<32> index, in bit<1> roll, inout bit<64> carried,
                  inout bit<1> found) {
    register<bit<64>>(CELLS) cells;

    apply {
        bit<64> old;
        cells.read(old, index);
        if (roll == 1) {
            cells.write(index, carried);
        }
        carried = old;
        if (old == key) {
            found = 1;
        }
    }
}

#define KEY_COLUMN(i) KeyColumn() column##i;
#define MEET_KEY_COLUMN(i)                                                                         \
    if (found == 0) {                                                                              \
        column##i.apply(key, index, roll, carried, found);                                         \
    }

control Distinct(in bit<64> key, in bit<32> base, in bit<32> size, in bit<1> roll,
                 out bit<1> found) {
    FOR_EACH_COLUMN(KEY_COLUMN)

    apply {
        bit<32> index;
        hash(index, HashAlgorithm.crc32, base, { key }, size);
        bit<64> carried = key;
        found = 0;
        FOR_EACH_COLUMN(MEET_KEY_COLUMN)
    }
}

#endif
