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

control Window(in bit<16> flow, in bit<32> sequence, out bit<1> fresh) {
    register<bit<32>>(1 << (FLOW_BITS + WINDOW_BITS)) last;

    apply {
        bit<32> index = (bit<32>)(flow[FLOW_BITS - 1:0] ++ sequence[WINDOW_BITS - 1:0]);
        bit<32> before;
        fresh = 0;
        last.read(before, index);
        if (sequence > before) {
            last.write(index, sequence);
            fresh = 1;
        }
    }
}

#endif
