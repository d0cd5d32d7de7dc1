#include "datapath/verbs/queues.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "datapath/error.h"

namespace weft::datapath::verbs {
namespace {

constexpr std::size_t kChain = 32;  // work requests handed over by one call
constexpr std::size_t kPolled = 32;

int mtu_code(std::uint32_t bytes) {  // 256 -> 1 .. 4096 -> 5
    return std::clamp(static_cast<int>(std::bit_width(bytes)) - 8, 1, 5);
}

class RealAddress final : public AddressHandle {
  public:
    RealAddress(OpenedPtr device, Owned<ibv::Ah> ah)
        : device_(std::move(device)), ah_(std::move(ah)) {}
    ibv::Ah* get() const noexcept { return ah_.get(); }

  private:
    OpenedPtr device_;
    Owned<ibv::Ah> ah_;
};

class RealCompletions final : public CompletionQueue {
  public:
    RealCompletions(OpenedPtr device, Owned<ibv::CompChannel> channel, Owned<ibv::Cq> cq)
        : device_(std::move(device)), channel_(std::move(channel)), cq_(std::move(cq)) {}

    std::size_t poll(std::span<Completion> out) noexcept override {
        std::array<ibv::Wc, kPolled> raw;
        std::size_t taken = 0;
        while (taken < out.size()) {
            const auto wish = static_cast<int>(std::min(raw.size(), out.size() - taken));
            const int got = cq_->context->ops.poll_cq(cq_.get(), wish, raw.data());
            for (int i = 0; i < got; ++i) {
                out[taken++] = translate(raw[static_cast<std::size_t>(i)]);
            }
            if (got < wish) {
                break;
            }
        }
        return taken;
    }

    bool arm() noexcept override { return cq_->context->ops.req_notify_cq(cq_.get(), 0) == 0; }

    void clear() noexcept override {
        ibv::Cq* cq = nullptr;
        void* cookie = nullptr;
        while (device_->call().get_cq_event(channel_.get(), &cq, &cookie) == 0) {
            device_->call().ack_cq_events(cq, 1);
        }
    }

    int fd() const noexcept override { return channel_->fd; }
    ibv::Cq* get() const noexcept { return cq_.get(); }

  private:
    static Completion translate(const ibv::Wc& raw) {
        Completion done;
        done.id = raw.wr_id;
        done.queue_pair = raw.qp_num;
        done.vendor_error = raw.vendor_err;
        switch (raw.status) {
            case ibv::kWcSuccess:
                done.status = WorkStatus::kSuccess;
                break;
            case ibv::kWcFlushed:
                done.status = WorkStatus::kFlushed;
                break;
            case ibv::kWcRetry:
            case ibv::kWcRnrRetry:
                done.status = WorkStatus::kUnreachable;
                break;
            case ibv::kWcRemInvReq:
            case ibv::kWcRemAccess:
            case ibv::kWcRemOp:
                done.status = WorkStatus::kRefused;
                break;
            default:
                done.status = WorkStatus::kBroken;
                break;
        }
        if (done.status == WorkStatus::kSuccess) {
            done.kind = raw.opcode == ibv::kWcRecv           ? Completion::Kind::kReceived
                        : raw.opcode == ibv::kWcRecvWriteImm ? Completion::Kind::kWritten
                                                             : Completion::Kind::kSent;
            done.bytes = raw.byte_len;
            done.immediate = ntohl(raw.imm_data);
        }
        return done;
    }

    OpenedPtr device_;
    Owned<ibv::CompChannel> channel_;
    Owned<ibv::Cq> cq_;
};

class RealReceives final : public SharedReceiveQueue {
  public:
    RealReceives(OpenedPtr device, Owned<ibv::Srq> srq)
        : device_(std::move(device)), srq_(std::move(srq)) {}

    bool post(std::span<const ReceiveWork> works) noexcept override {
        std::array<ibv::RecvWr, kChain> raw;
        std::array<ibv::Sge, kChain> pieces;
        while (!works.empty()) {
            const std::size_t count = std::min(works.size(), kChain);
            for (std::size_t i = 0; i < count; ++i) {
                pieces[i] = {works[i].piece.address, works[i].piece.length, works[i].piece.key};
                raw[i] = {works[i].id, i + 1 < count ? &raw[i + 1] : nullptr, &pieces[i], 1};
            }
            ibv::RecvWr* bad = nullptr;
            if (srq_->context->ops.post_srq_recv(srq_.get(), raw.data(), &bad) != 0) {
                return false;
            }
            works = works.subspan(count);
        }
        return true;
    }
    ibv::Srq* get() const noexcept { return srq_.get(); }

