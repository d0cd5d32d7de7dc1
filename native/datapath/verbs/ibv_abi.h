// The part of libibverbs' binary interface that is used here, declared by ourselves.
//
// Why not <infiniband/verbs.h>: libibverbs is opened at run time, so that one build serves machines
// with and without RDMA; with declarations of our own it also builds everywhere, always with
// everything in it. The interface has been stable since libibverbs 1.1 (symbol version IBVERBS_1.1,
// 2008): structures that the library fills or reads never change, those it allocates are only read
// at the offsets below. tests/native/verbs/abi.cc compares every size and offset with the real
// header where there is one (in CI there is).
//
// Names are the library's without `ibv_`, so that its manual pages (ibv_post_send(3)) apply.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <cstdint>

namespace weft::datapath::verbs::ibv {

enum : int { kQptRc = 2, kQptUc = 3, kQptUd = 4 };
enum : int { kStateReset, kStateInit, kStateRtr, kStateRts, kStateSqd, kStateSqe, kStateErr };
enum : int {
    kAttrState = 1 << 0,
    kAttrAccess = 1 << 3,
    kAttrPkey = 1 << 4,
    kAttrPort = 1 << 5,
    kAttrQkey = 1 << 6,
    kAttrAv = 1 << 7,
    kAttrPathMtu = 1 << 8,
    kAttrTimeout = 1 << 9,
    kAttrRetries = 1 << 10,
    kAttrRnrRetry = 1 << 11,
    kAttrRqPsn = 1 << 12,
    kAttrMaxRdAtomic = 1 << 13,
    kAttrMinRnrTimer = 1 << 15,
    kAttrSqPsn = 1 << 16,
    kAttrMaxDestRdAtomic = 1 << 17,
    kAttrDestQpn = 1 << 20,
};
enum : int { kAccessLocalWrite = 1, kAccessRemoteWrite = 2 };
enum : int { kWrWriteImm = 1, kWrSend = 2 };
enum : unsigned { kSendSignaled = 2 };
enum : int {
    kWcSuccess = 0,
    kWcFlushed = 5,
    kWcRemInvReq = 9,
    kWcRemAccess = 10,
    kWcRemOp = 11,
    kWcRetry = 12,
    kWcRnrRetry = 13,
};
enum : int { kWcRecv = 128, kWcRecvWriteImm = 129 };
enum : int {
    kEventQpFatal = 1,
    kEventQpRequest = 2,
    kEventQpAccess = 3,
    kEventDeviceFatal = 8,
    kEventPortActive = 9,
    kEventPortError = 10,
    kEventGidChange = 18,
};

struct Context;
struct Pd;
struct Cq;
struct Srq;
struct Qp;

union Gid {
    std::uint8_t raw[16];
    std::uint64_t words[2];
};

struct DeviceAttr {
    char fw_ver[64];
    std::uint64_t node_guid, sys_image_guid, max_mr_size, page_size_cap;
    std::uint32_t vendor_id, vendor_part_id, hw_ver;
    int max_qp, max_qp_wr;
    unsigned device_cap_flags;
    int max_sge, max_sge_rd, max_cq, max_cqe, max_mr, max_pd;
    int max_qp_rd_atom, max_ee_rd_atom, max_res_rd_atom, max_qp_init_rd_atom, max_ee_init_rd_atom;
    int atomic_cap;
    int max_ee, max_rdd, max_mw, max_raw_ipv6_qp, max_raw_ethy_qp;
    int max_mcast_grp, max_mcast_qp_attach, max_total_mcast_qp_attach;
    int max_ah, max_fmr, max_map_per_fmr, max_srq, max_srq_wr, max_srq_sge;
    std::uint16_t max_pkeys;
    std::uint8_t local_ca_ack_delay, phys_port_cnt;
};

struct PortAttr {  // the exported function fills all but the last two
    int state, max_mtu, active_mtu, gid_tbl_len;
    std::uint32_t port_cap_flags, max_msg_sz, bad_pkey_cntr, qkey_viol_cntr;
    std::uint16_t pkey_tbl_len, lid, sm_lid;
    std::uint8_t lmc, max_vl_num, sm_sl, subnet_timeout, init_type_reply, active_width;
    std::uint8_t active_speed, phys_state, link_layer, flags;
    std::uint16_t port_cap_flags2;
};

struct GlobalRoute {
    Gid dgid;
    std::uint32_t flow_label;
    std::uint8_t sgid_index, hop_limit, traffic_class;
};

struct AhAttr {
    GlobalRoute grh;
    std::uint16_t dlid;
    std::uint8_t sl, src_path_bits, static_rate, is_global, port_num;
};

struct SrqInitAttr {
    void* srq_context;
    std::uint32_t max_wr, max_sge, srq_limit;
};

struct QpCap {
    std::uint32_t max_send_wr, max_recv_wr, max_send_sge, max_recv_sge, max_inline_data;
};

struct QpInitAttr {
    void* qp_context;
    Cq* send_cq;
    Cq* recv_cq;
    Srq* srq;
    QpCap cap;
    int qp_type, sq_sig_all;
};

struct QpAttr {
    int qp_state, cur_qp_state, path_mtu, path_mig_state;
    std::uint32_t qkey, rq_psn, sq_psn, dest_qp_num;
    unsigned qp_access_flags;
    QpCap cap;
    AhAttr ah_attr, alt_ah_attr;
    std::uint16_t pkey_index, alt_pkey_index;
    std::uint8_t en_sqd_async_notify, sq_draining, max_rd_atomic, max_dest_rd_atomic, min_rnr_timer;
    std::uint8_t port_num, timeout, retry_cnt, rnr_retry, alt_port_num, alt_timeout;
    std::uint32_t rate_limit;
};

struct Sge {
    std::uint64_t addr;
    std::uint32_t length, lkey;
};

struct Ah;

struct SendWr {
    std::uint64_t wr_id;
    SendWr* next;
    Sge* sg_list;
    int num_sge, opcode;
    unsigned send_flags;
    std::uint32_t imm_data;  // network byte order
    union {
        struct {
            std::uint64_t remote_addr;
            std::uint32_t rkey;
        } rdma;
        struct {
            std::uint64_t remote_addr, compare_add, swap;
            std::uint32_t rkey;
        } atomic;
        struct {
            Ah* ah;
            std::uint32_t remote_qpn, remote_qkey;
        } ud;
    } wr;
    std::uint32_t xrc_srqn;
    std::uint64_t rest[6];  // memory windows, segmentation: never used
};

struct RecvWr {
    std::uint64_t wr_id;
    RecvWr* next;
    Sge* sg_list;
    int num_sge;
};

struct Wc {
    std::uint64_t wr_id;
    int status, opcode;
    std::uint32_t vendor_err, byte_len, imm_data, qp_num, src_qp;
    unsigned wc_flags;
    std::uint16_t pkey_index, slid;
    std::uint8_t sl, dlid_path_bits;
};

struct AsyncEvent {
    union {
        Cq* cq;
        Qp* qp;
        Srq* srq;
        int port_num;
    } element;
    int event_type;
};

// --- Allocated by the library; we read what is named.

struct ContextOps {
    void* before_poll[11];
    int (*poll_cq)(Cq* cq, int count, Wc* wc);
    int (*req_notify_cq)(Cq* cq, int solicited_only);
    void* before_post_srq_recv[7];
    int (*post_srq_recv)(Srq* srq, RecvWr* wr, RecvWr** bad);
    void* before_post_send[4];
    int (*post_send)(Qp* qp, SendWr* wr, SendWr** bad);
    int (*post_recv)(Qp* qp, RecvWr* wr, RecvWr** bad);
    void* after[5];
};

struct Context {
    void* device;
    ContextOps ops;
    int cmd_fd, async_fd;
};

struct Pd {
    Context* context;
};

struct Mr {
    Context* context;
    Pd* pd;
    void* addr;
    std::size_t length;
    std::uint32_t handle, lkey, rkey;
};

struct CompChannel {
    Context* context;
    int fd;
};

struct Cq {
    Context* context;
};

struct Srq {
    Context* context;
};

struct Qp {
    Context* context;
    void* qp_context;
    Pd* pd;
    Cq* send_cq;
    Cq* recv_cq;
    Srq* srq;
    std::uint32_t handle, qp_num;
};

// --- The functions that are called, by their names in the library.
struct Functions {
    void** (*get_device_list)(int* count);
    void (*free_device_list)(void** list);
    const char* (*get_device_name)(void* device);
    Context* (*open_device)(void* device);
    int (*close_device)(Context* context);
    int (*query_device)(Context* context, DeviceAttr* attr);
    int (*query_port)(Context* context, std::uint8_t port, PortAttr* attr);
    Pd* (*alloc_pd)(Context* context);
    int (*dealloc_pd)(Pd* pd);
    Mr* (*reg_mr)(Pd* pd, void* address, std::size_t length, int access);
    Mr* (*reg_dmabuf_mr)(Pd* pd, std::uint64_t offset, std::size_t length, std::uint64_t iova,
                         int fd, int access);  // since 2020; may be null
    int (*dereg_mr)(Mr* mr);
    CompChannel* (*create_comp_channel)(Context* context);
    int (*destroy_comp_channel)(CompChannel* channel);
    Cq* (*create_cq)(Context* context, int depth, void* cookie, CompChannel* channel, int vector);
    int (*destroy_cq)(Cq* cq);
    int (*get_cq_event)(CompChannel* channel, Cq** cq, void** cookie);
    void (*ack_cq_events)(Cq* cq, unsigned count);
    Srq* (*create_srq)(Pd* pd, SrqInitAttr* attr);
    int (*destroy_srq)(Srq* srq);
    Qp* (*create_qp)(Pd* pd, QpInitAttr* attr);
    int (*modify_qp)(Qp* qp, QpAttr* attr, int mask);
    int (*destroy_qp)(Qp* qp);
    Ah* (*create_ah)(Pd* pd, AhAttr* attr);
    int (*destroy_ah)(Ah* ah);
    int (*get_async_event)(Context* context, AsyncEvent* event);
    void (*ack_async_event)(AsyncEvent* event);
};

}  // namespace weft::datapath::verbs::ibv
