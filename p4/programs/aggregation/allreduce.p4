/* All-reduce in the switch: sums of 32 bit integers, slot by slot, for several jobs.

   A job owns slots. Each has two sets of cells, used in turn: a worker sends round r + 1 of a slot when it has
   the result of round r, so when the first packet of round r + 1 arrives, nobody needs round r - 1 any
   more, and its set begins anew (Sapio et al., "Scaling Distributed Machine Learning with In-Network
   Aggregation", NSDI 2021, section 4). A set remembers its round, who was added, and the sums.

   What is not of a known (job, epoch, worker, port) is counted and dropped, and so is a slot beyond the
   job's. In a tree, a switch sends its sums up as one worker of the next, and passes results down; it keeps
   none: whoever misses a result sends again, and the question climbs as far as needed. */
#include <core.p4>
#include <v1model.p4>
#include "../include/headers.p4"

#ifndef CELLS
#define CELLS 1024
#endif

#ifndef VALUES
#define VALUES 32
#endif
#if VALUES == 32
#define FOR_EACH_VALUE(DO)                                                                         \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) \
    DO(15) DO(16) DO(17) DO(18) DO(19) DO(20) DO(21) DO(22) DO(23) DO(24) DO(25) DO(26) DO(27)     \
    DO(28) DO(29) DO(30) DO(31)
#elif VALUES == 16
#define FOR_EACH_VALUE(DO)                                                                         \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) \
    DO(15)
#else
#error "VALUES is 16 or 32"
#endif

const bit<16> AGGREGATION_PORT = 22353;  // of UDP
const bit<8> AGGREGATION_VERSION = 1;
const bit<8> KIND_ADD = 1;
const bit<8> KIND_RESULT = 2;
const bit<8> KIND_CLOSE = 3;  // give the result of those who came: somebody is too late

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
    bit<16> epoch;  // the job's incarnation: stale packets of an earlier one never add
    bit<8> worker;  // 0..31
    int<8> exponent;  // of the block that this slot carries next; the result has the largest
    bit<16> slot;
    bit<16> contributors;  // how many workers the values are the sum of
    bit<32> round;    // of the slot, from 1
}

header values_t {
#define VALUE_FIELD(i) int<32> v##i;
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
        packet.extract(hdr.values);
        transition accept;
    }
}

control VerifyIpv4(inout headers_t hdr, inout meta_t meta) {
    apply {
        verify_checksum(hdr.ipv4.isValid() && hdr.ipv4.ihl == 5, IPV4_CHECKSUM_FIELDS(hdr.ipv4),
                        hdr.ipv4.checksum, HashAlgorithm.csum16);
    }
}

control Round(in bit<32> index, in bit<32> round, in bit<8> kind, out bit<2> relation) {
    register<bit<32>>(CELLS) cells;

    apply {
        bit<32> held;
        relation = STALE;
        cells.read(held, index);
        if (round > held && kind == KIND_ADD) {
            cells.write(index, round);
            relation = NEW;
        } else if (round == held) {
            relation = SAME;
        }
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
#define VALUE(i) Value() value##i;
    FOR_EACH_VALUE(VALUE)

    // 0 wrong version, 1 not a member, 2 slot beyond the quota, 3 stale round
    counter(4, CounterType.packets) refused;

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
            drop();
        } else if (!hdr.update.isValid()) {
            if (hdr.ipv4.isValid()) {
                routes.apply();
            } else {
                drop();
            }
        } else if (hdr.update.version != AGGREGATION_VERSION) {
            refuse(0);
        } else if (hdr.update.kind == KIND_RESULT) {
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
#define MEET_VALUE(i) value##i.apply(meta.index, meta.mode, hdr.values.v##i);
                FOR_EACH_VALUE(MEET_VALUE)
                bit<1> had_all = meta.closed;
                if (meta.before == meta.everybody) {
                    had_all = 1;
                }
                if (had_all == 0 && after != meta.everybody && close == 0) {
                    drop();  // somebody is still to come
                } else if (meta.has_parent == 1) {
                    hdr.update.kind = KIND_ADD;
                    standard.egress_spec = meta.parent;
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
    action address(mac_t mac, ipv4_t ip, mac_t own_mac, ipv4_t own_ip, bit<8> worker) {
        hdr.ethernet.dst = mac;
        hdr.ethernet.src = own_mac;
        hdr.ipv4.dst = ip;
        hdr.ipv4.src = own_ip;
        hdr.udp.checksum = 0;  // allowed over IPv4 (RFC 768)
        hdr.update.worker = worker;
    }

    action drop() {
        mark_to_drop(standard);
    }

    // Who is at this port; `worker` is what we are to a parent, or what the receiver is to us.
    table neighbours {
        key = {
            hdr.update.job : exact;
            standard.egress_port : exact;
        }
        actions = { address; drop; }
        default_action = drop();
        size = 1024;
    }

    apply {
        if (meta.deliver == 1) {
            neighbours.apply();
        }
    }
}

control UpdateIpv4(inout headers_t hdr, inout meta_t meta) {
    apply {
        update_checksum(hdr.ipv4.isValid() && hdr.ipv4.ihl == 5, IPV4_CHECKSUM_FIELDS(hdr.ipv4),
                        hdr.ipv4.checksum, HashAlgorithm.csum16);
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
