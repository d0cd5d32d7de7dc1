/* FILTER: which comparisons hold is looked up, and what follows from them is looked up as well.

   The constants that a column is compared with cut its codes into intervals; a range table says for each
   which comparisons may hold there (one bit each). The bits of all columns together are the key of
   the truth table: a combination under which the WHERE clause is false prunes. The planner writes both
   tables (p4/pruning/predicates.py). */
#ifndef WEFT_PRUNING_FILTER_P4
#define WEFT_PRUNING_FILTER_P4

control Interval(in bit<16> query, in bit<32> code, out bit<8> bits) {
    action hold(bit<8> comparisons) {
        bits = comparisons;
    }

    table intervals {
        key = {
            query : exact;
            code : range;
        }
        actions = { hold; }
        default_action = hold(0xff);
        size = 64;
    }

    apply {
        bits = 0xff;
        intervals.apply();
    }
}

control Filter(in bit<16> query, in codes_t code, out bit<1> prune) {
    Interval() a;
    Interval() b;
    Interval() c;
    bit<8> holds_a = 0xff;
    bit<8> holds_b = 0xff;
    bit<8> holds_c = 0xff;

    action drop_row() {
        prune = 1;
    }

    table truth {
        key = {
            query : exact;
            holds_a & holds_b & holds_c : exact @name("holds");
        }
        actions = { drop_row; NoAction; }
        default_action = NoAction();
        size = 1024;
    }

    apply {
        prune = 0;
        a.apply(query, code.a, holds_a);
        b.apply(query, code.b, holds_b);
        c.apply(query, code.c, holds_c);
        truth.apply();
    }
}

#endif
