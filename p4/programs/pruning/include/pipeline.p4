/* The pruning switch: routes IPv4, and runs the operators that the including file asks for (WITH_...)
   over the rows of queries that the control plane installed.

   A query that the switch does not know passes whole (one that restarted knows none), and so does a packet
   that it has met before. What is of a known query but not of its present epoch, flow and port is counted
   and dropped, and so is an address that does not belong behind its port, or an acknowledgement that
   somebody else than this switch would give: it would end the re-sending of rows that were never kept. */
#ifndef WEFT_PRUNING_PIPELINE_P4
#define WEFT_PRUNING_PIPELINE_P4
#include "wire.p4"
#include "window.p4"
#ifdef WITH_FILTER
#include "filter.p4"
#endif
#ifdef WITH_DISTINCT
#include "distinct.p4"
#endif
#ifdef WITH_GROUP_BY
#include "group_by.p4"
#endif
#if defined(WITH_TOP_N_RANDOM) || defined(WITH_TOP_N_DETERMINISTIC)
#include "top_n.p4"
#endif
#ifdef WITH_JOIN
#include "join.p4"
#endif
#ifdef WITH_HAVING
#include "having.p4"
#endif
#ifdef WITH_SKYLINE
#include "skyline.p4"
#endif

// Not DISTINCT alone: FILTER etc. are the numbers that actions below write.
const bit<8> OPERATOR_NONE = 0;
const bit<8> OPERATOR_FILTER = 1;
const bit<8> OPERATOR_DISTINCT = 2;
const bit<8> OPERATOR_TOP_N_RANDOM = 3;
const bit<8> OPERATOR_TOP_N_DETERMINISTIC = 4;
const bit<8> OPERATOR_GROUP_BY = 5;
const bit<8> OPERATOR_JOIN = 6;
const bit<8> OPERATOR_HAVING = 7;
const bit<8> OPERATOR_SKYLINE = 8;

const bit<32> RESUBMITTED = 6;  // instance_type of v1model

// Why a packet is refused: cells of the counter.
const bit<32> WRONG_VERSION = 0;
const bit<32> WRONG_EPOCH = 1;  // of an earlier life of the query
const bit<32> WRONG_SENDER = 2;

struct meta_t {
    @field_list(1) port_t port;  // by which it came; v1model's own field is not kept for a second pass
    bit<1> second;               // the second pass, that of a resubmitted packet
    bit<16> epoch;  // in which the query runs now
    bit<8> operator;
    bit<1> consume;  // the phase's rows serve the switch only; nothing of them goes on
    bit<1> fresh;
    bit<1> early;    // only where packets must come in order
    bit<1> processed;
    bit<32> base;    // the query's share of the cells
    bit<32> size;
    bit<32> number;  // N of TOP N, the bound of HAVING
    bit<32> cache_base;
    bit<32> cache_size;
    bit<32> exact;
    bit<32> slot;    // the query's place where operators keep one cell per query
    bit<32> strict_a;
    bit<32> strict_b;
    bit<32> strict_c;
    bit<1> side;
    bit<1> build;
    bit<1> probe;
    bit<16> octets;  // of the rows that stay
#define LANE_META(i, next)                                                                         \
    @field_list(1) bit<1> prune##i;                                                                \
    @field_list(1) bit<1> enter##i; /* a second pass enters this row's key */
    FOR_EACH_LANE(LANE_META)
}

parser PruningParser(packet_in packet, out headers_t hdr, inout meta_t meta,
                     inout standard_metadata_t standard) {
    state start {
        transition select(standard.instance_type) {
            RESUBMITTED: second_pass;
            default: first_pass;
        }
    }
    state first_pass {
        meta.port = standard.ingress_port;
        transition ethernet;
    }
    state second_pass {
        meta.second = 1;
        transition ethernet;
    }
    state ethernet {
        packet.extract(hdr.ethernet);
        transition select(hdr.ethernet.ether_type) {
            ETHERTYPE_IPV4: ipv4;
            default: accept;
        }
    }
    state ipv4 {
        packet.extract(hdr.ipv4);
        transition select(hdr.ipv4.ihl, hdr.ipv4.fragment_offset, hdr.ipv4.protocol) {
            (5, 0, PROTOCOL_UDP): udp;
            default: accept;
        }
    }
    state udp {
        packet.extract(hdr.udp);
        transition select(hdr.udp.dst_port) {
            PRUNING_PORT: request;
            default: accept;
        }
    }
    state request {
        packet.extract(hdr.request);
        transition select(hdr.request.version, hdr.request.kind) {
            (PRUNING_VERSION, KIND_DATA): test0;
            default: accept;
        }
    }
#define LANE_STATES(i, next)                                                                       \
    state test##i {                                                                                \
        transition select(hdr.request.present[i:i]) {                                              \
            1: lane##i;                                                                            \
            default: test##next;                                                                   \
        }                                                                                          \
    }                                                                                              \
    state lane##i {                                                                                \
        packet.extract(hdr.rows[i]);                                                               \
        packet.extract(hdr.codes[i]);                                                              \
        transition test##next;                                                                     \
    }
    FOR_EACH_LANE(LANE_STATES)
    state testend {
        transition accept;
    }
}

