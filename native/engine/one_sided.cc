#include "engine/one_sided.h"

#include <sys/random.h>

#include <algorithm>

#include "engine/context.h"

namespace weft::engine {
namespace {

using datapath::Transfer;

constexpr std::uint64_t kGroup = 2;  // of all one-sided messages
constexpr std::size_t kMostNotifications = 1 << 16;

// Tag::message: what, and the initiator's serial number, which makes it unique on the edge in that
// direction.
enum class What : std::uint64_t { kRequest = 1, kWriteData = 2, kReadData = 3, kReply = 4 };

datapath::Tag tag_of(What what, std::uint64_t serial) {
    return {.group = kGroup,
            .message = static_cast<std::uint64_t>(what) << 56 | (serial & 0xffffffffffffff)};
}

}  // namespace

// ---------------------------------------------------------------- regions

Region::Region(OneSided& owner, Engine& engine, std::byte* data, std::size_t length)
    : owner_(owner), engine_(engine), data_(data) {
    if (getrandom(&descriptor_.key, sizeof descriptor_.key, 0) !=
        static_cast<ssize_t>(sizeof descriptor_.key)) {
        throw Error(WEFT_ERR_SYSTEM, "getrandom failed: the system gives no random numbers");
    }
    descriptor_.length = length;
    descriptor_.owner = owner.context_.mesh().self();
    engine_.call([this] { owner_.regions_[descriptor_.key] = this; });
}

Region::~Region() {
    if (engine_.abandoned()) {
        return;
    }
    engine_.call([this] {
        owner_.regions_.erase(descriptor_.key);
        for (auto& service : owner_.services_) {
            owner_.withdraw(*service, *this);
        }
    });
}

// ---------------------------------------------------------------- the owner's side

struct OneSided::Service final : datapath::TransferObserver {
    Service(OneSided& owner, datapath::PeerId peer) : owner(owner), peer(peer) {}
    void transfer_done(Transfer& transfer) noexcept override {
        if (transfer.state == Transfer::State::kFailed) {
            ended = true;
        } else if (!request_here) {
            request_here = true;
            owner.serve(*this);
        } else {
            owner.done(*this, WEFT_OK);
        }
    }
    OneSided& owner;
    const datapath::PeerId peer;
    Request request;
    Transfer transfer;  // of the request, then of the data
    Region* region = nullptr;
    bool request_here = false;
    bool ended = false;
};

OneSided::OneSided(Context& context) : context_(context) {
    context_.engine().call([this] { context_.mesh().add_group(kGroup, *this); });
}

OneSided::~OneSided() = default;

void OneSided::message_unmatched(Peer& peer, const datapath::Tag& tag, std::uint64_t,
                                 std::size_t size) {
    if (tag.message >> 56 != static_cast<std::uint64_t>(What::kRequest) ||
        size != sizeof(Request)) {
        return;
    }
    sweep();
    services_.push_back(std::make_unique<Service>(*this, peer.id()));
    Service& service = *services_.back();
    service.transfer.tag = tag;
    service.transfer.data = reinterpret_cast<std::byte*>(&service.request);
    service.transfer.size = sizeof service.request;
    service.transfer.observer = &service;
    peer.channel().recv(service.transfer);
}

void OneSided::serve(Service& service) {
    const Request& request = service.request;
    Peer* peer = context_.mesh().find(service.peer);
    if (peer == nullptr || peer->state() != Peer::State::kOpen) {
        service.ended = true;
        return;
    }
    const auto it = regions_.find(request.key);
    const bool write = request.kind == static_cast<std::uint32_t>(RemoteAccess::Kind::kWrite);
    const std::uint64_t length = it == regions_.end() ? 0 : it->second->descriptor_.length;
    if (it == regions_.end() || request.offset > length ||
        request.length > length - request.offset) {
        done(service, WEFT_ERR_INVALID);
        return;
    }
    service.region = it->second;
    service.transfer = Transfer{};
    service.transfer.tag = tag_of(write ? What::kWriteData : What::kReadData, request.serial);
    service.transfer.data = it->second->data_ + request.offset;
    service.transfer.size = request.length;
    service.transfer.observer = &service;
    if (write) {
        peer->channel().recv(service.transfer);
    } else {
        peer->channel().send(service.transfer);
    }
}

void OneSided::done(Service& service, weft_status status) {
    service.ended = true;
    if (status == WEFT_OK && service.request.notify != 0) {
        notify({.peer_id = service.peer,
                .value = service.request.notify,
                .offset = service.request.offset,
                .length = service.request.length});
    }
    RemoteAccess::Reply reply{.status = status};
    reply.length = service.region != nullptr ? service.region->descriptor_.length : 0;
    if (Peer* peer = context_.mesh().find(service.peer)) {
        context_.mesh().send_detached(
            *peer, tag_of(What::kReply, service.request.serial), 0,
            std::string(reinterpret_cast<const char*>(&reply), sizeof reply));
    }
}

// The region goes away: what is being served from it ends with an error at the initiator.
void OneSided::withdraw(Service& service, Region& region) {
    if (service.region != &region || service.ended) {
        return;
    }
    if (Peer* peer = context_.mesh().find(service.peer);
        peer != nullptr && peer->state() == Peer::State::kOpen) {
        peer->channel().cancel(service.transfer);
    }
    done(service, WEFT_ERR_INVALID);
}

void OneSided::sweep() {
    std::erase_if(services_, [](const auto& service) { return service->ended; });
}

void OneSided::notify(const weft_notification& notification) {
    if (!waiting_.empty()) {
        NotificationWait& wait = *waiting_.front();
        waiting_.pop_front();
        wait.notification_ = notification;
        wait.arrived_ = true;
        wait.finish(nullptr);
    } else if (notifications_.size() < kMostNotifications) {
        notifications_.push_back(notification);
    }
}

// ---------------------------------------------------------------- the initiator's side

RemoteAccess::RemoteAccess(Context& context, datapath::PeerId peer, Kind kind, void* data,
                           std::size_t length, const Region::Descriptor& region,
                           std::uint64_t offset, std::uint64_t notify, Time deadline)
    : Operation(deadline),
      context_(context),
      peer_(peer),
      kind_(kind),
      region_(region),
      offset_(offset),
      notify_(notify) {
    data_.data = static_cast<std::byte*>(data);
    data_.size = length;
    data_.observer = this;
    answer_.data = reinterpret_cast<std::byte*>(&reply_);
    answer_.size = sizeof reply_;
    answer_.observer = this;
}

void RemoteAccess::start(Engine&) {
    Peer* peer = context_.mesh().find(peer_);
    if (peer == nullptr || peer->state() != Peer::State::kOpen) {
        finish(peer != nullptr && peer->error()
                   ? peer->error()
                   : make_error(WEFT_ERR_STATE, "the connection to this peer is not open", peer_));
        return;
    }
    channel_ = &peer->channel();
    OneSided& one_sided = context_.one_sided();
    const std::uint64_t serial = one_sided.next_serial_++;
    OneSided::Request request{.kind = static_cast<std::uint32_t>(kind_),
                              .serial = serial,
                              .key = region_.key,
                              .offset = offset_,
                              .length = data_.size,
                              .notify = notify_};
    channel_->watch(true);
    answer_.tag = tag_of(What::kReply, serial);
    channel_->recv(answer_);
    data_.tag = tag_of(kind_ == Kind::kWrite ? What::kWriteData : What::kReadData, serial);
    if (kind_ == Kind::kRead) {
        channel_->recv(data_);
    }
    context_.mesh().send_detached(
        *peer, tag_of(What::kRequest, serial), 0,
        std::string(reinterpret_cast<const char*>(&request), sizeof request));
    if (kind_ == Kind::kWrite && !finished()) {
        channel_->send(data_);
    }
}

void RemoteAccess::transfer_done(Transfer& transfer) noexcept {
    if (transfer.state == Transfer::State::kFailed) {
        // The owner takes back what it refuses; its reply tells why.
        if (&transfer == &data_ && transfer.error->status == WEFT_ERR_ABORTED &&
            answer_.state == Transfer::State::kPending) {
            return;
        }
        end(transfer.error);
        return;
    }
    if (&transfer == &answer_ && reply_.status != WEFT_OK) {
        end(make_error(WEFT_ERR_INVALID,
                       std::string(kind_ == Kind::kWrite ? "write" : "read") + " of " +
                           std::to_string(data_.size) + " bytes at offset " +
                           std::to_string(offset_) +
                           ": the peer has no such region any more, or it is shorter (it was "
                           "registered with " +
                           std::to_string(region_.length) + " bytes)",
                       peer_));
    } else if (answer_.state == Transfer::State::kDone && data_.state == Transfer::State::kDone) {
        end(nullptr);
    }
}

void RemoteAccess::end(ErrorPtr error) {
    channel_->cancel(data_);
    channel_->cancel(answer_);
    channel_->watch(false);
    finish(std::move(error));
}

void RemoteAccess::fail(const ErrorPtr& error) {
    end(error);
}

ErrorPtr RemoteAccess::timeout_error() const {
    return make_error(WEFT_ERR_TIMEOUT,
                      std::string(kind_ == Kind::kWrite ? "write" : "read") + " of " +
                          std::to_string(data_.size) + " bytes was not answered in time",
                      peer_);
}

// ---------------------------------------------------------------- notifications

void NotificationWait::start(Engine&) {
    if (!owner_.notifications_.empty()) {
        notification_ = owner_.notifications_.front();
        owner_.notifications_.pop_front();
        arrived_ = true;
        finish(nullptr);
    } else {
        owner_.waiting_.push_back(this);
    }
}

void NotificationWait::fail(const ErrorPtr& error) {
    std::erase(owner_.waiting_, this);
    finish(error);
}

}  // namespace weft::engine
