#include "nccl/comm.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "nccl/log.h"

namespace weft::nccl {

using datapath::Tag;
using datapath::Transfer;
using engine::clock_now;
using engine::Peer;

// ---------------------------------------------------------------- small messages

struct Notes::Note final : datapath::TransferObserver {
    void transfer_done(Transfer&) noexcept override {
        ended = true;
        if (transfer.state == Transfer::State::kDone) {
            reader({bytes.data(), transfer.size});
        }
    }
    std::array<std::byte, kMost> bytes;
    Transfer transfer;
    Reader reader;
    datapath::Channel* channel = nullptr;
    bool ended = false;
};

Notes::Notes() = default;
Notes::~Notes() = default;

void Notes::receive(Peer& peer, const Tag& tag, std::size_t size, Reader reader) {
    if (size > kMost) {
        return;  // not ours
    }
    while (!notes_.empty() && notes_.front()->ended) {
        notes_.pop_front();
    }
    notes_.push_back(std::make_unique<Note>());
    Note& note = *notes_.back();
    note.reader = std::move(reader);
    note.channel = &peer.channel();
    note.transfer.tag = tag;
    note.transfer.data = note.bytes.data();
    note.transfer.size = size;
    note.transfer.observer = &note;
    peer.channel().recv(note.transfer);
}

void Notes::cancel() {
    for (const auto& note : notes_) {
        note->channel->cancel(note->transfer);
    }
}

// ---------------------------------------------------------------- requests

void Request::fail(ErrorPtr why) {
    if (!failed.load(std::memory_order_relaxed)) {
        error = std::move(why);
        failed.store(true, std::memory_order_release);
    }
}

void Request::transfer_done(Transfer& transfer) noexcept {
    if (transfer.state == Transfer::State::kFailed) {
        fail(transfer.error);
    }
    open.fetch_sub(1, std::memory_order_release);
}

// ---------------------------------------------------------------- both directions

Comm::Comm(std::shared_ptr<engine::Context> context, datapath::PeerId peer, std::uint64_t group)
    : context_(std::move(context)), peer_(peer), group_(group) {}

void Comm::open() {
    context_->mesh().watch_changes(this, [this] { look(); });
    context_->mesh().add_group(group_, *this);
    look();
}

void Comm::close() {
    if (context_->engine().abandoned()) {
        return;
    }
    context_->engine().call([this] {
        const std::uint64_t parts = farewell();
        for (const auto& request : requests_) {
            if (request->in_use) {
                withdraw(*request);
                give_back(*request);
            }
        }
        error_ = make_error(WEFT_ERR_STATE, "this connection was closed", peer_);
        mind_the_peer();
        notes_.cancel();
        context_->mesh().unwatch_changes(this);
        context_->mesh().send_detached(peer(), {group_, kBye | parts}, 0, "");
        context_->mesh().remove_group(group_);
    });
}

Peer& Comm::peer() {
    return *context_->mesh().find(peer_);  // an edge that was open once is never forgotten
}

void Comm::live() const {
    if (context_->engine().abandoned()) {
        throw Error(WEFT_ERR_STATE, "this connection belongs to the parent process of this one");
    }
}

void Comm::look() {
    if (peer().state() == Peer::State::kFailed) {
        fail(peer().error());
    }
}

void Comm::check() const {
    if (error_) {
        throw Error(error_);
    }
}

void Comm::fail(ErrorPtr error) {
    if (!error_) {
        error_ = std::move(error);
    }
}

void Comm::mind_the_peer() {
    const bool watch = waits() && !error_;
    if (watch != watching_) {
        watching_ = watch;
        peer().channel().watch(watch);
    }
}

Request* Comm::take(int parts) {
    if (free_.empty()) {
        if (requests_.size() == kMostRequests) {
            return nullptr;
        }
        requests_.push_back(std::make_unique<Request>(*this));
        free_.push_back(requests_.back().get());
    }
    Request& request = *free_.back();
    free_.pop_back();
    request.in_use = true;
    request.parts = parts;
    request.open = parts;
    request.failed = false;
    request.error = nullptr;
    request.deadline = engine::deadline_after(clock_now(), context_->options().timeout);
    ++used_;
    mind_the_peer();
    return &request;
}

void Comm::give_back(Request& request) {
    request.in_use = false;
    free_.push_back(&request);
    --used_;
    mind_the_peer();
}

void Comm::withdraw(Request& request) {
    for (int i = 0; i < request.parts; ++i) {
        peer().channel().cancel(request.transfers[i]);
    }
}

bool Comm::test(Request& request, int* sizes) {
    live();
    if (request.open.load(std::memory_order_acquire) > 0 &&
        !request.failed.load(std::memory_order_acquire)) {
        context_->engine().poll();
    }
    const bool failed = request.failed.load(std::memory_order_acquire);
    if (!failed && request.open.load(std::memory_order_acquire) > 0 &&
        clock_now() < request.deadline) {
        return false;
    }
    context_->engine().call([&] {
        if (request.open.load() > 0) {
            request.fail(make_error(WEFT_ERR_TIMEOUT,
                                    "a request was not done in time (WEFT_TIMEOUT_MS)", peer_));
        }
        const ErrorPtr error = request.error;
        for (int i = 0; i < request.parts && sizes != nullptr && !error; ++i) {
            sizes[i] = static_cast<int>(request.transfers[i].size);
        }
        withdraw(request);
        give_back(request);
        if (error) {
            throw Error(error);
        }
    });
    return true;
}

// ---------------------------------------------------------------- sending

Request* SendComm::isend(void* data, std::size_t size, int tag) {
    live();
    engine::Engine& engine = context_->engine();
    if (Request* request = engine.call([&] { return begin(data, size, tag); })) {
        return request;
    }
    engine.poll();  // nobody else may be there to hear of the receive
    return engine.call([&] { return begin(data, size, tag); });
}

Request* SendComm::begin(void* data, std::size_t size, int tag) {
    check();
    for (auto receive = receives_.begin(); receive != receives_.end() && receive->first < next_;
         ++receive) {
        auto& [slot, parts] = *receive;
        const auto part = std::ranges::find_if(
            parts, [&](const Part& p) { return p.taken == 0 && p.tag == tag; });
        if (part == parts.end()) {
            continue;
        }
        if (size > part->room) {
            throw Error(WEFT_ERR_MISMATCH,
                        "a send of " + std::to_string(size) + " bytes under tag " +
                            std::to_string(tag) + " met a receive that has room for " +
                            std::to_string(part->room) + ": the ranks called different things",
                        peer_);
        }
        Request* request = take(1);
        if (request == nullptr) {
            return nullptr;
        }
        Transfer& transfer = request->transfers[0] = Transfer{};
        transfer.tag = {group_, data_tag(slot, static_cast<std::size_t>(part - parts.begin()))};
        transfer.data = static_cast<std::byte*>(data);
        transfer.size = size;
        transfer.observer = request;
        ++sent_;
        part->taken = 1;
        if (std::ranges::all_of(parts, [](const Part& p) { return p.taken != 0; })) {
            receives_.erase(receive);
        }
        waiting_since_ = 0;
        mind_the_peer();
        peer().channel().send(transfer);
        return request;
    }
    const engine::Time now = clock_now();
    waiting_since_ = waiting_since_ == 0 ? now : waiting_since_;
    if (now - waiting_since_ > context_->options().timeout) {
        throw Error(WEFT_ERR_TIMEOUT,
                    "the peer posted no receive with tag " + std::to_string(tag) +
                        " in time (WEFT_TIMEOUT_MS)",
                    peer_);
    }
    mind_the_peer();
    return nullptr;
}

void SendComm::message_unmatched(Peer& peer, const Tag& tag, std::uint64_t, std::size_t size) {
    if ((tag.message & kBye) != 0) {
        notes_.receive(peer, tag, size, [](auto) {});
        fail(make_error(WEFT_ERR_ABORTED, "the receiver closed this connection", peer_));
        mind_the_peer();
    } else if ((tag.message & kReady) != 0) {
        const std::uint64_t slot = tag.message & ~kReady;
        notes_.receive(peer, tag, size, [this, slot](auto bytes) { ready(slot, bytes); });
    }
}

void SendComm::ready(std::uint64_t slot, std::span<const std::byte> bytes) {
    if (slot < next_ || bytes.empty()) {
        return;
    }
    std::vector<Part>& parts = receives_[slot];
    parts.resize(bytes.size() / sizeof(Part));
    std::memcpy(parts.data(), bytes.data(), parts.size() * sizeof(Part));
    for (auto next = receives_.find(next_); next != receives_.end() && next->first == next_;
         ++next) {
        ++next_;
    }
}

// ---------------------------------------------------------------- receiving

Request* ReceiveComm::irecv(std::span<const Buffer> buffers) {
    live();
    return context_->engine().call([&] { return begin(buffers); });
}

Request* ReceiveComm::begin(std::span<const Buffer> buffers) {
    check();
    Request* request = take(static_cast<int>(buffers.size()));
    if (request == nullptr) {
        return nullptr;
    }
    SendComm::Part parts[kMostReceives];
    for (std::size_t i = 0; i < buffers.size(); ++i) {
        Transfer& transfer = request->transfers[i] = Transfer{};
        transfer.data = static_cast<std::byte*>(buffers[i].data);
        transfer.size = buffers[i].size;  // the room, until a message says what it is
        transfer.observer = request;
        parts[i] = {.room = buffers[i].size, .tag = buffers[i].tag};
    }
    request->slot = next_slot_++;
    request->unannounced = request->parts;
    waiting_[request->slot] = request;
    context_->mesh().send_detached(
        peer(), {group_, kReady | request->slot}, 0,
        std::string(reinterpret_cast<const char*>(parts), buffers.size() * sizeof(SendComm::Part)));
    return request;
}

void ReceiveComm::message_unmatched(Peer& peer, const Tag& tag, std::uint64_t, std::size_t size) {
    if ((tag.message & kBye) != 0) {
        promised_ = tag.message & ~kBye;
        notes_.receive(peer, tag, size, [](auto) {});
    } else {
        arrived(tag.message >> 3, tag.message & 7, size);
    }
    check_farewell();
}

void ReceiveComm::arrived(std::uint64_t slot, std::size_t part, std::size_t size) {
    ++arrived_;
    const auto it = waiting_.find(slot);
    if (it == waiting_.end()) {
        return;  // its receive was called off
    }
    Request& request = *it->second;
    Transfer& transfer = request.transfers[part];
    if (part >= static_cast<std::size_t>(request.parts) ||
        transfer.state != Transfer::State::kIdle || size > transfer.size) {
        fail(make_error(WEFT_ERR_MISMATCH,
                        "the peer sent " + std::to_string(size) +
                            " bytes into a receive that has no "
                            "room for them",
                        peer_));
        return;
    }
    if (--request.unannounced == 0) {
        waiting_.erase(it);
    }
    transfer.tag = {group_, data_tag(slot, part)};
    transfer.size = size;
    peer().channel().recv(transfer);
}

// The sender left: what it sent still comes, and nothing else.
void ReceiveComm::check_farewell() {
    if (arrived_ >= promised_) {
        fail(make_error(WEFT_ERR_ABORTED, "the sender closed this connection", peer_));
        mind_the_peer();
    }
}

// Receives whose messages have come end by themselves, well or with the channel.
void ReceiveComm::fail(ErrorPtr error) {
    Comm::fail(std::move(error));
    for (const auto& [slot, request] : waiting_) {
        request->fail(error_);
    }
}

void ReceiveComm::withdraw(Request& request) {
    waiting_.erase(request.slot);
    Comm::withdraw(request);
}

}  // namespace weft::nccl
