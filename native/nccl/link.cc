#include "nccl/link.h"

#include <mutex>
#include <unordered_map>

#include "engine/edges.h"
#include "engine/secret.h"
#include "nccl/handle.h"
#include "nccl/log.h"

namespace weft::nccl {
namespace {

using engine::clock_now;
using engine::deadline_after;

std::uint64_t draw_group() {
    std::uint64_t group;
    do {
        group = engine::random_word();
    } while (group < engine::kFirstGroup);
    return group;
}

// A connection that is being opened.
struct Attempt {
    std::shared_ptr<engine::Context> context;
    std::shared_ptr<engine::Connect> operation;
};

// Kept for the process's life, for the same reason as the devices.
struct Attempts {
    std::mutex lock;
    std::uint32_t last = 0;
    std::unordered_map<std::uint32_t, Attempt> open;
};
Attempts& attempts() {
    static Attempts* const all = new Attempts;
    return *all;
}

Attempt begin(int device, Handle& handle) {
    Attempt attempt{.context = Devices::all().context(device, Role::kCalls), .operation = nullptr};
    engine::Context& context = *attempt.context;
    attempt.operation = std::make_shared<engine::Connect>(
        context, handle.unpack(engine::Address::decode(context.address())),
        deadline_after(clock_now(), context.options().connect_timeout));
    context.engine().submit(attempt.operation, true);

    Attempts& all = attempts();
    const std::lock_guard guard(all.lock);
    // Those that NCCL gave up have long ended.
    std::erase_if(all.open, [](const auto& entry) {
        return clock_now() > entry.second.operation->deadline() + 60 * engine::kSecond;
    });
    handle.attempt = ++all.last;
    all.open[handle.attempt] = attempt;
    return attempt;
}

}  // namespace

// ---------------------------------------------------------------- the receiver's end

Listener::Listener(int device, std::span<std::byte, abi::kHandleBytes> handle)
    : context_(Devices::all().context(device, Role::kCalled)), group_(draw_group()) {
    Handle made;
    made.group = group_;
    made.pack(engine::Address::decode(context_->address()));
    made.write(handle);
    context_->engine().call([this] { context_->mesh().add_group(group_, *this); });
}

Listener::~Listener() {
    if (!context_->engine().abandoned()) {
        context_->engine().call([this] {
            notes_.cancel();
            context_->mesh().remove_group(group_);
        });
    }
    for (const auto& comm : arrived_) {
        comm->close();
    }
}

void Listener::message_unmatched(engine::Peer& peer, const datapath::Tag& tag, std::uint64_t,
                                 std::size_t size) {
    notes_.receive(peer, tag, size, [](auto) {});
    arrived_.push_back(std::make_unique<ReceiveComm>(context_, peer.id(), tag.message));
    arrived_.back()->open();
}

std::unique_ptr<ReceiveComm> Listener::accept() {
    engine::Engine& engine = context_->engine();
    if (engine.abandoned()) {
        throw Error(WEFT_ERR_STATE, "this listener belongs to the parent process of this one");
    }
    engine.poll();
    return engine.call([this]() -> std::unique_ptr<ReceiveComm> {
        if (arrived_.empty()) {
            const engine::Time now = clock_now();
            deadline_ =
                deadline_ == 0 ? deadline_after(now, context_->options().timeout) : deadline_;
            if (now > deadline_) {
                throw Error(WEFT_ERR_TIMEOUT, "nobody connected in time (WEFT_TIMEOUT_MS)");
            }
            return nullptr;
        }
        auto comm = std::move(arrived_.front());
        arrived_.pop_front();
        return comm;
    });
}

// ---------------------------------------------------------------- the sender's end

std::unique_ptr<SendComm> connect(int device, std::span<std::byte, abi::kHandleBytes> bytes) {
    Handle handle = Handle::read(bytes);
    Attempts& all = attempts();
    Attempt attempt;
    if (handle.attempt == 0) {
        attempt = begin(device, handle);
        handle.write(bytes);
    } else {
        const std::lock_guard guard(all.lock);
        const auto it = all.open.find(handle.attempt);
        need(it != all.open.end(), "this handle's connection was made or refused already");
        attempt = it->second;
    }
    engine::Context& context = *attempt.context;
    if (!attempt.operation->finished()) {
        context.engine().poll();
        if (!attempt.operation->finished()) {
            return nullptr;
        }
    }
    {
        const std::lock_guard guard(all.lock);
        all.open.erase(handle.attempt);
    }
    return context.engine().call([&] {
        ErrorPtr error = attempt.operation->error();
        error = error ? error : engine::why_not_open(context, attempt.operation->peer());
        if (error) {
            throw Error(error);
        }
        const std::uint64_t group = draw_group();
        auto comm = std::make_unique<SendComm>(attempt.context, attempt.operation->peer(), group);
        comm->open();
        context.mesh().send_detached(*context.mesh().find(attempt.operation->peer()),
                                     {handle.group, group}, 0, "");
        return comm;
    });
}

}  // namespace weft::nccl