control VerifyIpv4(inout headers_t hdr, inout meta_t meta) {
    apply {
        verify_checksum(hdr.ipv4.isValid() && hdr.ipv4.ihl == 5, IPV4_CHECKSUM_FIELDS(hdr.ipv4),
                        hdr.ipv4.checksum, HashAlgorithm.csum16);
    }
}

/* One lane: what the query's operator says about its row. */
control Lane(inout row_t row, in codes_t codes, inout meta_t meta, in bit<16> query,
             in bit<1> second, inout bit<1> prune, inout bit<1> enter) {
#ifdef WITH_FILTER
    Filter() filter;
#endif
#ifdef WITH_DISTINCT
    Distinct() distinct;
#endif
#ifdef WITH_TOP_N_RANDOM
    TopNRandom() top_n_random;
#endif
#ifdef WITH_TOP_N_DETERMINISTIC
    TopNDeterministic() top_n_deterministic;
#endif
#ifdef WITH_GROUP_BY
    GroupBy() group_by;
#endif
#ifdef WITH_JOIN
    Join() join;
#endif
#ifdef WITH_HAVING
    Having() having;
#endif
#ifdef WITH_SKYLINE
    Skyline() skyline;
#endif

    apply {
#ifdef WITH_FILTER
        if (meta.operator == OPERATOR_FILTER) {
            filter.apply(query, codes, prune);
        }
#endif
#ifdef WITH_DISTINCT
        if (meta.operator == OPERATOR_DISTINCT) {
#ifdef FIFO
            bit<1> found;
            distinct.apply(codes.a ++ codes.b, meta.base, meta.size, second, found);
            if (second == 0) {
                prune = found;
                enter = ~found;
            } else {
                enter = 0;
            }
#else
            distinct.apply(codes.a ++ codes.b, meta.base, meta.size, 1, prune);
#endif
        }
#endif
#ifdef WITH_TOP_N_RANDOM
        if (meta.operator == OPERATOR_TOP_N_RANDOM) {
            top_n_random.apply(codes.a, meta.exact, meta.base, meta.size, prune);
        }
#endif
#ifdef WITH_TOP_N_DETERMINISTIC
        if (meta.operator == OPERATOR_TOP_N_DETERMINISTIC) {
            top_n_deterministic.apply(codes.a, meta.slot, meta.number, prune);
        }
#endif
#ifdef WITH_GROUP_BY
        if (meta.operator == OPERATOR_GROUP_BY) {
            bit<1> known;
            bit<1> worse;
            group_by.apply(codes.a ++ codes.b, codes.c, meta.exact, meta.base, meta.size, second,
                           known, worse);
            if (second == 0) {
                prune = worse;
                enter = ~known;
            } else {
                enter = 0;
            }
        }
#endif
#ifdef WITH_JOIN
        if (meta.operator == OPERATOR_JOIN) {
            join.apply(codes.a ++ codes.b, meta.base, meta.size, meta.side, meta.build, meta.probe,
                       prune);
        }
#endif
#ifdef WITH_HAVING
        if (meta.operator == OPERATOR_HAVING) {
            having.apply(codes.a ++ codes.b, codes.c, meta.number, meta.base, meta.size,
                         meta.cache_base, meta.cache_size, prune);
        }
#endif
#ifdef WITH_SKYLINE
        if (meta.operator == OPERATOR_SKYLINE) {
            skyline.apply(codes, meta.slot, meta.strict_a, meta.strict_b, meta.strict_c, prune);
        }
#endif
    }
}

