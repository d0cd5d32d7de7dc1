// How a group comes by its slots, and comes back to the switch after it had to give it up.
//
// Rank 0 asks the controller when the group is made, and again some time after each failure or
// refusal: a second at first, twice as long every time. Whether, and from which call on, the group
// uses what it was granted is part of the group's order of calls: of the calls that could go
// through a switch but have none, every 16th begins with rank 0's word to all, a grant or "not
// yet". So all members begin anew at the same call, whichever of them is ahead
// (tests/p4/aggregation/test_agreement.py).
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "communicator/innet_ask.h"

namespace weft::communicator {

class InnetAdmission {
  public:
    InnetAdmission(InnetController controller, std::vector<InnetPlace> members, engine::Time base)
        : controller_(std::move(controller)), members_(std::move(members)), base_(base) {}

    // Rank 0, from any thread: is it time to ask? Then says so to nobody else.
    bool ask_now() noexcept;
    static constexpr engine::Time kPatience = 5 * engine::kSecond;  // with a controller, at most
    std::shared_ptr<InnetAsk> make_ask(std::shared_ptr<Communicator> group,
                                       engine::Time patience = kPatience) const;

    // ---- locked ----
    // Rank 0: an answer that word() will tell.
    void asked(std::shared_ptr<InnetAsk> ask) noexcept { ask_ = std::move(ask); }
    // The group does without from the next call on.
    void begin(std::string_view why, engine::Time now);
    // Counts a call that has no switch: does it begin with rank 0's word?
    bool word_is_due() noexcept { return ++calls_ % kCallsBetweenWords == 0; }
    // Rank 0's.
    InnetGrant word(engine::Time now);
    void heard(const InnetGrant& word, engine::Time now);
    // Gives the slots back.
    void end_lease() noexcept { lease_ = InnetSocket(); }

    const std::string& why() const noexcept { return why_; }

  private:
    static constexpr std::uint32_t kCallsBetweenWords = 16;
    static constexpr engine::Time kLongestPause = 64;  // times the shortest

    void pause(engine::Time now) noexcept;

    const InnetController controller_;
    const std::vector<InnetPlace> members_;
    const engine::Time base_;  // the shortest pause
    engine::Time pause_ = 0;
    engine::Time admitted_ = 0;
    std::atomic<engine::Time> ask_at_{engine::kNever};
    std::shared_ptr<InnetAsk> ask_;  // under way, or answered and not yet told
    InnetSocket lease_;
    std::uint32_t calls_ = 0;
    std::string why_;
};

}  // namespace weft::communicator
