/* HAVING SUM or COUNT > bound: a Count-Min sketch (Cormode and Muthukrishnan 2005) never counts too little, so
   a row whose key is estimated at no more than the bound may go. Of the other keys one row each has
   to reach the master (which then asks the workers for all rows of those keys); a small LRU cache of keys
   holds the copies back. */
#ifndef WEFT_PRUNING_HAVING_P4
#define WEFT_PRUNING_HAVING_P4
#include "distinct.p4"

#ifndef SKETCH_CELLS
#define SKETCH_CELLS 4096
#endif

control SketchRow(in bit<32> index, in bit<32> amount, out bit<32> count) {
    register<bit<32>>(SKETCH_CELLS) cells;

    apply {
        bit<32> old;
        cells.read(old, index);
        count = old |+| amount;
        cells.write(index, count);
    }
}

control Having(in bit<64> key, in bit<32> amount, in bit<32> bound, in bit<32> base,
               in bit<32> size, in bit<32> cache_base, in bit<32> cache_size, out bit<1> prune) {
    SketchRow() row0;
    SketchRow() row1;
    SketchRow() row2;
    Distinct() reported;

    apply {
        bit<32> h1;
        bit<32> h2;
        hash(h1, HashAlgorithm.crc32, 32w0, { key }, 33w0x100000000);
        hash(h2, HashAlgorithm.crc32_custom, 32w0, { key }, 33w0x100000000);
        bit<32> i0;
        bit<32> i1;
        bit<32> i2;
        hash(i0, HashAlgorithm.identity, base, { h1 }, size);
        hash(i1, HashAlgorithm.identity, base, { h1 + h2 }, size);
        hash(i2, HashAlgorithm.identity, base, { h1 + h2 + h2 }, size);
        bit<32> c0;
        bit<32> c1;
        bit<32> c2;
        row0.apply(i0, amount, c0);
        row1.apply(i1, amount, c1);
        row2.apply(i2, amount, c2);
        prune = 1;
        if (c0 > bound && c1 > bound && c2 > bound) {
            reported.apply(key, cache_base, cache_size, 1, prune);
        }
    }
}

#endif
