#include "innet/worker.h"

#include <algorithm>
#include <cstdlib>

namespace weft::innet {
namespace {

constexpr int kAskedInVain = 4;

// The signature in pieces small enough that the sums of their squares fit 31 bits for 512 members.
// If n members' pieces add up to n p and their squares to n p^2, all are p: their variance is 0.
constexpr int kPieceBits = 11;
constexpr std::size_t kPieces = 6;
static_assert(kPieces * kPieceBits >= 64);

std::uint32_t piece(std::uint64_t signature, std::size_t i) noexcept {
    return static_cast<std::uint32_t>(signature >> (i * kPieceBits)) & ((1U << kPieceBits) - 1);
}

}  // namespace

Worker::Worker(const Membership& membership, const Timing& timing)
    : membership_(membership), timing_(timing), slots_(membership.slots), timeout_(timing.first) {}

void Worker::start(const Call& call, Time now) {
    call_ = call;
    state_ = State::kWorking;
    const std::size_t values = membership_.values;
    missing_ = (call.count + values - 1) / values;
    contributors_.assign(missing_, 0);
    late_ = 0;
    heard_ = polled_ = progressed_ = now;
    asked_ = 0;
    next_due_ = kNever;
    due_.clear();
    const auto used = static_cast<std::uint16_t>(std::min<std::size_t>(slots_.size(), missing_));
    for (std::uint16_t slot = 0; slot < used; ++slot) {
        open(slot, kOpening);
    }
}

void Worker::open(std::uint16_t slot, std::int64_t chunk) {
    Slot& s = slots_[slot];
    s.open = true;
    s.chunk = chunk;
    s.times = 0;
    due_.push_back(slot);
}

// Of the chunk that this slot carries after its present one; -1: none.
std::int64_t Worker::next_chunk(std::uint16_t slot) const noexcept {
    const std::int64_t chunk = slots_[slot].chunk;
    if (chunk == kCommit) return -1;
    const std::int64_t next = chunk == kOpening ? slot : chunk + membership_.slots;
    return next < static_cast<std::int64_t>(contributors_.size()) ? next : -1;
}

std::size_t Worker::offset(std::int64_t chunk) const noexcept {
    return static_cast<std::size_t>(chunk) * membership_.values * size_of(call_.type);
}

std::size_t Worker::elements(std::int64_t chunk) const noexcept {
    const std::size_t first = static_cast<std::size_t>(chunk) * membership_.values;
    return std::min<std::size_t>(membership_.values, call_.count - first);
}

// How many its packet, and the result, have now: only sums and what the call is believed to be.
std::uint16_t Worker::values(std::uint16_t slot) const noexcept {
    const std::int64_t chunk = slots_[slot].chunk;
    return chunk >= 0 || (chunk == kOpening && slot == 0) ? membership_.values : std::uint16_t{0};
}

// ---------------------------------------------------------------- sending

std::size_t Worker::poll(Time now, std::span<std::uint8_t> datagram) {
    if (state_ != State::kWorking && state_ != State::kComplete) return 0;
    if (now - polled_ > timing_.most) heard_ += now - polled_;  // it was we who were away
    polled_ = now;
    if (due_.empty() && now >= next_due_) look_for_timeouts(now);
    if (due_.empty() || state_ == State::kSilent) return 0;
    const std::uint16_t slot = due_.front();
    due_.pop_front();
    return write(slot, now, datagram);
}

void Worker::look_for_timeouts(Time now) {
    next_due_ = kNever;
    for (std::uint16_t slot = 0; slot < membership_.slots; ++slot) {
        const Slot& s = slots_[slot];
        if (!s.open) continue;
        if (now >= due(s)) {
            due_.push_back(slot);
        } else {
            next_due_ = std::min(next_due_, due(s));
        }
    }
    if (due_.empty()) return;
    if (++asked_ > kAskedInVain && now - heard_ >= timing_.silence) {
        state_ = State::kSilent;
        due_.clear();
        next_due_ = kNever;
    }
}

// A packet that others have overtaken waits from when it was sent, another from the last result.
// Colleagues may send in another order, by a part of a round trip (as RACK has it, RFC 8985).
Time Worker::due(const Slot& s) const noexcept {
    const bool overtaken = answered_ > s.last + smoothed_ / 4;
    const Time from = overtaken ? s.last : std::max(s.last, progressed_);
    const Time overdue = s.since + timing_.straggler;
    return timing_.straggler > 0 && s.last < overdue ? std::min(from + s.patience, overdue)
                                                     : from + s.patience;
}

std::size_t Worker::write(std::uint16_t slot, Time now, std::span<std::uint8_t> datagram) {
    Slot& s = slots_[slot];
    if (s.times == 0) s.since = now;
    const Time overdue = s.since + timing_.straggler;
    const bool close = timing_.straggler > 0 && s.times > 0 && now >= overdue;
    Header header{.kind = close ? Kind::kClose : Kind::kAdd,
                  .job = membership_.job,
                  .epoch = membership_.epoch,
                  .worker = membership_.worker,
                  .slot = slot,
                  .values = values(slot),
                  .round = s.round};
    const std::int64_t next = next_chunk(slot);
    if (next >= 0) {
        header.exponent = exponent_of(call_.input + offset(next), elements(next), call_.type);
    }
    encode(header, datagram);
    std::uint8_t* wire = datagram.data() + kHeaderSize;
    if (s.chunk >= 0) {
        to_wire(wire, membership_.values, call_.input + offset(s.chunk), elements(s.chunk),
                call_.type, s.agreed, membership_.workers);
    } else if (header.values > 0) {
        std::fill(wire, wire + 4 * header.values, std::uint8_t{0});
        for (std::size_t i = 0; i < kPieces; ++i) {
            const std::uint32_t p = piece(call_.signature, i);
            store32(wire + 4 * i, p);
            store32(wire + 4 * (kPieces + i), p * p);
        }
    }
    s.last = now;
    s.patience = std::min(timeout_ << std::min(s.times, 16U), timing_.most);
    counts_.resent += s.times > 0 ? 1 : 0;
    ++counts_.sent;
    ++s.times;
    next_due_ = std::min(next_due_, due(s));
    return packet_size(header.values);
}

Time Worker::next_timeout() const noexcept {
    if (state_ != State::kWorking && state_ != State::kComplete) return kNever;
    return due_.empty() ? next_due_ : 0;
}

// ---------------------------------------------------------------- receiving

void Worker::handle(Time now, std::span<const std::uint8_t> datagram) {
    ++counts_.received;
    Header header;
    std::span<const std::uint8_t> payload;
    const bool mine = decode(datagram, header, payload) == DecodeStatus::kOk &&
                      header.job == membership_.job && header.epoch == membership_.epoch &&
                      header.worker == membership_.worker && header.slot < slots_.size() &&
                      (header.kind == Kind::kResult || header.kind == Kind::kWait);
    const bool active = state_ == State::kWorking || state_ == State::kComplete;
    if (!mine || !active) {
        ++counts_.refused;
        return;
    }
    heard_ = now;
    asked_ = 0;
    Slot& s = slots_[header.slot];
    if (!s.open || header.round != s.round) {
        ++counts_.refused;
        return;
    }
    if (header.kind == Kind::kWait) {
        ++counts_.waits;
        const std::uint16_t local = std::min(membership_.workers, kMaxWorkers);
        late_ = ~header.arrived & static_cast<std::uint32_t>((std::uint64_t{1} << local) - 1);
        return;
    }
    if (header.contributors == 0 || header.values != values(header.slot)) {
        ++counts_.refused;
        return;
    }
    answered_ = std::max(answered_, s.last);
    progressed_ = now;
    next_due_ = std::min(next_due_, now);                      // others may be overtaken
    if (s.times == 1 && s.chunk >= 0) measure(now - s.since);  // Karn: only what was sent once
    take(header.slot, header, payload);
}

void Worker::take(std::uint16_t slot, const Header& header, std::span<const std::uint8_t> payload) {
    Slot& s = slots_[slot];
    if (s.chunk == kOpening && slot == 0 && !agreed_on_call(header, payload)) {
        state_ = State::kMismatch;
        return;
    }
    const std::int64_t next = next_chunk(slot);
    const std::int64_t chunk = s.chunk;
    if (chunk >= 0) {
        from_wire(call_.output + offset(chunk), elements(chunk), call_.type, payload.data(),
                  s.agreed, membership_.workers);
        contributors_[static_cast<std::size_t>(chunk)] = header.contributors;
        --missing_;
    }
    ++s.round;
    s.open = false;
    s.agreed = header.exponent;
    std::erase(due_, slot);
    if (chunk == kCommit) {
        state_ = State::kDone;
    } else if (next >= 0) {
        open(slot, next);
    }
    if (missing_ == 0 && state_ == State::kWorking) {
        state_ = State::kComplete;
        open(0, kCommit);
    }
}

bool Worker::agreed_on_call(const Header& header,
                            std::span<const std::uint8_t> payload) const noexcept {
    const std::uint32_t n = header.contributors;
    for (std::size_t i = 0; i < kPieces; ++i) {
        const std::uint32_t p = piece(call_.signature, i);
        if (load32(payload.data() + 4 * i) != n * p ||
            load32(payload.data() + 4 * (kPieces + i)) != n * p * p) {
            return false;
        }
    }
    return true;
}

void Worker::measure(Time sample) noexcept {
    if (smoothed_ == 0) {
        smoothed_ = sample;
        deviation_ = sample / 2;
    } else {
        deviation_ += (std::abs(smoothed_ - sample) - deviation_) / 4;
        smoothed_ += (sample - smoothed_) / 8;
    }
    timeout_ = std::clamp(smoothed_ + 4 * deviation_, timing_.least, timing_.most);
}

}  // namespace weft::innet