  private:
    OpenedPtr device_;
    Owned<ibv::Srq> srq_;
};

ibv::AhAttr route(std::uint8_t port, const Destination& to) {
    ibv::AhAttr attr{};
    std::ranges::copy(to.gid, attr.grh.dgid.raw);
    attr.grh.flow_label = to.flow_label;
    attr.grh.sgid_index = to.gid_index;
    attr.grh.hop_limit = to.hop_limit;
    attr.grh.traffic_class = to.traffic_class;
    attr.dlid = to.lid;
    attr.sl = to.service_level;
    attr.is_global = to.global ? 1 : 0;
    attr.port_num = port;
    return attr;
}

class RealQueuePair final : public QueuePair {
  public:
    RealQueuePair(OpenedPtr device, Owned<ibv::Qp> qp, const QueuePairWish& wish)
        : device_(std::move(device)),
          qp_(std::move(qp)),
          kind_(wish.kind),
          port_(wish.port),
          key_(wish.key) {
        ibv::QpAttr attr{};
        attr.qp_state = ibv::kStateInit;
        attr.port_num = port_;
        attr.qkey = key_;
        attr.qp_access_flags = ibv::kAccessLocalWrite | ibv::kAccessRemoteWrite;
        const bool ud = kind_ == QpKind::kUd;
        modify(attr, ibv::kAttrState | ibv::kAttrPkey | ibv::kAttrPort |
                         (ud ? ibv::kAttrQkey : ibv::kAttrAccess));
    }

    std::uint32_t number() const noexcept override { return qp_->qp_num; }

    void connect(const ConnectTo& to) override {
        ibv::QpAttr attr{};
        const bool reliable = kind_ == QpKind::kRc;
        attr.qp_state = ibv::kStateRtr;
        attr.path_mtu = mtu_code(to.mtu);
        attr.dest_qp_num = to.remote_qp;
        attr.rq_psn = to.receive_psn;
        attr.ah_attr = route(port_, to.destination);
        attr.min_rnr_timer = 12;  // 0.64 ms
        int mask = ibv::kAttrState | ibv::kAttrAv | ibv::kAttrPathMtu | ibv::kAttrDestQpn |
                   ibv::kAttrRqPsn;
        modify(attr, reliable ? mask | ibv::kAttrMaxDestRdAtomic | ibv::kAttrMinRnrTimer : mask);
        attr = {};
        attr.qp_state = ibv::kStateRts;
        attr.sq_psn = to.send_psn;
        attr.timeout = to.timeout;
        attr.retry_cnt = to.retries;
        attr.rnr_retry = 6;
        mask = ibv::kAttrState | ibv::kAttrSqPsn;
        modify(attr, reliable ? mask | ibv::kAttrTimeout | ibv::kAttrRetries | ibv::kAttrRnrRetry |
                                    ibv::kAttrMaxRdAtomic
                              : mask);
    }

    void open() override {
        ibv::QpAttr attr{};
        attr.qp_state = ibv::kStateRtr;
        modify(attr, ibv::kAttrState);
        attr.qp_state = ibv::kStateRts;
        modify(attr, ibv::kAttrState | ibv::kAttrSqPsn);
    }

    void error() noexcept override {
        ibv::QpAttr attr{};
        attr.qp_state = ibv::kStateErr;
        device_->call().modify_qp(qp_.get(), &attr, ibv::kAttrState);
    }

    std::size_t post(std::span<const SendWork> works) noexcept override {
        std::array<ibv::SendWr, kChain> raw;
        std::array<std::array<ibv::Sge, 2>, kChain> pieces;
        std::size_t taken = 0;
        while (taken < works.size()) {
            const std::size_t count = std::min(works.size() - taken, kChain);
            for (std::size_t i = 0; i < count; ++i) {
                fill(raw[i], pieces[i], works[taken + i]);
                raw[i].next = i + 1 < count ? &raw[i + 1] : nullptr;
            }
            ibv::SendWr* bad = nullptr;
            if (qp_->context->ops.post_send(qp_.get(), raw.data(), &bad) != 0) {
                return taken + (bad == nullptr ? 0 : static_cast<std::size_t>(bad - raw.data()));
            }
            taken += count;
        }
        return taken;
    }

