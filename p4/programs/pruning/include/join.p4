/* JOIN: a Bloom filter of each side's keys; a row whose key the other side lacks is pruned.

   Phases say what a row does: `build` sets its side's filter, `probe` asks the other side's. Bits are
   chosen by double hashing, h1 + i h2 (Kirsch and Mitzenmacher 2006), with two CRC polynomials: two
   CRCs of one polynomial with different seeds differ by a constant only, which spoils the filter.

   BLOOM: HASHES arrays of bits. REGISTER_BLOOM: three bits of one 64 bit word, one access in all. */
#ifndef WEFT_PRUNING_JOIN_P4
#define WEFT_PRUNING_JOIN_P4

#ifndef FILTER_CELLS
#define FILTER_CELLS 65536
#endif

control BitArray(in bit<32> index, in bit<1> build, out bit<1> old) {
    register<bit<1>>(FILTER_CELLS) cells;

    apply {
        cells.read(old, index);
        if (build == 1) {
            cells.write(index, 1);
        }
    }
}

control Bloom(in bit<32> h1, in bit<32> h2, in bit<32> base, in bit<32> size, in bit<1> build,
              out bit<1> member) {
    BitArray() array0;
    BitArray() array1;
    BitArray() array2;

    apply {
        bit<32> i0;
        bit<32> i1;
        bit<32> i2;
        hash(i0, HashAlgorithm.identity, base, { h1 }, size);
        hash(i1, HashAlgorithm.identity, base, { h1 + h2 }, size);
        hash(i2, HashAlgorithm.identity, base, { h1 + h2 + h2 }, size);
        bit<1> m0;
        bit<1> m1;
        bit<1> m2;
        array0.apply(i0, build, m0);
        array1.apply(i1, build, m1);
        array2.apply(i2, build, m2);
        member = m0 & m1 & m2;
    }
}

control WordArray(in bit<32> index, in bit<64> mask, in bit<1> build, out bit<1> member) {
    register<bit<64>>(FILTER_CELLS) cells;

    apply {
        bit<64> old;
        member = 0;
        cells.read(old, index);
        if (build == 1) {
            cells.write(index, old | mask);
        }
        if (old & mask == mask) {
            member = 1;
        }
    }
}

control RegisterBloom(in bit<32> h1, in bit<32> h2, in bit<32> base, in bit<32> size,
                      in bit<1> build, out bit<1> member) {
    WordArray() words;

    apply {
        bit<32> index;
        hash(index, HashAlgorithm.identity, base, { h1 }, size);
        bit<64> mask = (64w1 << h2[5:0]) | (64w1 << h2[13:8]) | (64w1 << h2[21:16]);
        words.apply(index, mask, build, member);
    }
}

#ifdef REGISTER_BLOOM
#define FILTER RegisterBloom
#else
#define FILTER Bloom
#endif

control Join(in bit<64> key, in bit<32> base, in bit<32> size, in bit<1> side, in bit<1> build,
             in bit<1> probe, out bit<1> prune) {
    FILTER() left;
    FILTER() right;

    apply {
        bit<32> h1;
        bit<32> h2;
        hash(h1, HashAlgorithm.crc32, 32w0, { key }, 33w0x100000000);
        hash(h2, HashAlgorithm.crc32_custom, 32w0, { key }, 33w0x100000000);
        bit<1> in_left = 0;
        bit<1> in_right = 0;
        bit<1> build_left = build & ~side;
        bit<1> build_right = build & side;
        bit<1> use_left = build_left | (probe & side);
        bit<1> use_right = build_right | (probe & ~side);
        if (use_left == 1) {
            left.apply(h1, h2, base, size, build_left, in_left);
        }
        if (use_right == 1) {
            right.apply(h1, h2, base, size, build_right, in_right);
        }
        prune = 0;
        if (probe == 1 && side == 0) {
            prune = ~in_right;
        } else if (probe == 1) {
            prune = ~in_left;
        }
    }
}

#endif
