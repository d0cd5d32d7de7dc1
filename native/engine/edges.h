// Operations on single edges, without a group: connect, accept, send, receive.
#pragma once

#include <memory>
#include <string>

#include "engine/context.h"
#include "engine/operation.h"

namespace weft::engine {

// Messages between peers outside any group travel under this group number; above it lies the
// message's number among those with its tag.
constexpr std::uint64_t kPeerMessages = 1;
constexpr std::uint64_t peer_group(std::uint32_t number) noexcept {
    return kPeerMessages | (std::uint64_t{number} << 8 & (kFirstGroup - 1));
}

// Waits until the edge to one peer is open.
class Connect final : public Operation {
  public:
    Connect(Context& context, Address address, Time deadline);
    datapath::PeerId peer() const noexcept { return address_.peer; }
    void fail(const ErrorPtr& error) override;

  private:
    void start(Engine& engine) override;
    ErrorPtr timeout_error() const override;
    void look();

    Context& context_;
    const Address address_;
};

// Waits until somebody calls us.
class Accept final : public Operation {
  public:
    Accept(Context& context, Time deadline) : Operation(deadline), context_(context) {}
    datapath::PeerId peer() const noexcept { return peer_; }
    void fail(const ErrorPtr& error) override;

  private:
    void start(Engine& engine) override;
    ErrorPtr timeout_error() const override;
    void look();

    Context& context_;
    datapath::PeerId peer_ = 0;
};

// One message to or from one peer.
class PeerMessage final : public Operation, datapath::TransferObserver {
  public:
    enum class Direction : std::uint8_t { kSend, kReceive };
    PeerMessage(Context& context, datapath::PeerId peer, Direction direction, void* data,
                std::size_t length, std::uint64_t tag, Time deadline);
    void fail(const ErrorPtr& error) override;
    bool cancellable() const noexcept override { return true; }

  private:
    void start(Engine& engine) override;
    ErrorPtr timeout_error() const override;
    void transfer_done(datapath::Transfer& transfer) noexcept override;

    Context& context_;
    const datapath::PeerId peer_;
    const Direction direction_;
    datapath::Transfer transfer_;
    datapath::Channel* channel_ = nullptr;
};

// The error of an edge that is not open, or null.
ErrorPtr why_not_open(Context& context, datapath::PeerId peer);

}  // namespace weft::engine