control ingress(inout headers_t hdr, inout meta_t meta, inout standard_metadata_t standard) {
    Window() window;
    counter(3, CounterType.packets) refused;
    direct_counter(CounterType.packets_and_bytes) query_packets;

#define LANE(i, next) Lane() lane##i;
    FOR_EACH_LANE(LANE)

    action drop() {
        mark_to_drop(standard);
    }

    action forward(port_t port) {
        standard.egress_spec = port;
    }

    table routes {
        key = { hdr.ipv4.dst : lpm; }
        actions = { forward; drop; }
        default_action = drop();
        size = 1024;
    }

    action refuse(bit<32> reason) {
        refused.count(reason);
        mark_to_drop(standard);
    }

    table sources {
        key = {
            meta.port : exact;
            hdr.ipv4.src : exact;
        }
        actions = { NoAction; }
        default_action = NoAction();
        size = 1024;
    }

    action running(bit<16> epoch) {
        meta.epoch = epoch;
    }

    table known {
        key = { hdr.request.query : exact; }
        actions = { running; NoAction; }
        default_action = NoAction();
        size = 256;
    }

#ifdef WITH_FILTER
    action filter() {
        meta.operator = OPERATOR_FILTER;
    }
#endif
#ifdef WITH_DISTINCT
    action distinct(bit<32> base, bit<32> size) {
        meta.operator = OPERATOR_DISTINCT;
        meta.base = base;
        meta.size = size;
    }
#endif
#ifdef WITH_TOP_N_RANDOM
    action top_n_random(bit<32> base, bit<32> size, bit<32> exact) {
        meta.operator = OPERATOR_TOP_N_RANDOM;
        meta.base = base;
        meta.size = size;
        meta.exact = exact;
    }
#endif
#ifdef WITH_TOP_N_DETERMINISTIC
    action top_n_deterministic(bit<32> slot, bit<32> number) {
        meta.operator = OPERATOR_TOP_N_DETERMINISTIC;
        meta.slot = slot;
        meta.number = number;
    }
#endif
#ifdef WITH_GROUP_BY
    action group_by(bit<32> base, bit<32> size, bit<32> exact) {
        meta.operator = OPERATOR_GROUP_BY;
        meta.base = base;
        meta.size = size;
        meta.exact = exact;
    }
#endif
#ifdef WITH_JOIN
    action join(bit<32> base, bit<32> size, bit<1> side, bit<1> build, bit<1> probe,
                bit<1> consume) {
        meta.operator = OPERATOR_JOIN;
        meta.base = base;
        meta.size = size;
        meta.side = side;
        meta.build = build;
        meta.probe = probe;
        meta.consume = consume;
    }
#endif
#ifdef WITH_HAVING
    action having(bit<32> base, bit<32> size, bit<32> cache_base, bit<32> cache_size,
                  bit<32> bound) {
        meta.operator = OPERATOR_HAVING;
        meta.base = base;
        meta.size = size;
        meta.cache_base = cache_base;
        meta.cache_size = cache_size;
        meta.number = bound;
    }
#endif
#ifdef WITH_SKYLINE
    action skyline(bit<32> slot, bit<32> strict_a, bit<32> strict_b, bit<32> strict_c) {
        meta.operator = OPERATOR_SKYLINE;
        meta.slot = slot;
        meta.strict_a = strict_a;
        meta.strict_b = strict_b;
        meta.strict_c = strict_c;
    }
#endif

    table queries {
        key = {
            hdr.request.version : exact;
            hdr.request.kind : exact;
            hdr.request.query : exact;
            hdr.request.epoch : exact;
            hdr.request.phase : exact;
            hdr.request.flow : exact;
            hdr.ipv4.src : exact;
            meta.port : exact;
        }
        actions = {
#ifdef WITH_FILTER
            filter;
#endif
#ifdef WITH_DISTINCT
            distinct;
#endif
#ifdef WITH_TOP_N_RANDOM
            top_n_random;
#endif
#ifdef WITH_TOP_N_DETERMINISTIC
            top_n_deterministic;
#endif
#ifdef WITH_GROUP_BY
            group_by;
#endif
#ifdef WITH_JOIN
            join;
#endif
#ifdef WITH_HAVING
            having;
#endif
#ifdef WITH_SKYLINE
            skyline;
#endif
            NoAction;
        }
        default_action = NoAction();
        counters = query_packets;
        size = 4096;
    }

    action acknowledge() {
        mac_t mac = hdr.ethernet.src;
        hdr.ethernet.src = hdr.ethernet.dst;
        hdr.ethernet.dst = mac;
        ipv4_t address = hdr.ipv4.src;
        hdr.ipv4.src = hdr.ipv4.dst;
        hdr.ipv4.dst = address;
        hdr.udp.dst_port = hdr.udp.src_port;
        hdr.udp.src_port = PRUNING_PORT;
        hdr.request.kind = KIND_ACK;
        standard.egress_spec = meta.port;
    }

    apply {
        bool broken = standard.parser_error != error.NoError || standard.checksum_error == 1;
        if (broken) {
            drop();
        } else if (hdr.ipv4.isValid()) {
            routes.apply();
            if (hdr.request.isValid()) {
                if (queries.apply().hit) {
                    if (hdr.request.flow >> FLOW_BITS != 0) {
                        meta.fresh = 0;
                    } else if (meta.second == 0) {
                        window.apply(hdr.request.flow, hdr.request.sequence, meta.fresh, meta.early);
                    }
#define MEET_LANE(i, next)                                                                         \
    if (hdr.codes[i].isValid() && hdr.codes[i].a ++ hdr.codes[i].b != 0                            \
        && (meta.fresh | meta.enter##i) == 1) {                                                    \
        lane##i.apply(hdr.rows[i], hdr.codes[i], meta, hdr.request.query, meta.second, meta.prune##i,   \
                      meta.enter##i);                                                              \
    }
                    FOR_EACH_LANE(MEET_LANE)
                    if (meta.early == 1) {
                        drop();
                    } else if ((BIT_PER_LANE(meta.enter)) != 0) {
                        resubmit_preserving_field_list(1);
                    } else {
                        hdr.request.present = hdr.request.present & ~(BIT_PER_LANE(meta.prune));
                        if (meta.consume == 1) {
                            hdr.request.present = 0;
                        }
                        hdr.request.kind = KIND_SURVIVORS;
                        meta.processed = 1;
                        if (hdr.request.present == 0) {
                            acknowledge();
                        }
                    }
                } else if (hdr.request.version != PRUNING_VERSION) {
                    refuse(WRONG_VERSION);
                } else if (hdr.request.kind == KIND_ACK) {
                    refuse(WRONG_SENDER);
                } else if (!sources.apply().hit) {
                    refuse(WRONG_SENDER);
                } else if (hdr.request.kind == KIND_DATA) {
                    if (known.apply().hit) {
                        if (hdr.request.epoch != meta.epoch) {
                            refuse(WRONG_EPOCH);
                        } else {
                            refuse(WRONG_SENDER);
                        }
                    }
                }
            }
        } else {
            drop();
        }
    }
}

control egress(inout headers_t hdr, inout meta_t meta, inout standard_metadata_t standard) {
    action strip() {
        hdr.udp.length = 8 + HEADER_OCTETS + meta.octets;
        hdr.ipv4.length = 20 + 8 + HEADER_OCTETS + meta.octets;
        hdr.udp.checksum = 0;  // allowed over IPv4 (RFC 768)
    }

    apply {
        if (meta.processed == 1) {
            // How many rows stay: a tree of sums, because a stage adds two numbers.
            bit<8> p = hdr.request.present;
            bit<8> pairs_0 = (7w0 ++ p[0:0]) + (7w0 ++ p[1:1]);
            bit<8> pairs_2 = (7w0 ++ p[2:2]) + (7w0 ++ p[3:3]);
            bit<8> pairs_4 = (7w0 ++ p[4:4]) + (7w0 ++ p[5:5]);
            bit<8> pairs_6 = (7w0 ++ p[6:6]) + (7w0 ++ p[7:7]);
            bit<8> low = pairs_0 + pairs_2;
            bit<8> high = pairs_4 + pairs_6;
            bit<8> rows = low + high;
            meta.octets = 8w0 ++ (rows << 2);
            strip();
#define STRIP_LANE(i, next)                                                                        \
    hdr.codes[i].setInvalid();                                                                     \
    if (hdr.request.present[i:i] == 0) {                                                           \
        hdr.rows[i].setInvalid();                                                                  \
    }
            FOR_EACH_LANE(STRIP_LANE)
        }
    }
}

control UpdateIpv4(inout headers_t hdr, inout meta_t meta) {
    apply {
        update_checksum(hdr.ipv4.isValid() && hdr.ipv4.ihl == 5, IPV4_CHECKSUM_FIELDS(hdr.ipv4),
                        hdr.ipv4.checksum, HashAlgorithm.csum16);
    }
}

control PruningDeparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.ethernet);
        packet.emit(hdr.ipv4);
        packet.emit(hdr.udp);
        packet.emit(hdr.request);
#define EMIT_LANE(i, next)                                                                         \
    packet.emit(hdr.rows[i]);                                                                      \
    packet.emit(hdr.codes[i]);
        FOR_EACH_LANE(EMIT_LANE)
    }
}

V1Switch(PruningParser(), VerifyIpv4(), ingress(), egress(), UpdateIpv4(), PruningDeparser()) main;

#endif
