// Our declarations of libibverbs against the library's own header, size by size and offset by
// offset. Without the header there is nothing to compare with: the tests say so and count as run
// only where it is (in CI it is: .ci/system-deps).
#include <doctest/doctest.h>

#include <cstddef>

#include "datapath/verbs/ibv_abi.h"

namespace abi = weft::datapath::verbs::ibv;

#if __has_include(<infiniband/verbs.h>)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <infiniband/verbs.h>
#pragma GCC diagnostic pop

// Where a member lies in both.
#define SAME(ours, our_member, theirs, their_member)                                 \
    CHECK_MESSAGE(offsetof(abi::ours, our_member) == offsetof(theirs, their_member), \
                  #theirs "::" #their_member)

TEST_CASE("structures that we fill or hand out have the library's size") {
    CHECK(sizeof(abi::DeviceAttr) == sizeof(ibv_device_attr));
    CHECK(sizeof(abi::PortAttr) == sizeof(ibv_port_attr));
    CHECK(sizeof(abi::AhAttr) == sizeof(ibv_ah_attr));
    CHECK(sizeof(abi::SrqInitAttr) == sizeof(ibv_srq_init_attr));
    CHECK(sizeof(abi::QpInitAttr) == sizeof(ibv_qp_init_attr));
    CHECK(sizeof(abi::QpAttr) == sizeof(ibv_qp_attr));
    CHECK(sizeof(abi::Sge) == sizeof(ibv_sge));
    CHECK(sizeof(abi::SendWr) == sizeof(ibv_send_wr));
    CHECK(sizeof(abi::RecvWr) == sizeof(ibv_recv_wr));
    CHECK(sizeof(abi::Wc) == sizeof(ibv_wc));
    CHECK(sizeof(abi::AsyncEvent) == sizeof(ibv_async_event));
    CHECK(sizeof(abi::ContextOps) == sizeof(ibv_context_ops));
}

TEST_CASE("every member that we use lies where the library has it") {
    SAME(DeviceAttr, max_qp, ibv_device_attr, max_qp);
    SAME(DeviceAttr, max_qp_wr, ibv_device_attr, max_qp_wr);
    SAME(DeviceAttr, max_cqe, ibv_device_attr, max_cqe);
    SAME(DeviceAttr, max_srq_wr, ibv_device_attr, max_srq_wr);
    SAME(PortAttr, state, ibv_port_attr, state);
    SAME(PortAttr, active_mtu, ibv_port_attr, active_mtu);
    SAME(PortAttr, lid, ibv_port_attr, lid);
    SAME(PortAttr, link_layer, ibv_port_attr, link_layer);
    SAME(AhAttr, grh.dgid, ibv_ah_attr, grh.dgid);
    SAME(AhAttr, grh.sgid_index, ibv_ah_attr, grh.sgid_index);
    SAME(AhAttr, grh.hop_limit, ibv_ah_attr, grh.hop_limit);
    SAME(AhAttr, grh.traffic_class, ibv_ah_attr, grh.traffic_class);
    SAME(AhAttr, dlid, ibv_ah_attr, dlid);
    SAME(AhAttr, sl, ibv_ah_attr, sl);
    SAME(AhAttr, is_global, ibv_ah_attr, is_global);
    SAME(AhAttr, port_num, ibv_ah_attr, port_num);
    SAME(SrqInitAttr, max_wr, ibv_srq_init_attr, attr.max_wr);
    SAME(SrqInitAttr, max_sge, ibv_srq_init_attr, attr.max_sge);
    SAME(QpInitAttr, send_cq, ibv_qp_init_attr, send_cq);
    SAME(QpInitAttr, recv_cq, ibv_qp_init_attr, recv_cq);
    SAME(QpInitAttr, srq, ibv_qp_init_attr, srq);
    SAME(QpInitAttr, cap.max_send_wr, ibv_qp_init_attr, cap.max_send_wr);
    SAME(QpInitAttr, cap.max_send_sge, ibv_qp_init_attr, cap.max_send_sge);
    SAME(QpInitAttr, qp_type, ibv_qp_init_attr, qp_type);
    SAME(QpAttr, qp_state, ibv_qp_attr, qp_state);
    SAME(QpAttr, path_mtu, ibv_qp_attr, path_mtu);
    SAME(QpAttr, qkey, ibv_qp_attr, qkey);
    SAME(QpAttr, rq_psn, ibv_qp_attr, rq_psn);
    SAME(QpAttr, sq_psn, ibv_qp_attr, sq_psn);
    SAME(QpAttr, dest_qp_num, ibv_qp_attr, dest_qp_num);
    SAME(QpAttr, qp_access_flags, ibv_qp_attr, qp_access_flags);
    SAME(QpAttr, ah_attr, ibv_qp_attr, ah_attr);
    SAME(QpAttr, min_rnr_timer, ibv_qp_attr, min_rnr_timer);
    SAME(QpAttr, port_num, ibv_qp_attr, port_num);
    SAME(QpAttr, timeout, ibv_qp_attr, timeout);
    SAME(QpAttr, retry_cnt, ibv_qp_attr, retry_cnt);
    SAME(QpAttr, rnr_retry, ibv_qp_attr, rnr_retry);
    SAME(SendWr, next, ibv_send_wr, next);
    SAME(SendWr, sg_list, ibv_send_wr, sg_list);
    SAME(SendWr, num_sge, ibv_send_wr, num_sge);
    SAME(SendWr, opcode, ibv_send_wr, opcode);
    SAME(SendWr, send_flags, ibv_send_wr, send_flags);
    SAME(SendWr, imm_data, ibv_send_wr, imm_data);
    SAME(SendWr, wr.rdma.remote_addr, ibv_send_wr, wr.rdma.remote_addr);
    SAME(SendWr, wr.rdma.rkey, ibv_send_wr, wr.rdma.rkey);
    SAME(SendWr, wr.ud.ah, ibv_send_wr, wr.ud.ah);
    SAME(SendWr, wr.ud.remote_qpn, ibv_send_wr, wr.ud.remote_qpn);
    SAME(SendWr, wr.ud.remote_qkey, ibv_send_wr, wr.ud.remote_qkey);
    SAME(RecvWr, sg_list, ibv_recv_wr, sg_list);
    SAME(RecvWr, num_sge, ibv_recv_wr, num_sge);
    SAME(Wc, status, ibv_wc, status);
    SAME(Wc, opcode, ibv_wc, opcode);
    SAME(Wc, vendor_err, ibv_wc, vendor_err);
    SAME(Wc, byte_len, ibv_wc, byte_len);
    SAME(Wc, imm_data, ibv_wc, imm_data);
    SAME(Wc, qp_num, ibv_wc, qp_num);
    SAME(AsyncEvent, event_type, ibv_async_event, event_type);
    SAME(ContextOps, poll_cq, ibv_context_ops, poll_cq);
    SAME(ContextOps, req_notify_cq, ibv_context_ops, req_notify_cq);
    SAME(ContextOps, post_srq_recv, ibv_context_ops, post_srq_recv);
    SAME(ContextOps, post_send, ibv_context_ops, post_send);
    SAME(Context, ops, ibv_context, ops);
    SAME(Context, async_fd, ibv_context, async_fd);
    SAME(Mr, lkey, ibv_mr, lkey);
    SAME(Mr, rkey, ibv_mr, rkey);
    SAME(CompChannel, fd, ibv_comp_channel, fd);
    SAME(Qp, qp_num, ibv_qp, qp_num);
    CHECK(offsetof(abi::Pd, context) == offsetof(ibv_pd, context));
    CHECK(offsetof(abi::Cq, context) == offsetof(ibv_cq, context));
    CHECK(offsetof(abi::Srq, context) == offsetof(ibv_srq, context));
}

TEST_CASE("constants mean the same") {
    CHECK(int{abi::kQptRc} == IBV_QPT_RC);
    CHECK(int{abi::kQptUc} == IBV_QPT_UC);
    CHECK(int{abi::kQptUd} == IBV_QPT_UD);
    CHECK(int{abi::kStateErr} == IBV_QPS_ERR);
    CHECK(int{abi::kStateRts} == IBV_QPS_RTS);
    CHECK(int{abi::kAttrDestQpn} == IBV_QP_DEST_QPN);
    CHECK(int{abi::kAttrMaxDestRdAtomic} == IBV_QP_MAX_DEST_RD_ATOMIC);
    CHECK(int{abi::kAttrMinRnrTimer} == IBV_QP_MIN_RNR_TIMER);
    CHECK(int{abi::kAttrRnrRetry} == IBV_QP_RNR_RETRY);
    CHECK(int{abi::kAttrAv} == IBV_QP_AV);
    CHECK(int{abi::kWrWriteImm} == IBV_WR_RDMA_WRITE_WITH_IMM);
    CHECK(int{abi::kWrSend} == IBV_WR_SEND);
    CHECK(unsigned{abi::kSendSignaled} == unsigned{IBV_SEND_SIGNALED});
    CHECK(int{abi::kWcFlushed} == IBV_WC_WR_FLUSH_ERR);
    CHECK(int{abi::kWcRetry} == IBV_WC_RETRY_EXC_ERR);
    CHECK(int{abi::kWcRnrRetry} == IBV_WC_RNR_RETRY_EXC_ERR);
    CHECK(int{abi::kWcRemAccess} == IBV_WC_REM_ACCESS_ERR);
    CHECK(int{abi::kWcRecv} == IBV_WC_RECV);
    CHECK(int{abi::kWcRecvWriteImm} == IBV_WC_RECV_RDMA_WITH_IMM);
    CHECK(int{abi::kEventPortActive} == IBV_EVENT_PORT_ACTIVE);
    CHECK(int{abi::kEventPortError} == IBV_EVENT_PORT_ERR);
    CHECK(int{abi::kEventDeviceFatal} == IBV_EVENT_DEVICE_FATAL);
    CHECK(int{abi::kEventQpAccess} == IBV_EVENT_QP_ACCESS_ERR);
    CHECK(int{abi::kEventGidChange} == IBV_EVENT_GID_CHANGE);
    CHECK(int{abi::kAccessRemoteWrite} == IBV_ACCESS_REMOTE_WRITE);
    CHECK(IBV_PORT_ACTIVE == 4);
    CHECK(IBV_LINK_LAYER_ETHERNET == 2);
}
#else
TEST_CASE("the binary interface of libibverbs") {
    MESSAGE("not compared: <infiniband/verbs.h> is not installed (apt install libibverbs-dev)");
}
#endif
