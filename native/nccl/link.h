// How connections come to be. listen() draws an unguessable number and writes it, with the address
// of the device's context, into the handle that NCCL carries to the sender. connect() opens the
// edge (or finds it), draws the connection's number and announces it under the listener's; accept()
// hands out what was announced. None of them blocks: NCCL calls until it gets a comm, and what
// connect() must remember between two calls is kept here under a number in the handle.
#pragma once

#include <deque>
#include <memory>
#include <span>

#include "nccl/abi.h"
#include "nccl/comm.h"

namespace weft::nccl {

class Listener final : public engine::GroupHandler {
  public:
    // Writes the handle. Throws Error.
    Listener(int device, std::span<std::byte, abi::kHandleBytes> handle);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    // Null: nobody yet. Throws Error(TIMEOUT) when nobody came in the operations' time.
    std::unique_ptr<ReceiveComm> accept();

    void message_unmatched(engine::Peer& peer, const datapath::Tag& tag, std::uint64_t signature,
                           std::size_t size) override;
    void peer_failed(engine::Peer&, const ErrorPtr&) override {}

  private:
    std::shared_ptr<engine::Context> context_;
    const std::uint64_t group_;
    engine::Time deadline_ = 0;  // from the first accept() on
    std::deque<std::unique_ptr<ReceiveComm>> arrived_;
    Notes notes_;
};

// Null: not yet, call again with the same handle. Throws Error.
std::unique_ptr<SendComm> connect(int device, std::span<std::byte, abi::kHandleBytes> handle);

}  // namespace weft::nccl
