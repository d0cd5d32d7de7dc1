// One direction of one connection, as NCCL wants it: messages of a sender, into grouped receives.
//
// Protocol, over ordinary messages of the edge, under a group number of the connection's own:
//   kReady (receiver to sender): receive number s was posted, with these tags and room;
//   data (sender to receiver): part i of receive s. A send takes the first part with its tag that
//     nothing was sent into, of the receives in the order in which they were posted; where there is
//     none, isend says "later". So a send that is done has found its receive, nothing is ever sent
//     ahead of it, and neither end may lose anything by leaving when its requests are done.
//   kBye: that end was closed; the sender's says how many parts it sent.
//
// Everything here runs under the driver lock of the context's engine, except where said.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/context.h"
#include "nccl/devices.h"

namespace weft::nccl {

class Comm;

// Small messages that a peer announced: they are received, read once, and swept away later.
class Notes {
  public:
    static constexpr std::size_t kMost = 128;  // bytes of one
    using Reader = std::function<void(std::span<const std::byte> bytes)>;

    Notes();
    ~Notes();
    void receive(engine::Peer& peer, const datapath::Tag& tag, std::size_t size, Reader reader);
    // Before the end, when some may still be on their way.
    void cancel();

  private:
    struct Note;
    std::deque<std::unique_ptr<Note>> notes_;
};

struct Request final : datapath::TransferObserver {
    explicit Request(Comm& owner) : comm(owner) {}
    void fail(ErrorPtr why);
    void transfer_done(datapath::Transfer& transfer) noexcept override;

    Comm& comm;
    bool in_use = false;
    int parts = 0;
    datapath::Transfer transfers[kMostReceives];
    std::uint64_t slot = 0;  // of a receive
    int unannounced = 0;     // parts of a receive for which no message came yet
    engine::Time deadline = 0;
    // These two may be read without the lock: nothing moves any more once either says so.
    std::atomic<int> open{0};         // parts not done
    std::atomic<bool> failed{false};  // `error` is set
    ErrorPtr error;
};

class Comm : public engine::GroupHandler {
  public:
    // `group` names the connection. The edge to the peer is open.
    Comm(std::shared_ptr<engine::Context> context, datapath::PeerId peer, std::uint64_t group);
    virtual ~Comm() = default;
    Comm(const Comm&) = delete;
    Comm& operator=(const Comm&) = delete;

    void open();  // from here on messages come
    // Requests under way are called off, their buffers are the caller's again; the peer is told.
    // Before the end. Takes the lock itself.
    void close();

    // Looks whether a request is done: its sizes are then in `sizes` (may be null) and it is gone,
    // as it is when this throws its error. Makes progress. Takes the lock itself.
    bool test(Request& request, int* sizes);

    // GroupHandler
    void peer_failed(engine::Peer&, const ErrorPtr&) override {}

  protected:
    static constexpr std::uint64_t kReady = std::uint64_t{1} << 62;
    static constexpr std::uint64_t kBye = std::uint64_t{2} << 62;
    static constexpr int kMostRequests = 1024;

    static std::uint64_t data_tag(std::uint64_t slot, std::size_t part) noexcept {
        return slot << 3 | part;
    }

    engine::Peer& peer();
    void live() const;         // throws Error(STATE) in a forked child
    Request* take(int parts);  // null when too many are under way
    void give_back(Request& request);
    void check() const;                 // throws what fail() was given
    void mind_the_peer();               // it is watched as long as there is something to wait for
    virtual void fail(ErrorPtr error);  // nothing begins any more
    virtual void withdraw(Request& request);
    virtual bool waits() const noexcept { return used_ > 0; }
    virtual std::uint64_t farewell() const noexcept { return 0; }

    const std::shared_ptr<engine::Context> context_;
    const datapath::PeerId peer_;
    const std::uint64_t group_;
    ErrorPtr error_;
    Notes notes_;
    int used_ = 0;

  private:
    void look();  // whether the peer is still there

    std::vector<std::unique_ptr<Request>> requests_;
    std::vector<Request*> free_;
    bool watching_ = false;
};

class SendComm final : public Comm {
  public:
    using Comm::Comm;
    // Null: no receive is there for it yet, call again. Throws Error. Takes the lock itself.
    Request* isend(void* data, std::size_t size, int tag);

    void message_unmatched(engine::Peer& peer, const datapath::Tag& tag, std::uint64_t signature,
                           std::size_t size) override;

  private:
    struct Part {
        std::uint64_t room = 0;
        std::int32_t tag = 0;
        std::uint32_t taken = 0;
    };
    friend class ReceiveComm;  // which writes them

    void ready(std::uint64_t slot, std::span<const std::byte> bytes);
    Request* begin(void* data, std::size_t size, int tag);
    bool waits() const noexcept override { return Comm::waits() || waiting_since_ != 0; }
    // A sender that calls requests off promises nothing.
    std::uint64_t farewell() const noexcept override { return used_ > 0 ? 0 : sent_; }

    // By number, those with parts left. One that came ahead of an earlier one waits for it.
    std::map<std::uint64_t, std::vector<Part>> receives_;
    std::uint64_t next_ = 0;  // receives before it have all been announced
    std::uint64_t sent_ = 0;  // parts
    engine::Time waiting_since_ = 0;
};

class ReceiveComm final : public Comm {
  public:
    using Comm::Comm;
    // Null: too many requests are under way. Throws Error. Takes the lock itself.
    struct Buffer {
        void* data;
        std::size_t size;
        int tag;
    };
    Request* irecv(std::span<const Buffer> buffers);

    void message_unmatched(engine::Peer& peer, const datapath::Tag& tag, std::uint64_t signature,
                           std::size_t size) override;

  private:
    Request* begin(std::span<const Buffer> buffers);
    void fail(ErrorPtr error) override;
    void withdraw(Request& request) override;
    void arrived(std::uint64_t slot, std::size_t part, std::size_t size);
    void check_farewell();

    std::unordered_map<std::uint64_t, Request*> waiting_;  // by slot: a part has no message yet
    std::uint64_t next_slot_ = 0;
    std::uint64_t arrived_ = 0;            // parts
    std::uint64_t promised_ = UINT64_MAX;  // parts in all, once the sender has left
};

}  // namespace weft::nccl