  private:
    void fill(ibv::SendWr& raw, std::array<ibv::Sge, 2>& pieces, const SendWork& work) const {
        raw = {};
        raw.wr_id = work.id;
        raw.sg_list = pieces.data();
        raw.num_sge = work.pieces;
        for (std::size_t i = 0; i < work.pieces; ++i) {
            pieces[i] = {work.piece[i].address, work.piece[i].length, work.piece[i].key};
        }
        raw.send_flags = work.signaled ? unsigned{ibv::kSendSignaled} : 0u;
        if (work.operation == Operation::kWriteImm) {
            raw.opcode = ibv::kWrWriteImm;
            raw.imm_data = htonl(work.immediate);
            raw.wr.rdma.remote_addr = work.remote_address;
            raw.wr.rdma.rkey = work.remote_key;
            return;
        }
        raw.opcode = ibv::kWrSend;
        if (work.to != nullptr) {
            raw.wr.ud = {static_cast<const RealAddress*>(work.to)->get(), work.remote_qp, key_};
        }
    }

    void modify(ibv::QpAttr& attr, int mask) {
        check(device_->call().modify_qp(qp_.get(), &attr, mask), device_->name, "ibv_modify_qp",
              "; the peer's GID may not be reachable from ours (see the `gid` option)");
    }

    OpenedPtr device_;
    Owned<ibv::Qp> qp_;
    const QpKind kind_;
    const std::uint8_t port_;
    const std::uint32_t key_;
};

}  // namespace

std::unique_ptr<CompletionQueue> make_completion_queue(OpenedPtr opened, std::uint32_t depth) {
    Owned<ibv::CompChannel> channel(opened->call().create_comp_channel(opened->context.get()),
                                    opened->call().destroy_comp_channel);
    if (!channel || !never_blocks(channel->fd)) {
        refuse(opened->name, "ibv_create_comp_channel", errno);
    }
    Owned<ibv::Cq> cq(opened->call().create_cq(opened->context.get(), static_cast<int>(depth),
                                               nullptr, channel.get(), 0),
                      opened->call().destroy_cq);
    if (!cq) {
        refuse(opened->name, "ibv_create_cq", errno, kMemlock);
    }
    return std::make_unique<RealCompletions>(std::move(opened), std::move(channel), std::move(cq));
}

std::unique_ptr<SharedReceiveQueue> make_receive_queue(OpenedPtr opened, std::uint32_t depth) {
    ibv::SrqInitAttr attr{.srq_context = nullptr, .max_wr = depth, .max_sge = 1, .srq_limit = 0};
    Owned<ibv::Srq> srq(opened->call().create_srq(opened->pd.get(), &attr),
                        opened->call().destroy_srq);
    if (!srq) {
        refuse(opened->name, "ibv_create_srq", errno, kMemlock);
    }
    return std::make_unique<RealReceives>(std::move(opened), std::move(srq));
}

std::unique_ptr<QueuePair> make_queue_pair(OpenedPtr opened, const QueuePairWish& wish) {
    ibv::QpInitAttr attr{};
    ibv::Cq* cq = static_cast<RealCompletions*>(wish.completions)->get();
    attr.send_cq = attr.recv_cq = cq;
    attr.srq = static_cast<RealReceives*>(wish.receives)->get();
    attr.cap = {.max_send_wr = wish.sends,
                .max_recv_wr = 0,
                .max_send_sge = 2,
                .max_recv_sge = 1,
                .max_inline_data = 0};
    attr.qp_type = wish.kind == QpKind::kUc   ? ibv::kQptUc
                   : wish.kind == QpKind::kRc ? ibv::kQptRc
                                              : ibv::kQptUd;
    Owned<ibv::Qp> qp(opened->call().create_qp(opened->pd.get(), &attr), opened->call().destroy_qp);
    if (!qp) {
        const int error = errno;
        if (error == EOPNOTSUPP || error == ENOSYS || error == EINVAL) {
            throw Error(WEFT_ERR_UNSUPPORTED,
                        "verbs: " + opened->name + ": queue pairs of kind " +
                            std::string(to_string(wish.kind)) +
                            " with a shared receive queue: " + std::strerror(error));
        }
        refuse(opened->name, "ibv_create_qp", error, kMemlock);
    }
    return std::make_unique<RealQueuePair>(std::move(opened), std::move(qp), wish);
}

std::unique_ptr<AddressHandle> make_address_handle(OpenedPtr opened, std::uint8_t port,
                                                   const Destination& to) {
    ibv::AhAttr attr = route(port, to);
    Owned<ibv::Ah> ah(opened->call().create_ah(opened->pd.get(), &attr), opened->call().destroy_ah);
    if (!ah) {
        refuse(opened->name, "ibv_create_ah", errno, "; is the peer's address reachable?");
    }
    return std::make_unique<RealAddress>(std::move(opened), std::move(ah));
}

}  // namespace weft::datapath::verbs
