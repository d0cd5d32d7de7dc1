/* What a worker sends and a master gets: UDP packets with up to LANES rows.

   Row i of a packet is lane i's: every lane has its own registers, so that each register is met once
   per packet however many rows it carries. Workers put rows of one key into one lane (p4/pruning/wire.py).

   A row is an id (which row of the worker's table) and three 32 bit codes; what they mean is the
   operator's affair. a = b = 0 means "no value": such rows are never pruned and change no state. Kinds: DATA is worker to switch; SURVIVORS is
   what becomes of it, ids only; ACK is the switch's answer to a packet of which nothing is left, RECEIPT
   the master's; EOS ends a flow. Only DATA meets operators. */
#ifndef WEFT_PRUNING_WIRE_P4
#define WEFT_PRUNING_WIRE_P4
#include <core.p4>
#include <v1model.p4>
#include "../../include/headers.p4"

#ifndef LANES
#define LANES 8
#endif

#if LANES == 1
#define FOR_EACH_LANE(DO) DO(0, end)
#define BIT_PER_LANE(x) 7w0 ++ x##0
#elif LANES == 2
#define FOR_EACH_LANE(DO) DO(0, 1) DO(1, end)
#define BIT_PER_LANE(x) 6w0 ++ x##1 ++ x##0
#elif LANES == 4
#define FOR_EACH_LANE(DO) DO(0, 1) DO(1, 2) DO(2, 3) DO(3, end)
#define BIT_PER_LANE(x) 4w0 ++ x##3 ++ x##2 ++ x##1 ++ x##0
#elif LANES == 8
#define FOR_EACH_LANE(DO)                                                                          \
    DO(0, 1) DO(1, 2) DO(2, 3) DO(3, 4) DO(4, 5) DO(5, 6) DO(6, 7) DO(7, end)
#define BIT_PER_LANE(x) x##7 ++ x##6 ++ x##5 ++ x##4 ++ x##3 ++ x##2 ++ x##1 ++ x##0
#else
#error "LANES is 1, 2, 4 or 8"
#endif

const bit<16> PRUNING_PORT = 22352;  // of UDP
const bit<8> PRUNING_VERSION = 1;
const bit<8> KIND_DATA = 1;
const bit<8> KIND_SURVIVORS = 2;
const bit<8> KIND_ACK = 3;
const bit<16> HEADER_OCTETS = 16;

header request_t {
    bit<8> version;
    bit<8> kind;
    bit<16> query;
    bit<16> epoch;    // the query's incarnation: a switch that restarted gets a new one
    bit<8> phase;     // of the query's plan: what to do with these rows
    bit<8> present;   // bit i: lane i has a row
    bit<16> flow;
    bit<16> reserved;
    bit<32> sequence;  // from 1
}

header row_t {
    bit<32> id;
}

header codes_t {
    bit<32> a;
    bit<32> b;
    bit<32> c;
}

struct headers_t {
    ethernet_t ethernet;
    ipv4_h ipv4;
    udp_t udp;
    request_t request;
    row_t[LANES] rows;
    codes_t[LANES] codes;
}

#endif
