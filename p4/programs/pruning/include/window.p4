/* At most once, in any order: did the operators meet this packet already?

   Cell (flow, sequence mod WINDOW) holds the highest sequence seen there. A sender has at most WINDOW
   packets open, so a cell that holds a later number says that this one was acknowledged long ago. Either
   way a packet that is not fresh changes no state and passes whole: extra rows are harmless to a query,
   a row pruned by its own first copy would not be. (The paper's protocol drops what comes out of order,
   section 7.2; over many paths that is most of the packets.) */
#ifndef WEFT_PRUNING_WINDOW_P4
#define WEFT_PRUNING_WINDOW_P4

#define WINDOW_BITS 6
#define FLOW_BITS 8

#ifdef IN_ORDER
// The paper's own rule, for comparison: the next packet is processed, an earlier one passes, a later one is
// dropped, because what is missing before it would be passed over.
control Window(in bit<16> flow, in bit<32> sequence, out bit<1> fresh, out bit<1> early) {
    register<bit<32>>(1 << FLOW_BITS) last;

    apply {
        bit<32> before;
        fresh = 0;
        early = 0;
        last.read(before, (bit<32>)flow);
        if (sequence == before + 1) {
            last.write((bit<32>)flow, sequence);
            fresh = 1;
        } else if (sequence > before) {
            early = 1;
        }
    }
}
#else
control Window(in bit<16> flow, in bit<32> sequence, out bit<1> fresh, out bit<1> early) {
    register<bit<32>>(1 << (FLOW_BITS + WINDOW_BITS)) last;

    apply {
        bit<32> index = (bit<32>)(flow[FLOW_BITS - 1:0] ++ sequence[WINDOW_BITS - 1:0]);
        bit<32> before;
        fresh = 0;
        early = 0;
        last.read(before, index);
        if (sequence > before) {
            last.write(index, sequence);
            fresh = 1;
        }
    }
}
#endif

#endif
