// The device, the provider, and the loading of the library.
#include "datapath/verbs/libibverbs.h"

#include <dlfcn.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "datapath/error.h"
#include "datapath/verbs/ibv_abi.h"
#include "datapath/verbs/opened.h"
#include "datapath/verbs/queues.h"
#include "datapath/verbs/sysfs.h"

namespace weft::datapath::verbs {
namespace {

int access_of(bool remote_write) {
    return remote_write ? int{ibv::kAccessLocalWrite} | int{ibv::kAccessRemoteWrite} : 0;
}

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
        return verbs::make_completion_queue(opened_, depth);
    }

    std::unique_ptr<SharedReceiveQueue> make_receive_queue(std::uint32_t depth) override {
        return verbs::make_receive_queue(opened_, depth);
    }

    std::unique_ptr<QueuePair> make_queue_pair(const QueuePairWish& wish) override {
        return verbs::make_queue_pair(opened_, wish);
    }

    std::unique_ptr<AddressHandle> make_address_handle(std::uint8_t port,
                                                       const Destination& to) override {
        return verbs::make_address_handle(opened_, port, to);
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
