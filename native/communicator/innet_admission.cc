#include "communicator/innet_admission.h"

#include <algorithm>

namespace weft::communicator {
namespace {

constexpr engine::Time kHeld = 8;  // pauses that an admission must last for the next to be short

}  // namespace

bool InnetAdmission::ask_now() noexcept {
    engine::Time at = ask_at_.load(std::memory_order_relaxed);
    return at != engine::kNever && engine::clock_now() >= at &&
           ask_at_.compare_exchange_strong(at, engine::kNever);
}

std::shared_ptr<InnetAsk> InnetAdmission::make_ask(std::shared_ptr<Communicator> group,
                                                   engine::Time patience) const {
    return std::make_shared<InnetAsk>(std::move(group), engine::clock_now() + patience, controller_,
                                      members_);
}

void InnetAdmission::begin(std::string_view why, engine::Time now) {
    why_ = why;
    calls_ = 0;
    if (now - admitted_ >= kHeld * pause_) {
        pause_ = 0;
    }
    end_lease();
    pause(now);
}

void InnetAdmission::pause(engine::Time now) noexcept {
    pause_ = std::clamp(2 * pause_, base_, kLongestPause * base_);
    ask_at_ = now + pause_;
}

InnetGrant InnetAdmission::word(engine::Time now) {
    InnetGrant told;
    if (!ask_ || !ask_->finished()) {
        told.refuse(why_);
        return told;
    }
    told = ask_->grant();
    lease_ = ask_->take_lease();
    ask_.reset();
    if (told.granted == 0) {
        told.refuse("refused: " + told.why());
        pause(now);
    }
    return told;
}

void InnetAdmission::heard(const InnetGrant& word, engine::Time now) {
    if (word.granted != 0) {
        admitted_ = now;
    } else {
        why_ = word.why();
    }
}

}  // namespace weft::communicator
