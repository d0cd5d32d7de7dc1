/* In-band telemetry in the manner of INT-MD: every switch on the way pushes a record of itself
   (switch, ports, queue depth, time) behind a shim after UDP; the sink, which is told by table, takes
   the stack off and reports it as a digest. */
#include <core.p4>
#include <v1model.p4>
#include "include/headers.p4"

#define MAX_HOPS 8
const bit<16> TELEMETRY_PORT = 5000;

header shim_t {
    bit<8> hops;
    bit<8> remaining;
    bit<16> dst_port;  // where the payload really goes
}

header record_t {
    bit<32> switch_id;
    bit<16> ingress_port;
    bit<16> egress_port;
    bit<32> queue_depth;
    bit<48> timestamp;
    bit<16> reserved;
}

struct headers_t {
    ethernet_t ethernet;
    ipv4_h ipv4;
    udp_t udp;
    shim_t shim;
    record_t[MAX_HOPS] records;
}

struct meta_t {
    bit<8> remaining;
    bit<1> sink;
    bit<32> switch_id;
}

struct report_t {
    bit<32> src;
    bit<32> dst;
    bit<8> hops;
    bit<32> last_switch;
    bit<48> last_timestamp;
}

parser TelemetryParser(packet_in packet, out headers_t hdr, inout meta_t meta,
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
        transition select(hdr.ipv4.protocol) {
            PROTOCOL_UDP: udp;
            default: accept;
        }
    }
    state udp {
        packet.extract(hdr.udp);
        transition select(hdr.udp.dst_port) {
            TELEMETRY_PORT: shim;
            default: accept;
        }
    }
    state shim {
        packet.extract(hdr.shim);
        meta.remaining = hdr.shim.hops;
        transition next_record;
    }
    state next_record {
        transition select(meta.remaining) {
            0: accept;
            default: record;
        }
    }
    state record {
        packet.extract(hdr.records.next);
        meta.remaining = meta.remaining - 1;
        transition next_record;
    }
}

control VerifyNothing(inout headers_t hdr, inout meta_t meta) {
    apply { }
}

control ingress(inout headers_t hdr, inout meta_t meta, inout standard_metadata_t standard) {
    action drop() {
        mark_to_drop(standard);
    }

    action forward(port_t port, bit<1> sink) {
        standard.egress_spec = port;
        meta.sink = sink;
    }

    table destinations {
        key = { hdr.ipv4.dst : ternary; }
        actions = { forward; drop; }
        default_action = drop();
        size = 4096;
    }

    apply {
        if (standard.parser_error != error.NoError || !hdr.ipv4.isValid()) {
            drop();
            return;
        }
        destinations.apply();
        if (meta.sink == 1 && hdr.shim.isValid()) {
            digest<report_t>(1, { hdr.ipv4.src, hdr.ipv4.dst, hdr.shim.hops,
                                  hdr.records[0].switch_id, hdr.records[0].timestamp });
        }
    }
}

control egress(inout headers_t hdr, inout meta_t meta, inout standard_metadata_t standard) {
    action identify(bit<32> switch_id) {
        meta.switch_id = switch_id;
    }

    table self {
        actions = { identify; }
        default_action = identify(0);
    }

    action grow(bit<16> octets) {
        hdr.ipv4.length = hdr.ipv4.length + octets;
        hdr.udp.length = hdr.udp.length + octets;
        hdr.udp.checksum = 0;  // allowed over IPv4 (RFC 768)
    }

    action push() {
        hdr.records.push_front(1);
        hdr.records[0].setValid();
        hdr.records[0] = { meta.switch_id, (bit<16>)standard.ingress_port,
                           (bit<16>)standard.egress_port, (bit<32>)standard.enq_qdepth,
                           standard.ingress_global_timestamp, 0 };
        hdr.shim.hops = hdr.shim.hops + 1;
        grow(20);
    }

    action strip() {
        hdr.udp.dst_port = hdr.shim.dst_port;
        // The shim's 4 bytes and 20 per record.
        bit<16> octets = 4 + ((bit<16>)hdr.shim.hops << 4) + ((bit<16>)hdr.shim.hops << 2);
        grow(0 - octets);
        hdr.shim.setInvalid();
        hdr.records.pop_front(MAX_HOPS);
    }

    apply {
        if (!hdr.shim.isValid()) {
            return;
        }
        self.apply();
        if (meta.sink == 1) {
            strip();
        } else if (hdr.shim.hops < MAX_HOPS && hdr.shim.remaining > 0) {
            hdr.shim.remaining = hdr.shim.remaining - 1;
            push();
        }
    }
}

control UpdateIpv4(inout headers_t hdr, inout meta_t meta) {
    apply {
        update_checksum(hdr.ipv4.isValid() && hdr.ipv4.ihl == 5, IPV4_CHECKSUM_FIELDS(hdr.ipv4),
                        hdr.ipv4.checksum, HashAlgorithm.csum16);
    }
}

control TelemetryDeparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.ethernet);
        packet.emit(hdr.ipv4);
        packet.emit(hdr.udp);
        packet.emit(hdr.shim);
        packet.emit(hdr.records);
    }
}

V1Switch(TelemetryParser(), VerifyNothing(), ingress(), egress(), UpdateIpv4(),
         TelemetryDeparser()) main;
