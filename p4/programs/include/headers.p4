/* Headers that the programs share: Ethernet, IPv4 (RFC 791), UDP (RFC 768), TCP (RFC 9293). */
#ifndef WEFT_HEADERS_P4
#define WEFT_HEADERS_P4

typedef bit<48> mac_t;
typedef bit<32> ipv4_t;
typedef bit<9> port_t;

const bit<16> ETHERTYPE_IPV4 = 0x0800;
const bit<8> PROTOCOL_TCP = 6;
const bit<8> PROTOCOL_UDP = 17;

header ethernet_t {
    mac_t dst;
    mac_t src;
    bit<16> ether_type;
}

header ipv4_h {
    bit<4> version;
    bit<4> ihl;
    bit<6> dscp;
    bit<2> ecn;
    bit<16> length;
    bit<16> identification;
    bit<3> flags;
    bit<13> fragment_offset;
    bit<8> ttl;
    bit<8> protocol;
    bit<16> checksum;
    ipv4_t src;
    ipv4_t dst;
}

header tcp_t {
    bit<16> src_port;
    bit<16> dst_port;
    bit<32> sequence;
    bit<32> acknowledgement;
    bit<4> data_offset;
    bit<4> reserved;
    bit<8> flags;
    bit<16> window;
    bit<16> checksum;
    bit<16> urgent;
}

header udp_t {
    bit<16> src_port;
    bit<16> dst_port;
    bit<16> length;
    bit<16> checksum;
}

/* What the header checksum of IPv4 covers. */
#define IPV4_CHECKSUM_FIELDS(ip)                                                                   \
    { ip.version, ip.ihl, ip.dscp, ip.ecn, ip.length, ip.identification, ip.flags,                 \
      ip.fragment_offset, ip.ttl, ip.protocol, ip.src, ip.dst }

#endif
