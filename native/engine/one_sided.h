// Reading and writing memory that a peer registered, with notification.
//
// Protocol, over ordinary messages of any datapath (so it needs the owner's engine, not its user,
// to run): the initiator sends a Request that names region, range and notification; a write's bytes
// follow as a second message that lands straight in the region; a read's bytes come back as one.
// The owner answers each request with a Reply that carries the outcome.
#pragma once

#include <deque>
#include <memory>
#include <unordered_map>

#include "engine/engine.h"
#include "engine/mesh.h"

namespace weft::engine {

class Context;
class OneSided;

// Memory that peers may read and write as long as this lives.
class Region {
  public:
    Region(OneSided& owner, Engine& engine, std::byte* data, std::size_t length);
    ~Region();
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;

    struct Descriptor {
        std::uint64_t key = 0;  // unguessable
        std::uint64_t length = 0;
        std::uint64_t owner = 0;  // peer id
        std::uint64_t reserved = 0;
    };
    static_assert(sizeof(Descriptor) == WEFT_DESCRIPTOR_BYTES);
    const Descriptor& descriptor() const noexcept { return descriptor_; }

  private:
    friend class OneSided;
    OneSided& owner_;
    Engine& engine_;
    std::byte* const data_;
    Descriptor descriptor_;
};

// One write or read.
class RemoteAccess final : public Operation, datapath::TransferObserver {
  public:
    enum class Kind : std::uint32_t { kWrite = 1, kRead = 2 };
    RemoteAccess(Context& context, datapath::PeerId peer, Kind kind, void* data, std::size_t length,
                 const Region::Descriptor& region, std::uint64_t offset, std::uint64_t notify,
                 Time deadline);
    void fail(const ErrorPtr& error) override;

  private:
    void start(Engine& engine) override;
    ErrorPtr timeout_error() const override;
    void transfer_done(datapath::Transfer& transfer) noexcept override;
    void end(ErrorPtr error);

    struct Reply {
        std::int32_t status = 0;
        std::uint32_t reserved = 0;
        std::uint64_t length = 0;  // of the region, for the error's text
    };

    friend class OneSided;
    Context& context_;
    const datapath::PeerId peer_;
    const Kind kind_;
    const Region::Descriptor region_;
    const std::uint64_t offset_;
    const std::uint64_t notify_;
    Reply reply_;
    datapath::Transfer data_;
    datapath::Transfer answer_;
    datapath::Channel* channel_ = nullptr;
};

// Waits for a notification.
class NotificationWait final : public Operation {
  public:
    NotificationWait(OneSided& owner, Time deadline) : Operation(deadline), owner_(owner) {}
    const weft_notification& notification() const noexcept { return notification_; }
    bool arrived() const noexcept { return arrived_; }
    void fail(const ErrorPtr& error) override;

  private:
    friend class OneSided;
    void start(Engine& engine) override;
    ErrorPtr timeout_error() const override { return nullptr; }  // no notification is no error

    OneSided& owner_;
    weft_notification notification_{};
    bool arrived_ = false;
};

class OneSided final : public GroupHandler {
  public:
    explicit OneSided(Context& context);
    ~OneSided();

    // GroupHandler
    void message_unmatched(Peer& peer, const datapath::Tag& tag, std::uint64_t signature,
                           std::size_t size) override;
    void peer_failed(Peer&, const ErrorPtr&) override {}

  private:
    friend class Region;
    friend class RemoteAccess;
    friend class NotificationWait;

    struct Request {
        std::uint32_t kind = 0;
        std::uint32_t reserved = 0;
        std::uint64_t serial = 0;
        std::uint64_t key = 0;
        std::uint64_t offset = 0;
        std::uint64_t length = 0;
        std::uint64_t notify = 0;
    };
    // A request of a peer while it is being served.
    struct Service;

    void serve(Service& service);
    void done(Service& service, weft_status status);
    void withdraw(Service& service, Region& region);
    void notify(const weft_notification& notification);
    void sweep();

    Context& context_;
    std::uint64_t next_serial_ = 1;
    std::unordered_map<std::uint64_t, Region*> regions_;
    std::vector<std::unique_ptr<Service>> services_;
    std::deque<weft_notification> notifications_;
    std::deque<NotificationWait*> waiting_;
};

}  // namespace weft::engine
