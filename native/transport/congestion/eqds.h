// EQDS, receiver-driven (Olteanu et al., "An edge-queued datagram service for all datacenter
// traffic", NSDI 2022, sections 3 and 4; Ultra Ethernet's RCCC): the sender says how much it has to
// send, the receiver hands out credits at the pace of its own links to all who ask
// (credit_pacer.h), and nothing leaves without credit but the first bytes after a pause, which go
// unasked so that short messages need not wait a round trip. An incast then queues at its senders.
//
// Invariants: bytes sent never exceed the credit granted and the unasked allowance; demand is a
// running total, in the units of the receiver's credit.
#pragma once

#include <algorithm>

#include "transport/congestion/congestion.h"

namespace weft::transport {

// Parameters (defaults): `initial_window` (64 chunks, or the window) that may leave unasked after a
// pause, about a bandwidth-delay product; `patience_us` (0: rto_min) after which an unanswered
// demand is repeated, doubling.
class Eqds final : public CongestionControl {
  public:
    Eqds(ParameterReader& parameters, const PolicyContext& context)
        : chunk_(context.chunk_size),
          unasked_(static_cast<std::int64_t>(context.chunk_size *
                                             parameters.number("initial_window",
                                                               std::min<double>(context.window, 64),
                                                               1, 1 << 20))),
          patience_(static_cast<Time>(static_cast<double>(kMicrosecond) *
                                      parameters.number("patience_us", 0, 0, 1e7))),
          granted_(static_cast<std::int64_t>(context.credited)),
          demanded_(granted_) {
        if (patience_ == 0) {
            patience_ = context.rto_min;
        }
        rest();
    }

    void on_sent(Time, PathId, std::uint32_t bytes) override {
        spent_ += bytes;
        in_flight_ += bytes;
    }
    void on_ack(const AckSample& sample, std::span<Path>) override {
        in_flight_ = sample.in_flight;
    }
    void on_loss(const LossSample& sample, std::span<Path>) override {
        in_flight_ -= std::min(in_flight_, sample.bytes);
    }

    bool by_credit() const override { return true; }

    void on_credit(Time now, std::uint64_t total) override {
        const std::int64_t credit =
            static_cast<std::int64_t>(std::min<std::uint64_t>(total, INT64_MAX));
        if (credit > granted_) {
            granted_ = std::min(credit, demanded_);  // nobody gives more than was asked for
            unanswered_ = 0;
            due_ = now + patience_;
        }
    }

    std::uint64_t poll_demand(Time now, std::uint64_t backlog) override {
        if (backlog == 0 && in_flight_ == 0) {
            rest();
            return 0;
        }
        const std::int64_t missing = static_cast<std::int64_t>(backlog) - allowance();
        if (missing <= 0) {
            due_ = kNever;
            return 0;
        }
        const std::int64_t total = granted_ + missing;
        const bool more =
            total >= demanded_ + chunk_ || (total > demanded_ && granted_ == demanded_);
        if (!more && due_ == kNever) {
            due_ = now + patience_;  // asked for before, and still to come
        }
        if (!more && now < due_) {
            return 0;
        }
        if (!more && ++unanswered_ >= kPatientFor) {
            unasked_credit_ += chunk_;  // whoever never answers gets a chunk now and then
        }
        due_ = now + (patience_ << std::min(unanswered_, kMaxBackoff));
        demanded_ = std::max(demanded_, total);
        return static_cast<std::uint64_t>(demanded_);
    }

    std::uint64_t window() const override {
        return in_flight_ + static_cast<std::uint64_t>(std::max<std::int64_t>(allowance(), 0));
    }

    Time next_timeout() const override { return due_; }

  private:
    static constexpr int kPatientFor = 4;
    static constexpr int kMaxBackoff = 6;

    std::int64_t allowance() const { return granted_ + unasked_credit_ - spent_; }

    // A pause: credits left over are void, and the next start is free again.
    void rest() {
        unasked_credit_ = spent_ + unasked_ - granted_;
        due_ = kNever;
        unanswered_ = 0;
    }

    const std::int64_t chunk_;
    const std::int64_t unasked_;  // bytes
    Time patience_;
    std::int64_t granted_;             // by the receiver, total
    std::int64_t demanded_;            // of the receiver, total
    std::int64_t unasked_credit_ = 0;  // what we grant ourselves, total (less what went void)
    std::int64_t spent_ = 0;           // bytes ever sent
    std::uint64_t in_flight_ = 0;
    Time due_ = kNever;  // when an unanswered demand is repeated
    int unanswered_ = 0;
};

}  // namespace weft::transport
