#include "datapath/verbs/libibverbs.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "datapath/error.h"
#include "datapath/verbs/ibv_abi.h"
#include "datapath/verbs/sysfs.h"

namespace weft::datapath::verbs {
namespace {

constexpr std::size_t kChain = 32;  // work requests handed over by one call
constexpr std::size_t kPolled = 32;

struct Library {
    ibv::Functions call{};
};

using LibraryPtr = std::shared_ptr<const Library>;

[[noreturn]] void refuse(const std::string& device, const char* call, int error,
                         const char* mend = "") {
    const bool resources = error == ENOMEM || error == EMFILE || error == EAGAIN;
    throw Error(resources ? WEFT_ERR_RESOURCES : WEFT_ERR_SYSTEM,
                "verbs: " + device + ": " + call + " failed: " + std::strerror(error) + mend);
}

// Calls that return an error number, or -1 with errno.
void check(int result, const std::string& device, const char* call, const char* mend = "") {
    if (result != 0) {
        refuse(device, call, result > 0 ? result : errno, mend);
    }
}

constexpr const char* kMemlock = "; raise the limit on locked memory (ulimit -l unlimited)";

int mtu_code(std::uint32_t bytes) {  // 256 -> 1 .. 4096 -> 5
    return std::clamp(static_cast<int>(std::bit_width(bytes)) - 8, 1, 5);
}

bool never_blocks(int fd) {
    const int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

int access_of(bool remote_write) {
    return remote_write ? int{ibv::kAccessLocalWrite} | int{ibv::kAccessRemoteWrite} : 0;
}

// Owned pointers of the library.
template <typename T>
using Owned = std::unique_ptr<T, int (*)(T*)>;

struct Opened {  // a device that is open, as long as anything of it lives
    LibraryPtr library;
    std::string name;
    Owned<ibv::Context> context;
    Owned<ibv::Pd> pd;
    const ibv::Functions& call() const { return library->call; }
};
using OpenedPtr = std::shared_ptr<const Opened>;

class RealMemory final : public Memory {
  public:
    RealMemory(OpenedPtr device, Owned<ibv::Mr> mr)
        : device_(std::move(device)), mr_(std::move(mr)) {}
    std::uint32_t local_key() const noexcept override { return mr_->lkey; }
    std::uint32_t remote_key() const noexcept override { return mr_->rkey; }

  private:
    OpenedPtr device_;
    Owned<ibv::Mr> mr_;
};

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

class RealDevice final : public Device {
  public:
    RealDevice(OpenedPtr opened, DeviceInfo info)
        : opened_(std::move(opened)), info_(std::move(info)) {
        ibv::DeviceAttr attr{};
        check(opened_->call().query_device(opened_->context.get(), &attr), info_.name,
              "ibv_query_device");
        limits_ = {.queue_pairs = static_cast<std::uint32_t>(attr.max_qp),
                   .work_requests = static_cast<std::uint32_t>(attr.max_qp_wr),
                   .shared_receives = static_cast<std::uint32_t>(attr.max_srq_wr),
                   .completions = static_cast<std::uint32_t>(attr.max_cqe),
                   .dmabuf = opened_->call().reg_dmabuf_mr != nullptr};
        for (PortInfo& port : info_.ports) {
            ibv::PortAttr raw{};
            if (opened_->call().query_port(opened_->context.get(), port.number, &raw) == 0) {
                port.active = raw.state == 4;
                port.mtu = 128u << std::clamp(raw.active_mtu, 1, 5);
                port.lid = raw.lid;
                port.ethernet = raw.link_layer == 2;
            }
        }
        if (!never_blocks(opened_->context->async_fd)) {
            refuse(info_.name, "fcntl on the event descriptor", errno);
        }
    }

    const DeviceInfo& info() const noexcept override { return info_; }
    const DeviceLimits& limits() const noexcept override { return limits_; }

    std::unique_ptr<Memory> register_memory(const std::byte* data, std::size_t size,
                                            bool remote_write) override {
        // The library's interface is not const-correct: memory that is only sent is only read.
        auto* address =
            const_cast<std::byte*>(data);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
        const int access = access_of(remote_write);
        return adopt(opened_->call().reg_mr(opened_->pd.get(), address, size, access), "ibv_reg_mr",
                     kMemlock);
    }

    std::unique_ptr<Memory> register_dmabuf(int fd, std::uint64_t offset, std::size_t size,
                                            std::uint64_t address, bool remote_write) override {
        if (opened_->call().reg_dmabuf_mr == nullptr) {
            throw Error(WEFT_ERR_UNSUPPORTED,
                        "verbs: this libibverbs has no ibv_reg_dmabuf_mr: install version 34 or "
                        "newer");
        }
        const int access = access_of(remote_write);
        return adopt(
            opened_->call().reg_dmabuf_mr(opened_->pd.get(), offset, size, address, fd, access),
            "ibv_reg_dmabuf_mr", "; the driver may not support DMA-BUF");
    }

    std::unique_ptr<CompletionQueue> make_completion_queue(std::uint32_t depth) override {
        Owned<ibv::CompChannel> channel(opened_->call().create_comp_channel(opened_->context.get()),
                                        opened_->call().destroy_comp_channel);
        if (!channel || !never_blocks(channel->fd)) {
            refuse(info_.name, "ibv_create_comp_channel", errno);
        }
        Owned<ibv::Cq> cq(opened_->call().create_cq(opened_->context.get(), static_cast<int>(depth),
                                                    nullptr, channel.get(), 0),
                          opened_->call().destroy_cq);
        if (!cq) {
            refuse(info_.name, "ibv_create_cq", errno, kMemlock);
        }
        return std::make_unique<RealCompletions>(opened_, std::move(channel), std::move(cq));
    }

    std::unique_ptr<SharedReceiveQueue> make_receive_queue(std::uint32_t depth) override {
        ibv::SrqInitAttr attr{
            .srq_context = nullptr, .max_wr = depth, .max_sge = 1, .srq_limit = 0};
        Owned<ibv::Srq> srq(opened_->call().create_srq(opened_->pd.get(), &attr),
                            opened_->call().destroy_srq);
        if (!srq) {
            refuse(info_.name, "ibv_create_srq", errno, kMemlock);
        }
        return std::make_unique<RealReceives>(opened_, std::move(srq));
    }

    std::unique_ptr<QueuePair> make_queue_pair(const QueuePairWish& wish) override {
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
        Owned<ibv::Qp> qp(opened_->call().create_qp(opened_->pd.get(), &attr),
                          opened_->call().destroy_qp);
        if (!qp) {
            const int error = errno;
            if (error == EOPNOTSUPP || error == ENOSYS || error == EINVAL) {
                throw Error(WEFT_ERR_UNSUPPORTED,
                            "verbs: " + info_.name + ": queue pairs of kind " +
                                std::string(to_string(wish.kind)) +
                                " with a shared receive queue: " + std::strerror(error));
            }
            refuse(info_.name, "ibv_create_qp", error, kMemlock);
        }
        return std::make_unique<RealQueuePair>(opened_, std::move(qp), wish);
    }

    std::unique_ptr<AddressHandle> make_address_handle(std::uint8_t port,
                                                       const Destination& to) override {
        ibv::AhAttr attr = route(port, to);
        Owned<ibv::Ah> ah(opened_->call().create_ah(opened_->pd.get(), &attr),
                          opened_->call().destroy_ah);
        if (!ah) {
            refuse(info_.name, "ibv_create_ah", errno, "; is the peer's address reachable?");
        }
        return std::make_unique<RealAddress>(opened_, std::move(ah));
    }

    std::optional<DeviceEvent> next_event() noexcept override {
        ibv::AsyncEvent raw{};
        while (opened_->call().get_async_event(opened_->context.get(), &raw) == 0) {
            const auto event = translate(raw);
            opened_->call().ack_async_event(&raw);
            if (event) {
                return event;
            }
        }
        return std::nullopt;
    }

    int event_fd() const noexcept override { return opened_->context->async_fd; }

  private:
    std::unique_ptr<Memory> adopt(ibv::Mr* raw, const char* call, const char* mend) {
        if (raw == nullptr) {
            refuse(info_.name, call, errno, mend);
        }
        return std::make_unique<RealMemory>(opened_, Owned<ibv::Mr>(raw, opened_->call().dereg_mr));
    }

    static std::optional<DeviceEvent> translate(const ibv::AsyncEvent& raw) {
        using Kind = DeviceEvent::Kind;
        const auto port = static_cast<std::uint8_t>(raw.element.port_num);
        switch (raw.event_type) {
            case ibv::kEventPortActive:
                return DeviceEvent{Kind::kPortUp, port, 0};
            case ibv::kEventPortError:
                return DeviceEvent{Kind::kPortDown, port, 0};
            case ibv::kEventGidChange:
                return DeviceEvent{Kind::kAddressChange, port, 0};
            case ibv::kEventQpFatal:
            case ibv::kEventQpRequest:
            case ibv::kEventQpAccess:
                return DeviceEvent{Kind::kQueuePair, 0, raw.element.qp->qp_num};
            case ibv::kEventDeviceFatal:
                return DeviceEvent{Kind::kFatal, 0, 0};
            default:
                return std::nullopt;
        }
    }

    OpenedPtr opened_;
    DeviceInfo info_;
    DeviceLimits limits_;
};

class RealProvider final : public Provider {
  public:
    explicit RealProvider(LibraryPtr library) : library_(std::move(library)) {}

    std::vector<DeviceInfo> devices() override { return sysfs_devices(); }

    std::unique_ptr<Device> open(const std::string& name) override {
        const std::vector<DeviceInfo> known = devices();
        const auto info = std::ranges::find(known, name, &DeviceInfo::name);
        int count = 0;
        const std::unique_ptr<void*, void (*)(void**)> list(library_->call.get_device_list(&count),
                                                            library_->call.free_device_list);
        for (int i = 0; list && i < count; ++i) {
            void* device = list.get()[i];
            if (info != known.end() && name == library_->call.get_device_name(device)) {
                return open(device, *info);
            }
        }
        throw Error(WEFT_ERR_INVALID,
                    "verbs: libibverbs knows no device \"" + name +
                        "\"; `weft devices` lists what there is (is the driver's user-space part, "
                        "package ibverbs-providers, installed, and ib_uverbs loaded?)");
    }

  private:
    std::unique_ptr<Device> open(void* device, const DeviceInfo& info) {
        const ibv::Functions& call = library_->call;
        Owned<ibv::Context> context(call.open_device(device), call.close_device);
        if (!context) {
            refuse(info.name, "ibv_open_device", errno,
                   "; may this process read and write /dev/infiniband/uverbs*?");
        }
        Owned<ibv::Pd> pd(call.alloc_pd(context.get()), call.dealloc_pd);
        if (!pd) {
            refuse(info.name, "ibv_alloc_pd", errno);
        }
        auto opened = std::make_shared<Opened>(
            Opened{library_, info.name, std::move(context), std::move(pd)});
        return std::make_unique<RealDevice>(std::move(opened), info);
    }

    LibraryPtr library_;
};

template <typename F>
void find(void* handle, const char* name, F*& function, bool needed = true) {
    function = reinterpret_cast<F*>(dlsym(handle, name));
    if (function == nullptr && needed) {
        throw Error(WEFT_ERR_UNSUPPORTED, std::string("verbs: libibverbs.so.1 has no ") + name +
                                              ": it is older than version 1.1");
    }
}

LibraryPtr open_library() {
    // Never closed: providers' drivers, which it loads in turn, do not like to go.
    void* handle = dlopen("libibverbs.so.1", RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
        const char* why = dlerror();
        throw Error(WEFT_ERR_UNSUPPORTED,
                    std::string("verbs: libibverbs cannot be opened (") +
                        (why != nullptr ? why : "no reason given") +
                        "); install it: apt install libibverbs1 ibverbs-providers");
    }
    auto library = std::make_shared<Library>();
    ibv::Functions& call = library->call;
    find(handle, "ibv_get_device_list", call.get_device_list);
    find(handle, "ibv_free_device_list", call.free_device_list);
    find(handle, "ibv_get_device_name", call.get_device_name);
    find(handle, "ibv_open_device", call.open_device);
    find(handle, "ibv_close_device", call.close_device);
    find(handle, "ibv_query_device", call.query_device);
    find(handle, "ibv_query_port", call.query_port);
    find(handle, "ibv_alloc_pd", call.alloc_pd);
    find(handle, "ibv_dealloc_pd", call.dealloc_pd);
    find(handle, "ibv_reg_mr", call.reg_mr);
    find(handle, "ibv_reg_dmabuf_mr", call.reg_dmabuf_mr, false);
    find(handle, "ibv_dereg_mr", call.dereg_mr);
    find(handle, "ibv_create_comp_channel", call.create_comp_channel);
    find(handle, "ibv_destroy_comp_channel", call.destroy_comp_channel);
    find(handle, "ibv_create_cq", call.create_cq);
    find(handle, "ibv_destroy_cq", call.destroy_cq);
    find(handle, "ibv_get_cq_event", call.get_cq_event);
    find(handle, "ibv_ack_cq_events", call.ack_cq_events);
    find(handle, "ibv_create_srq", call.create_srq);
    find(handle, "ibv_destroy_srq", call.destroy_srq);
    find(handle, "ibv_create_qp", call.create_qp);
    find(handle, "ibv_modify_qp", call.modify_qp);
    find(handle, "ibv_destroy_qp", call.destroy_qp);
    find(handle, "ibv_create_ah", call.create_ah);
    find(handle, "ibv_destroy_ah", call.destroy_ah);
    find(handle, "ibv_get_async_event", call.get_async_event);
    find(handle, "ibv_ack_async_event", call.ack_async_event);
    return library;
}

}  // namespace

std::shared_ptr<Provider> load_libibverbs() {
    static const LibraryPtr library = open_library();  // tried again next time if it throws
    return std::make_shared<RealProvider>(library);
}

}  // namespace weft::datapath::verbs
