#include <core.p4>
#include <psa.p4>

typedef bit<48> EthernetAddress;

header ethernet_t {
    EthernetAddress d;
    EthernetAddress s;
    bit<16> t;
}

header clone_h {
    bit<32> port;
}

struct empty_t {
}

struct headers {
    ethernet_t eth;
}

struct meta_t {
    bit<32> hash;
    PortId_t p;
}

struct dig_t {
    EthernetAddress a;
    PortId_t p;
}

error {
    Mine
}

parser IP(packet_in b, out headers h, inout meta_t m, in psa_ingress_parser_input_metadata_t istd,
          in empty_t r, in empty_t rc) {
    InternetChecksum() ck;

    state start {
        b.extract(h.eth);
        ck.clear();
        ck.add({ h.eth.d, h.eth.t });
        verify(ck.get() == 0, error.Mine);
        transition select(istd.packet_path) {
            PSA_PacketPath_t.RESUBMIT: accept;
            default: more;
        }
    }

    state more {
        transition select(h.eth.t) {
            0x800 &&& 0xff00: accept;
            _: accept;
        }
    }
}

control IG(inout headers h, inout meta_t m, in psa_ingress_input_metadata_t i,
           inout psa_ingress_output_metadata_t o) {
    Counter<bit<32>, PortId_t>(100, PSA_CounterType_t.PACKETS) c;
    DirectCounter<bit<64>>(PSA_CounterType_t.PACKETS_AND_BYTES) dc;
    DirectMeter(PSA_MeterType_t.BYTES) dm;
    Meter<bit<12>>(1024, PSA_MeterType_t.PACKETS) mt;
    Register<bit<32>, bit<10>>(1024) reg;
    Register<bit<32>, bit<10>>(1024, 5) reg2;
    Hash<bit<16>>(PSA_HashAlgorithm_t.CRC16) hsh;
    Random<bit<16>>(0, 255) rnd;
    ActionProfile(1024) ap;
    ActionSelector(PSA_HashAlgorithm_t.CRC32, 1024, 16) as_;
    Digest<dig_t>() dg;

    action fwd(PortId_t p) {
        send_to_port(o, p);
        dc.count();
    }

    action mc(MulticastGroup_t g) {
        multicast(o, g);
    }

    action drop() {
        ingress_drop(o);
    }

    action col() {
        PSA_MeterColor_t c1 = dm.execute();
        if (c1 == PSA_MeterColor_t.RED)
            ingress_drop(o);
        dc.count();
    }

    table t {
        key = {
            h.eth.d: exact;
            m.p: ternary;
            i.ingress_port: range;
        }
        actions = {
            NoAction;
            fwd;
            col;
            drop;
        }
        psa_direct_counter = dc;
        psa_direct_meter = dm;
        psa_idle_timeout = PSA_IdleTimeout_t.NOTIFY_CONTROL;
        default_action = NoAction();
        size = 10;
    }

    table t2 {
        key = {
            h.eth.d: exact;
            h.eth.s: selector;
        }
        actions = {
            mc;
            drop;
            NoAction;
        }
        psa_implementation = as_;
        psa_empty_group_action = NoAction();
    }

    table t3 {
        key = {
            h.eth.d: lpm;
        }
        actions = {
            mc;
            NoAction;
        }
        psa_implementation = ap;
    }

    apply {
        c.count(i.ingress_port);
        PSA_MeterColor_t k = mt.execute(3, PSA_MeterColor_t.GREEN);
        k = mt.execute(3);
        bit<32> x = reg.read(1);
        reg.write(2, x + 1);
        m.hash = (bit<32>)hsh.get_hash({ h.eth.d, h.eth.s });
        m.hash = (bit<32>)hsh.get_hash(16w0, { h.eth.d, h.eth.s }, 16w7) + (bit<32>)rnd.read();
        if (t.apply().hit) {
            t2.apply();
        }
        else
            t3.apply();
        o.egress_port = (PortId_t)3;
        o.class_of_service = (ClassOfService_t)1;
        if (i.parser_error != error.NoError)
            drop();
        m.p = psa_PortId_header_to_int((PortIdInHeader_t)(PortIdInHeaderUint_t)m.hash);
    }
}

control ID(packet_out b, out empty_t a, out empty_t r, out empty_t n, inout headers h, in meta_t m,
           in psa_ingress_output_metadata_t i) {
    Digest<dig_t>() dg;

    apply {
        if (psa_clone_i2e(i)) {
        }
        if (psa_normal(i))
            dg.pack({ h.eth.d, m.p });
        b.emit(h.eth);
        b.emit(h);
    }
}

parser EP(packet_in b, out headers h, inout meta_t m, in psa_egress_parser_input_metadata_t i,
          in empty_t n, in empty_t a, in empty_t c) {

    state start {
        transition accept;
    }
}

control EG(inout headers h, inout meta_t m, in psa_egress_input_metadata_t i,
           inout psa_egress_output_metadata_t o) {

    apply {
        if (i.instance == (EgressInstance_t)1)
            egress_drop(o);
    }
}

control ED(packet_out b, out empty_t c, out empty_t r, inout headers h, in meta_t m,
           in psa_egress_output_metadata_t i, in psa_egress_deparser_input_metadata_t e) {
    InternetChecksum() ck;

    apply {
        ck.subtract(h.eth.t);
        ck.set_state(ck.get_state());
        h.eth.t = ck.get();
        b.emit(h.eth);
        if (psa_recirculate(i, e)) {
        }
    }
}

IngressPipeline(IP(), IG(), ID()) ip;
EgressPipeline(EP(), EG(), ED()) ep;
PSA_Switch(ip, PacketReplicationEngine(), ep, BufferingQueueingEngine()) main;
