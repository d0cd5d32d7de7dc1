#include <core.p4>
#include <pna.p4>

header eth_h {
    bit<48> d;
    bit<48> s;
    bit<16> t;
}

struct H {
    eth_h eth;
}

struct M {
    bit<48> k;
    PortId_t p;
}

struct data_t {
    PortId_t port;
}

parser MP(packet_in pkt, out H h, inout M m, in pna_main_parser_input_metadata_t i) {

    state start {
        pkt.extract(h.eth);
        transition accept;
    }
}

control PC(in H h, inout M m, in pna_pre_input_metadata_t i, inout pna_pre_output_metadata_t o) {

    apply {
        o.decrypt = false;
    }
}

control MC(inout H h, inout M m, in pna_main_input_metadata_t i,
           inout pna_main_output_metadata_t o) {
    Register<bit<32>, bit<8>>(256) r;
    Counter<bit<32>, bit<8>>(256, PNA_CounterType_t.BYTES) c;

    action next(PortId_t p) {
        send_to_port(p);
    }

    action miss() {
        add_entry(action_name = "next", action_params = (data_t){ port = i.input_port }, expire_time_profile_id = (ExpireTimeProfileId_t)1);
    }

    action drop() {
        drop_packet();
    }

    table t {
        key = {
            SelectByDirection(i.direction, h.eth.s, h.eth.d): exact @name("a");
        }
        actions = {
            @tableonly next;
            @defaultonly miss;
        }
        add_on_miss = true;
        pna_idle_timeout = PNA_IdleTimeout_t.AUTO_DELETE;
        const default_action = miss;
    }

    table t2 {
        key = {
            h.eth.t: exact;
            m.p: ternary;
        }
        actions = {
            drop;
            next;
            NoAction;
        }
        const entries = {
            (0x800, (PortId_t)1): drop();
            (0x801, _): next((PortId_t)3);
        }
    }

    apply {
        c.count(1, 32w5);
        c.count(2);
        t.apply();
        t2.apply();
        mirror_packet((MirrorSlotId_t)0, (MirrorSessionId_t)1);
        recirculate();
    }
}

control MD(packet_out p, in H h, in M m, in pna_main_output_metadata_t o) {

    apply {
        p.emit(h.eth);
    }
}

PNA_NIC(MP(), PC(), MC(), MD()) main;
