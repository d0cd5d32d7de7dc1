#include "communicator/measure.h"

#include <algorithm>
#include <cstring>

#include "collectives/reduce/reduce.h"
#include "communicator/communicator.h"

namespace weft::communicator {
namespace {

using datapath::Transfer;
using engine::Time;

constexpr std::uint64_t kOrderMessage = (std::uint64_t{1} << 62) | 3;
constexpr std::uint64_t kPingMessage = (std::uint64_t{1} << 62) | 4;
constexpr std::uint64_t kPongMessage = (std::uint64_t{1} << 62) | 5;
constexpr std::uint32_t kShort = 8;
constexpr std::uint32_t kLong = 2 << 20;  // beyond the second-level caches, as large messages are
constexpr Time kPatience = 10 * engine::kMillisecond;  // for one series of pings
constexpr Time kMostPings = 16;                        // the least of these counts: noise only adds

// Seconds per byte of `work` on kLong bytes, the least of a few.
template <typename Work>
double per_byte(Work work) {
    Time best = INT64_MAX;
    for (int i = 0; i < 5; ++i) {
        const Time begin = engine::clock_now();
        work();
        best = std::min(best, engine::clock_now() - begin);
    }
    return static_cast<double>(best) * 1e-9 / kLong;
}

}  // namespace

Measure::Measure(std::shared_ptr<Communicator> group, Time deadline, collectives::CostFile costs,
                 const collectives::Hosts& hosts)
    : GroupOperation(std::move(group), deadline), costs_(std::move(costs)) {
    if (this->group().rank() != 0 || !costs_.measures()) {
        return;
    }
    for (const bool local : {false, true}) {
        const auto partner = std::find_if(hosts.begin() + 1, hosts.end(), [&](std::int32_t host) {
            return (host == hosts.front()) == local;
        });
        if (partner != hosts.end() && !costs_.knows(local ? "shm" : "udp")) {
            pairs_.push_back({static_cast<std::int32_t>(partner - hosts.begin()), local});
        }
    }
}

Measure::~Measure() = default;

std::string Measure::describe() const {
    return "measuring what edges cost";
}

void Measure::start(engine::Engine&) {
    enter();
    if (finished()) {
        return;
    }
    watch(true);
    if (group().rank() != 0) {
        await_order();
        return;
    }
    if (costs_.measures() && !(costs_.knows("copy") && costs_.knows("reduce"))) {
        measure_memory();
    }
    next_pair();
}

void Measure::measure_memory() {
    std::vector<std::byte> from(kLong), to(kLong);
    costs_.set("copy", {per_byte([&] { std::memcpy(to.data(), from.data(), kLong); })});
    const auto combine = collectives::combine_function(WEFT_SUM, WEFT_F32);
    costs_.set("reduce",
               {per_byte([&] { combine(to.data(), to.data(), from.data(), kLong / 4); })});
}

// ---------------------------------------------------------------- rank 0

void Measure::next_pair() {
    if (pairs_.empty()) {
        costs_.save();
        tell_all();
        return;
    }
    warm_ = false;
    short_best_ = 0;
    command(1, kShort);
}

void Measure::command(std::uint32_t pings, std::uint32_t bytes) {
    order_ = {.pings = pings, .bytes = bytes};
    buffer_.resize(bytes);
    left_ = pings;
    best_ = INT64_MAX;
    post(order_transfer_, pairs_.back().partner, kOrderMessage,
         reinterpret_cast<std::byte*>(&order_), sizeof order_, true);
}

void Measure::ping() {
    const std::int32_t partner = pairs_.back().partner;
    post(pong_, partner, kPongMessage, buffer_.data(), order_.bytes, false);
    sent_at_ = engine::clock_now();
    post(ping_, partner, kPingMessage, buffer_.data(), order_.bytes, true);
}

void Measure::ponged() {
    best_ = std::min(best_, engine::clock_now() - sent_at_);
    if (--left_ > 0) {
        ping();
        return;
    }
    const auto affordable = static_cast<std::uint32_t>(
        std::clamp<Time>(kPatience / std::max<Time>(best_, 1), 1, kMostPings));
    if (!warm_) {
        warm_ = true;
        command(affordable, kShort);
    } else if (order_.bytes == kShort) {
        short_best_ = best_;
        command(std::min(affordable, 4u), kLong);
    } else {
        conclude_pair();
    }
}

// One way is half of there and back. A short message costs its sender's step and overhead and the
// latency; a long one waits for its receive first, two latencies, then its bytes (cost.cc).
void Measure::conclude_pair() {
    const collectives::CostModel model;
    const bool local = pairs_.back().local;
    const double posting = model.step + (local ? model.local : model.remote).overhead;
    const double brief = static_cast<double>(short_best_) * 0.5e-9;
    const double lengthy = static_cast<double>(best_) * 0.5e-9;
    const double latency = std::max(brief - posting, 0.05e-6);
    const double per_byte = std::max((lengthy - posting - 2 * latency) / kLong, 1e-12);
    costs_.set(local ? "shm" : "udp", {latency, per_byte});
    pairs_.pop_back();
    next_pair();
}

void Measure::tell_all() {
    const collectives::CostModel known = model();
    order_ = {.local_latency = known.local.latency,
              .local_per_byte = known.local.per_byte,
              .remote_latency = known.remote.latency,
              .remote_per_byte = known.remote.per_byte,
              .copy_per_byte = known.copy_per_byte,
              .reduce_per_byte = known.reduce_per_byte};
    const auto size = static_cast<std::size_t>(group().size());
    tellings_.resize(size);
    untold_ = size - 1;
    if (untold_ == 0) {
        end(nullptr);
        return;
    }
    for (std::int32_t rank = 1; rank < group().size() && !finished(); ++rank) {
        post(tellings_[static_cast<std::size_t>(rank)], rank, kOrderMessage,
             reinterpret_cast<std::byte*>(&order_), sizeof order_, true);
    }
}

// ---------------------------------------------------------------- the others

void Measure::await_order() {
    post(order_transfer_, 0, kOrderMessage, reinterpret_cast<std::byte*>(&order_), sizeof order_,
         false);
}

void Measure::obey() {
    if (order_.pings == 0) {
        end(nullptr);
        return;
    }
    if (order_.bytes > kLong) {
        group().fail(make_error(WEFT_ERR_INTERNAL, describe() + ": rank 0 orders too much",
                                group().peer(0).id()),
                     true);
        return;
    }
    buffer_.resize(order_.bytes);
    left_ = order_.pings;
    post(ping_, 0, kPingMessage, buffer_.data(), order_.bytes, false);
}

// ---------------------------------------------------------------- both

void Measure::post(Transfer& transfer, std::int32_t peer, std::uint64_t message, std::byte* data,
                   std::size_t size, bool sends) {
    transfer.tag = {.group = group().epoch(), .message = message};
    transfer.data = data;
    transfer.size = size;
    transfer.observer = this;
    datapath::Channel& channel = group().peer(peer).channel();
    if (sends) {
        channel.send(transfer);
    } else {
        channel.recv(transfer);
    }
}

void Measure::transfer_done(Transfer& transfer) noexcept {
    const auto keep = shared_from_this();
    if (transfer.state == Transfer::State::kFailed) {
        if (!finished()) {
            const bool told =
                &transfer >= tellings_.data() && &transfer < tellings_.data() + tellings_.size();
            const auto rank = told ? static_cast<std::int32_t>(&transfer - tellings_.data())
                              : group().rank() != 0 ? 0
                                                    : pairs_.back().partner;
            group().fail(explain(transfer, rank), true);
        }
        return;
    }
    if (group().rank() != 0) {
        if (&transfer == &order_transfer_) {
            obey();
        } else if (&transfer == &ping_) {
            post(pong_, 0, kPongMessage, buffer_.data(), order_.bytes, true);
        } else if (--left_ > 0) {
            post(ping_, 0, kPingMessage, buffer_.data(), order_.bytes, false);
        } else {
            await_order();
        }
    } else if (&transfer == &order_transfer_) {
        ping();
    } else if (&transfer == &pong_) {
        if (ping_.state == Transfer::State::kDone) {
            ponged();
        }
    } else if (&transfer == &ping_) {
        if (pong_.state == Transfer::State::kDone) {
            ponged();  // the answer was here before we heard that the question had arrived
        }
    } else if (--untold_ == 0) {
        end(nullptr);
    }
}

void Measure::fail(const ErrorPtr& error) {
    const auto withdraw = [&](Transfer& transfer, std::int32_t peer) {
        if (transfer.state == Transfer::State::kPending) {
            group().peer(peer).channel().cancel(transfer);
        }
    };
    const std::int32_t partner =
        group().rank() != 0 ? 0 : (pairs_.empty() ? WEFT_NO_RANK : pairs_.back().partner);
    for (Transfer* transfer : {&order_transfer_, &ping_, &pong_}) {
        withdraw(*transfer, partner);
    }
    for (std::size_t rank = 1; rank < tellings_.size(); ++rank) {
        withdraw(tellings_[rank], static_cast<std::int32_t>(rank));
    }
    end(error);
}

void Measure::end(ErrorPtr error) {
    watch(false);
    leave(std::move(error));
}

// Rank 0 waits for everybody, everybody for rank 0.
void Measure::watch(bool on) {
    const std::int32_t last = group().rank() == 0 ? group().size() - 1 : 0;
    for (std::int32_t rank = group().rank() == 0 ? 1 : 0; rank <= last; ++rank) {
        group().peer(rank).channel().watch(on);
    }
}

std::vector<std::int32_t> Measure::waiting_for() const {
    std::vector<std::int32_t> ranks;
    if (group().rank() != 0) {
        ranks.push_back(0);
    } else if (!pairs_.empty()) {
        ranks.push_back(pairs_.back().partner);
    }
    for (std::size_t rank = 1; rank < tellings_.size(); ++rank) {
        if (tellings_[rank].state == Transfer::State::kPending) {
            ranks.push_back(static_cast<std::int32_t>(rank));
        }
    }
    return ranks;
}

collectives::CostModel Measure::model() const {
    collectives::CostModel model;
    if (group().rank() == 0) {
        costs_.apply(model);
        return model;
    }
    model.local.latency = order_.local_latency;
    model.local.per_byte = order_.local_per_byte;
    model.remote.latency = order_.remote_latency;
    model.remote.per_byte = order_.remote_per_byte;
    model.copy_per_byte = order_.copy_per_byte;
    model.reduce_per_byte = order_.reduce_per_byte;
    return model;
}

}  // namespace weft::communicator
