/* All-reduce in the switch: sums of 32 bit integers, slot by slot, for several jobs.

   A job owns slots. Each has two sets of cells, used in turn: a worker sends round r + 1 of a slot when it has
   the result of round r, so when the first packet of round r + 1 arrives, nobody needs round r - 1 any
   more, and its set begins anew (Sapio et al., "Scaling Distributed Machine Learning with In-Network
   Aggregation", NSDI 2021, section 4). A set remembers its round, who was added, and the sums.

   Who sends again while others are still to come is told so (KIND_WAIT: the header without values, with
   the workers that came): that is how a worker tells late colleagues from a dead switch.

   What is not of a known (job, epoch, worker, port) is counted and dropped, and so are a slot beyond the
   job's and a packet whose UDP checksum is wrong. In a tree, a switch sends its sums up as one worker of the
   next, and passes results down; it keeps none: whoever misses a result sends again, and the question climbs
   as far as needed. */
#include <core.p4>
#include <v1model.p4>
#include "../include/headers.p4"

#ifndef CELLS
#define CELLS 1024
#endif

// How many values a packet has: 16 fit a Tofino 1, 32 a Tofino 2, a software switch takes them all.
#ifndef VALUES
#define VALUES 32
#endif
#define ROW(DO, r)                                                                                 \
    DO(r##0) DO(r##1) DO(r##2) DO(r##3) DO(r##4) DO(r##5) DO(r##6) DO(r##7) DO(r##8) DO(r##9)      \
    DO(r##a) DO(r##b) DO(r##c) DO(r##d) DO(r##e) DO(r##f)
#if VALUES == 16
#define FOR_EACH_VALUE(DO) ROW(DO, 0)
#elif VALUES == 32
#define FOR_EACH_VALUE(DO) ROW(DO, 0) ROW(DO, 1)
#elif VALUES == 64
#define FOR_EACH_VALUE(DO) ROW(DO, 0) ROW(DO, 1) ROW(DO, 2) ROW(DO, 3)
#elif VALUES == 128
#define FOR_EACH_VALUE(DO)                                                                         \
    ROW(DO, 0) ROW(DO, 1) ROW(DO, 2) ROW(DO, 3) ROW(DO, 4) ROW(DO, 5) ROW(DO, 6) ROW(DO, 7)
#elif VALUES == 256
#define FOR_EACH_VALUE(DO)                                                                         \
    ROW(DO, 0) ROW(DO, 1) ROW(DO, 2) ROW(DO, 3) ROW(DO, 4) ROW(DO, 5) ROW(DO, 6) ROW(DO, 7)        \
    ROW(DO, 8) ROW(DO, 9) ROW(DO, a) ROW(DO, b) ROW(DO, c) ROW(DO, d) ROW(DO, e) ROW(DO, f)
#else
#error "VALUES is 16, 32, 64, 128 or 256"
#endif

const bit<16> AGGREGATION_PORT = 22353;  // of UDP
const bit<8> AGGREGATION_VERSION = 3;
const bit<8> KIND_ADD = 1;
const bit<8> KIND_RESULT = 2;
const bit<8> KIND_CLOSE = 3;  // give the result of those who came: somebody is too late
const bit<8> KIND_WAIT = 4;   // yours is here; somebody is still to come

const bit<16> WAIT_UDP_LENGTH = 8 + 24;

// Who a packet leaves for: worker w is w + 1, as in the copies of the multicast group.
const bit<16> WHO_PARENT = 255;

// How a packet's round relates to the one that the set holds.
const bit<2> STALE = 0;
const bit<2> SAME = 1;
const bit<2> NEW = 2;

// What becomes of the cells.
const bit<2> READ = 0;
const bit<2> ADD = 1;
const bit<2> BEGIN = 2;

header update_t {
    bit<8> version;
    bit<8> kind;
    bit<16> job;
    bit<32> epoch;  // the job's incarnation, drawn at random: what is left of an earlier one never adds
    bit<8> worker;  // 0..31
    int<8> exponent;  // of the block that this slot carries next; the result has the largest
    bit<16> slot;
    bit<16> contributors;  // how many workers the values are the sum of
    bit<16> values;   // how many follow: all of a packet's, or none where only exponents count
    bit<32> round;    // of the slot, from 1; wraps
    bit<32> arrived;  // answers: which workers of this switch came, a bit each
}

header values_t {
#define VALUE_FIELD(i) int<32> v_##i;
    FOR_EACH_VALUE(VALUE_FIELD)
}

struct headers_t {
    ethernet_t ethernet;
    ipv4_h ipv4;
    udp_t udp;
    update_t update;
    values_t values;
}

struct meta_t {
    bit<32> base;
    bit<16> slots;
    bit<32> bit_of_worker;
    bit<32> everybody;
    bit<16> group;
    bit<1> has_parent;
    bit<1> may_close;
    port_t parent;
    bit<32> index;
    bit<2> relation;
    bit<2> mode;
    bit<32> before;
    bit<1> closed;
    bit<1> deliver;
    bit<16> who;
}

parser UpdateParser(packet_in packet, out headers_t hdr, inout meta_t meta,
                    inout standard_metadata_t standard) {
    state start {
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
            AGGREGATION_PORT: update;
            default: accept;
        }
    }
    state update {
        packet.extract(hdr.update);
        transition select(hdr.update.kind, hdr.update.values) {
            (KIND_WAIT, _): accept;
            (_, 0): accept;
            default: values;
        }
    }
    state values {
        packet.extract(hdr.values);
        transition accept;
    }
}

// What UDP's checksum is the sum over (RFC 768). Fields of an invalid header are 0, which adds nothing.
#define VALUE_LISTED(i) , hdr.values.v_##i
#define UDP_CHECKSUM_FIELDS(sum)                                                                   \
    {                                                                                              \
        hdr.ipv4.src, hdr.ipv4.dst, 8w0, hdr.ipv4.protocol, hdr.udp.length, hdr.udp.src_port,      \
        hdr.udp.dst_port, hdr.udp.length, hdr.update.version, hdr.update.kind, hdr.update.job,     \
        hdr.update.epoch, hdr.update.worker, hdr.update.exponent, hdr.update.slot,                 \
        hdr.update.contributors, hdr.update.values, hdr.update.round, hdr.update.arrived, sum      \
        FOR_EACH_VALUE(VALUE_LISTED)                                                               \
    }

control VerifyIpv4(inout headers_t hdr, inout meta_t meta) {
    apply {
        verify_checksum(hdr.ipv4.isValid() && hdr.ipv4.ihl == 5, IPV4_CHECKSUM_FIELDS(hdr.ipv4),
                        hdr.ipv4.checksum, HashAlgorithm.csum16);
#ifndef NO_UDP_CHECKSUM
        // With the checksum itself all adds up to -0, also where it is 0xffff in place of 0 (RFC 768).
        verify_checksum(hdr.update.isValid() && hdr.udp.checksum != 0,
                        UDP_CHECKSUM_FIELDS(hdr.udp.checksum), 16w0, HashAlgorithm.csum16);
#endif
    }
}

control Round(in bit<32> index, in bit<32> round, in bit<8> kind, out bit<2> relation) {
    register<bit<32>>(CELLS) cells;

    apply {
        bit<32> held;
        relation = STALE;
        cells.read(held, index);
#if VALUES == 16
        // A Tofino 1 has no stage left for more: a job must end before its rounds do.
        if (round > held && kind == KIND_ADD) {
            cells.write(index, round);
            relation = NEW;
        } else if (round == held) {
            relation = SAME;
        }
#else
        bit<32> ahead = round - held;  // rounds wrap: half of all numbers are ahead (RFC 1982)
        if (ahead == 0) {
            relation = SAME;
        } else if (ahead[31:31] == 0 && kind == KIND_ADD) {
            cells.write(index, round);
            relation = NEW;
        }
#endif
    }
}

control Arrived(in bit<32> index, in bit<2> relation, in bit<8> kind, in bit<32> who,
                out bit<32> before) {
    register<bit<32>>(CELLS) cells;

    apply {
        cells.read(before, index);
        if (relation == NEW) {
            cells.write(index, who);
            before = 0;
        } else if (kind == KIND_ADD) {
            cells.write(index, before | who);
        }
    }
}

control Closed(in bit<32> index, in bit<2> relation, in bit<1> close, out bit<1> before) {
    register<bit<1>>(CELLS) cells;

    apply {
        cells.read(before, index);
        if (relation == NEW) {
            cells.write(index, 0);
            before = 0;
        } else if (close == 1) {
            cells.write(index, 1);
        }
    }
}

control Contributors(in bit<32> index, in bit<2> mode, inout bit<16> count) {
    register<bit<16>>(CELLS) cells;

    apply {
        bit<16> old;
        cells.read(old, index);
        if (mode == BEGIN) {
            cells.write(index, count);
        } else if (mode == ADD) {
            count = old |+| count;
            cells.write(index, count);
        } else {
            count = old;
        }
    }
}

control Exponent(in bit<32> index, in bit<2> mode, inout int<8> exponent) {
    register<int<8>>(CELLS) cells;

    apply {
        int<8> old;
        cells.read(old, index);
        if (mode == BEGIN || (mode == ADD && exponent > old)) {
            cells.write(index, exponent);
        } else {
            exponent = old;
        }
    }
}

control Value(in bit<32> index, in bit<2> mode, inout int<32> value) {
    register<int<32>>(CELLS) cells;

    apply {
        int<32> old;
        cells.read(old, index);
        if (mode == BEGIN) {
            cells.write(index, value);
        } else if (mode == ADD) {
            value = old |+| value;
            cells.write(index, value);
        } else {
            value = old;
        }
    }
}

control ingress(inout headers_t hdr, inout meta_t meta, inout standard_metadata_t standard) {
    Round() round;
    Arrived() arrived;
    Closed() closed;
    Contributors() contributors;
    Exponent() exponent;
#define VALUE(i) Value() value_##i;
    FOR_EACH_VALUE(VALUE)

    // 0 wrong version or size, 1 not a member, 2 slot beyond the quota, 3 stale round, 4 damaged
    counter(5, CounterType.packets) refused;

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

    action member(bit<32> base, bit<16> slots, bit<32> bit_of_worker, bit<32> everybody,
                  bit<16> group, bit<1> may_close, bit<1> has_parent, port_t parent) {
        meta.base = base;
        meta.slots = slots;
        meta.bit_of_worker = bit_of_worker;
        meta.everybody = everybody;
        meta.group = group;
        meta.may_close = may_close;
        meta.has_parent = has_parent;
        meta.parent = parent;
    }

    table members {
        key = {
            hdr.update.job : exact;
            hdr.update.epoch : exact;
            hdr.update.worker : exact;
            standard.ingress_port : exact;
        }
        actions = { member; NoAction; }
        default_action = NoAction();
        size = 1024;
    }

    action pass_down(bit<16> group) {
        standard.mcast_grp = group;
        meta.deliver = 1;
    }

    table parents {
        key = {
            hdr.update.job : exact;
            hdr.update.epoch : exact;
            standard.ingress_port : exact;
        }
        actions = { pass_down; NoAction; }
        default_action = NoAction();
        size = 64;
    }

    action refuse(bit<32> reason) {
        refused.count(reason);
        mark_to_drop(standard);
    }

    apply {
        if (standard.parser_error != error.NoError || standard.checksum_error == 1) {
            refuse(4);
        } else if (!hdr.update.isValid()) {
            if (hdr.ipv4.isValid()) {
                routes.apply();
            } else {
                drop();
            }
        } else if (hdr.update.version != AGGREGATION_VERSION
                   || (hdr.update.values != VALUES && hdr.update.values != 0)) {
            refuse(0);
        } else if (hdr.update.kind == KIND_RESULT || hdr.update.kind == KIND_WAIT) {
            if (!parents.apply().hit) {
                refuse(1);
            }
        } else if (!members.apply().hit
                   || (hdr.update.kind != KIND_ADD && hdr.update.kind != KIND_CLOSE)) {
            refuse(1);
        } else if (hdr.update.slot >= meta.slots) {
            refuse(2);
        } else {
            meta.index = meta.base + ((bit<32>)hdr.update.slot << 1)
                         + (bit<32>)hdr.update.round[0:0];
            round.apply(meta.index, hdr.update.round, hdr.update.kind, meta.relation);
            if (meta.relation == STALE) {
                refuse(3);
            } else {
                arrived.apply(meta.index, meta.relation, hdr.update.kind, meta.bit_of_worker,
                              meta.before);
                bit<1> close = 0;
                if (hdr.update.kind == KIND_CLOSE) {
                    close = meta.may_close;
                }
                closed.apply(meta.index, meta.relation, close, meta.closed);
                bit<32> after = meta.before;
                meta.mode = READ;
                if (hdr.update.kind == KIND_ADD) {
                    after = meta.before | meta.bit_of_worker;
                }
                if (meta.relation == NEW) {
                    meta.mode = BEGIN;
                } else if (after != meta.before && meta.closed == 0) {
                    meta.mode = ADD;
                }
                contributors.apply(meta.index, meta.mode, hdr.update.contributors);
                exponent.apply(meta.index, meta.mode, hdr.update.exponent);
#define MEET_VALUE(i) value_##i.apply(meta.index, meta.mode, hdr.values.v_##i);
                FOR_EACH_VALUE(MEET_VALUE)
                bit<1> had_all = meta.closed;
                if (meta.before == meta.everybody) {
                    had_all = 1;
                }
                hdr.update.arrived = after;
                meta.who = (bit<16>)hdr.update.worker + 1;
                if (had_all == 0 && after != meta.everybody && close == 0) {
                    if (after == meta.before) {  // sent again
                        hdr.update.kind = KIND_WAIT;
                        hdr.values.setInvalid();
                        hdr.udp.length = WAIT_UDP_LENGTH;
                        hdr.ipv4.length = 20 + WAIT_UDP_LENGTH;
                        standard.egress_spec = standard.ingress_port;
                        meta.deliver = 1;
                    } else {
                        drop();  // somebody is still to come
                    }
                } else if (meta.has_parent == 1) {
                    hdr.update.kind = KIND_ADD;
                    standard.egress_spec = meta.parent;
                    meta.who = WHO_PARENT;
                    meta.deliver = 1;
                } else {
                    hdr.update.kind = KIND_RESULT;
                    meta.deliver = 1;
                    if (had_all == 1) {
                        standard.egress_spec = standard.ingress_port;  // its copy was lost
                    } else {
                        standard.mcast_grp = meta.group;
                    }
                }
            }
        }
    }
}

control egress(inout headers_t hdr, inout meta_t meta, inout standard_metadata_t standard) {
    action address(mac_t mac, ipv4_t ip, bit<16> port, mac_t own_mac, ipv4_t own_ip,
                   bit<8> worker) {
        hdr.ethernet.dst = mac;
        hdr.ethernet.src = own_mac;
        hdr.ipv4.dst = ip;
        hdr.ipv4.src = own_ip;
        hdr.udp.dst_port = port;
        hdr.udp.src_port = AGGREGATION_PORT;
        hdr.udp.checksum = 0;
        hdr.update.worker = worker;
    }

    action drop() {
        mark_to_drop(standard);
    }

    // Where they are; `worker` is what we are to a parent, or what the receiver is to us.
    table neighbours {
        key = {
            hdr.update.job : exact;
            meta.who : exact;
        }
        actions = { address; drop; }
        default_action = drop();
        size = 1024;
    }

    apply {
        if (meta.deliver == 1) {
            if (standard.egress_rid != 0) {
                meta.who = standard.egress_rid;
            }
            neighbours.apply();
        }
    }
}

control UpdateIpv4(inout headers_t hdr, inout meta_t meta) {
    apply {
        update_checksum(hdr.ipv4.isValid() && hdr.ipv4.ihl == 5, IPV4_CHECKSUM_FIELDS(hdr.ipv4),
                        hdr.ipv4.checksum, HashAlgorithm.csum16);
#ifndef NO_UDP_CHECKSUM
        update_checksum(meta.deliver == 1, UDP_CHECKSUM_FIELDS(16w0), hdr.udp.checksum,
                        HashAlgorithm.csum16);
#endif
    }
}

control UpdateDeparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.ethernet);
        packet.emit(hdr.ipv4);
        packet.emit(hdr.udp);
        packet.emit(hdr.update);
        packet.emit(hdr.values);
    }
}

V1Switch(UpdateParser(), VerifyIpv4(), ingress(), egress(), UpdateIpv4(), UpdateDeparser()) main;
