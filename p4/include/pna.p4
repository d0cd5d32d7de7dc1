/* The Portable NIC Architecture (version 0.5, whose specification is not finished). Declarations for the
   front end: `weft p4 check`, `fmt` and `graph` take PNA programs; the switch runs v1model. */
#ifndef _PNA_P4_
#define _PNA_P4_

#include <core.p4>

match_kind {
    range,
    optional,  // exact or absent
    selector   // input of an action selector's hash
}

/* Each kind of number has three names: the plain bits (..Uint_t), the data plane's type (.._t) and the
   type that headers to and from the controller carry (..InHeader_t). */
#define PNA_NUMBER(NAME, WIDTH, WIRE) \
    typedef bit<WIDTH> NAME##Uint_t; \
    typedef bit<WIRE> NAME##InHeaderUint_t; \
    @p4runtime_translation("p4.org/pna/v1/" #NAME "_t", WIRE) type NAME##Uint_t NAME##_t; \
    @p4runtime_translation("p4.org/pna/v1/" #NAME "InHeader_t", WIRE) type NAME##InHeaderUint_t NAME##InHeader_t; \
    NAME##_t pna_##NAME##_header_to_int(in NAME##InHeader_t value) { \
        return (NAME##_t)(NAME##Uint_t)(NAME##InHeaderUint_t)value; \
    } \
    NAME##InHeader_t pna_##NAME##_int_to_header(in NAME##_t value) { \
        return (NAME##InHeader_t)(NAME##InHeaderUint_t)(NAME##Uint_t)value; \
    }

PNA_NUMBER(PortId, 32, 32)
PNA_NUMBER(InterfaceId, 32, 32)
PNA_NUMBER(MulticastGroup, 32, 32)
PNA_NUMBER(MirrorSessionId, 16, 16)
PNA_NUMBER(MirrorSlotId, 8, 8)
PNA_NUMBER(ClassOfService, 8, 8)
PNA_NUMBER(PacketLength, 16, 16)
PNA_NUMBER(MulticastInstance, 16, 16)
PNA_NUMBER(Timestamp, 64, 64)
PNA_NUMBER(FlowId, 32, 32)
PNA_NUMBER(ExpireTimeProfileId, 8, 8)
PNA_NUMBER(PassNumber, 3, 8)
PNA_NUMBER(SecurityAssocId, 32, 32)

#undef PNA_NUMBER

typedef error ParserError_t;

const InterfaceId_t PNA_PORT_CPU = (InterfaceId_t)0xfffffffd;
const MirrorSessionId_t PNA_MIRROR_SESSION_TO_CPU = (MirrorSessionId_t)0;

enum PNA_IdleTimeout_t {
    NO_TIMEOUT,
    NOTIFY_CONTROL,
    AUTO_DELETE
}

enum PNA_HashAlgorithm_t {
    IDENTITY,
    CRC32,
    CRC32_CUSTOM,
    CRC16,
    CRC16_CUSTOM,
    ONES_COMPLEMENT16,
    TARGET_DEFAULT
}

enum PNA_CounterType_t {
    PACKETS,
    BYTES,
    PACKETS_AND_BYTES
}

enum PNA_MeterType_t {
    PACKETS,
    BYTES
}

enum PNA_MeterColor_t {
    RED,
    GREEN,
    YELLOW
}

enum PNA_Direction_t {
    NET_TO_HOST,
    HOST_TO_NET
}

enum PNA_PacketPath_t {
    FROM_NET_PORT,
    FROM_NET_LOOPEDBACK,
    FROM_NET_RECIRCULATED,
    FROM_HOST,
    FROM_HOST_LOOPEDBACK,
    FROM_HOST_RECIRCULATED
}

struct pna_pre_input_metadata_t {
    PortId_t input_port;
    ParserError_t parser_error;
    PNA_Direction_t direction;
    PassNumber_t pass;
    bool loopedback;
}

struct pna_pre_output_metadata_t {
    bool decrypt;
    SecurityAssocId_t said;
    bit<16> decrypt_start_offset;
}

struct pna_main_parser_input_metadata_t {
    PNA_Direction_t direction;
    PassNumber_t pass;
    bool loopedback;
    PortId_t input_port;
}

struct pna_main_input_metadata_t {
    PNA_Direction_t direction;
    PassNumber_t pass;
    bool loopedback;
    Timestamp_t timestamp;
    ParserError_t parser_error;
    ClassOfService_t class_of_service;
    PortId_t input_port;
}

struct pna_main_output_metadata_t {
    ClassOfService_t class_of_service;
}

extern Hash<O> {
    Hash(PNA_HashAlgorithm_t algo);
    @pure O get_hash<D>(in D data);
    @pure O get_hash<T, D>(in T base, in D data, in T max);  // base + hash % max
}

extern Checksum<W> {
    Checksum(PNA_HashAlgorithm_t hash);
    void clear();
    void update<T>(in T data);
    @noSideEffects W get();
}

extern InternetChecksum {
    InternetChecksum();
    void clear();
    void add<T>(in T data);
    void subtract<T>(in T data);
    @noSideEffects bit<16> get();
    @noSideEffects bit<16> get_state();
    void set_state(in bit<16> checksum_state);
}

extern Counter<W, S> {
    Counter(bit<32> n_counters, PNA_CounterType_t type);
    void count(in S index, @optional in bit<32> increment);
}

extern DirectCounter<W> {
    DirectCounter(PNA_CounterType_t type);
    void count(@optional in bit<32> increment);
}

extern Meter<S> {
    Meter(bit<32> n_meters, PNA_MeterType_t type);
    PNA_MeterColor_t execute(in S index, in PNA_MeterColor_t color);
    PNA_MeterColor_t execute(in S index);
}

extern DirectMeter {
    DirectMeter(PNA_MeterType_t type);
    PNA_MeterColor_t execute(in PNA_MeterColor_t color);
    PNA_MeterColor_t execute();
}

extern Register<T, S> {
    Register(bit<32> size);
    Register(bit<32> size, T initial_value);
    @noSideEffects T read(in S index);
    void write(in S index, in T value);
}

extern Random<T> {
    Random(T min, T max);
    T read();
}

extern ActionProfile {
    ActionProfile(bit<32> size);
}

extern ActionSelector {
    ActionSelector(PNA_HashAlgorithm_t algo, bit<32> size, bit<32> outputWidth);
}

extern Digest<T> {
    Digest();
    void pack(in T data);
}

// What happens to the packet after the main control; the last call counts.
extern void drop_packet();
extern void send_to_port(PortId_t dest_port);
extern void mirror_packet(MirrorSlotId_t mirror_slot_id, MirrorSessionId_t mirror_session_id);
extern void recirculate();

// Entries that the data plane adds, and their life time.
extern bool add_entry<T>(string action_name, in T action_params,
                         in ExpireTimeProfileId_t expire_time_profile_id);
extern FlowId_t allocate_flow_id();
extern void set_entry_expire_time(in ExpireTimeProfileId_t expire_time_profile_id);
extern void restart_expire_timer();

@pure extern T SelectByDirection<T>(in PNA_Direction_t direction, in T n2h_value, in T h2n_value);

control PreControlT<PH, PM>(in PH pre_hdr, inout PM pre_user_meta, in pna_pre_input_metadata_t istd,
                            inout pna_pre_output_metadata_t ostd);
parser MainParserT<MH, MM>(packet_in pkt, out MH main_hdr, inout MM main_user_meta,
                           in pna_main_parser_input_metadata_t istd);
control MainControlT<MH, MM>(inout MH main_hdr, inout MM main_user_meta,
                             in pna_main_input_metadata_t istd, inout pna_main_output_metadata_t ostd);
control MainDeparserT<MH, MM>(packet_out pkt, in MH main_hdr, in MM main_user_meta,
                              in pna_main_output_metadata_t ostd);

package PNA_NIC<PH, PM, MH, MM>(
    MainParserT<MH, MM> main_parser,
    PreControlT<PH, PM> pre_control,
    MainControlT<MH, MM> main_control,
    MainDeparserT<MH, MM> main_deparser);

#endif
