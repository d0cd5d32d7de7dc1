// A group's part in the sums of an aggregation switch, and what it does when the switch fails it.
//
// Calls go through the switch one after another, in the order of the group's calls. A member is
// done with call k only when the switch has told it that every member has all sums of k
// (innet/worker.h). When a member gives up on the switch in call k, it stops taking results and
// sends a report to every other: which chunks' sums it has. Who is in k does the same, for good;
// who is done with k says so; who has not begun k reports, when it does, that it has none. From the
// reports of all, all draw the same conclusion:
//  - Somebody is done, or all have all sums: the sums stand. (The switch is out of use from the
//  next call on, which then begins with reports at once: who was done hears of it there.)
//  - Else nobody is done, so everybody is here, and every chunk's sum is with somebody, or its
//  input is with everybody. One ordinary all-reduce finishes the call: the lowest rank that has a
//  chunk's sum contributes it and the others zeros; to the rest everybody contributes its input.
//  From then on the group does without the switch, until it is admitted again (innet_admission.h):
//  all members begin anew, with another epoch, at the same call.
// tests/p4/aggregation/test_agreement.py searches all states of this.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "communicator/innet_admission.h"
#include "communicator/schedule_run.h"
#include "engine/engine.h"
#include "innet/worker.h"

namespace weft::communicator {

class Aggregation;

// One all-reduce that goes through the switch, or by its plan after all.
class InnetRun final : public ScheduleRun {
  public:
    InnetRun(std::shared_ptr<Communicator> group, engine::Time deadline,
             std::shared_ptr<const collectives::Plan> plan, Arguments arguments,
             std::uint32_t sequence, std::uint64_t signature, std::int32_t priority,
             Aggregation& aggregation);
    ~InnetRun() override;
    void fail(const ErrorPtr& error) override;

  private:
    friend class Aggregation;
    class Reports;
    class Word;
    enum class Phase : std::uint8_t { kSwitch, kWord, kReports, kSchedule };

    void start(engine::Engine& engine) override;
    std::vector<std::int32_t> waiting_for() const override;
    void watch_all(bool on) noexcept;
    innet::Call call();
    void finish_by_switch();
    void finish_by_schedule();

    Aggregation& aggregation_;
    Phase phase_ = Phase::kSwitch;
    std::unique_ptr<Reports> reports_;
    std::unique_ptr<Word> word_;
};

class Aggregation final : public engine::Poller {
  public:
    // The lane of what members tell each other, among a collective's messages; reports and rank 0's
    // word are numbered beyond any schedule's messages.
    static constexpr std::uint8_t kLane = 255;
    static constexpr std::uint32_t kReport = UINT32_MAX;
    static constexpr std::uint32_t kWord = UINT32_MAX - 1;
    static constexpr bool is_report(std::uint64_t message) noexcept {
        return message >> 63 == 0 &&
               (message & 0xff'ffff'ffff) == (std::uint64_t{kLane} << 32 | kReport);
    }

    struct Counts {
        std::uint64_t by_switch = 0;   // calls
        std::uint64_t finished = 0;    // begun there, and finished by the ranks themselves
        std::uint64_t without = 0;     // while there was no switch
        std::uint64_t admissions = 0;  // grants taken up
    };

    // Without a switch at first.
    Aggregation(Communicator& group, InnetController controller, std::vector<InnetPlace> members,
                InnetSocket socket);
    ~Aggregation();
    Aggregation(const Aggregation&) = delete;
    Aggregation& operator=(const Aggregation&) = delete;

    // Can the switch do it? The same on all ranks, since their arguments are.
    static bool suits(const Arguments& arguments) noexcept;
    InnetAdmission& admission() noexcept { return admission_; }

    // ---- locked ----
    // Does the group do without?
    bool off() const noexcept { return off_; }
    const InnetGrant& grant() const noexcept { return grant_; }
    const Counts& counts() const noexcept { return counts_; }
    // Takes up a grant, or a refusal, from the call with this sequence on; the same on all ranks.
    void admit(const InnetGrant& grant, std::uint32_t from);

    bool poll() override;
    engine::Time next_wakeup() const noexcept override;
    // A report came for which nobody waits here.
    void report_unmatched(std::int32_t from, const datapath::Tag& tag, std::uint64_t signature,
                          std::size_t size);

  private:
    friend class InnetRun;
    struct Drain;
    static constexpr std::size_t kBatch = 32;  // datagrams per system call

    void enqueue(InnetRun& run);
    void withdraw(InnetRun& run);
    void next();
    bool hear_word(InnetRun& run);
    void heard_word(InnetRun& run, const InnetGrant& word);
    void begin(InnetRun& run);
    bool receive(engine::Time now);
    bool transmit(engine::Time now);
    void look();
    void begin_reports(InnetRun& run);
    void answer_done(std::int32_t from, const datapath::Tag& tag, std::uint64_t signature,
                     std::size_t size);
    void conclude(InnetRun& run);
    void mend_output(InnetRun& run);
    bool is_suspect(std::uint32_t sequence) const noexcept {
        return suspect_ && static_cast<std::int32_t>(sequence - suspect_from_) >= 0;
    }

    Communicator& group_;
    InnetAdmission admission_;
    InnetGrant grant_;
    InnetSocket socket_;
    innet::Worker worker_;
    std::deque<InnetRun*> queue_;  // the first is under way
    std::uint32_t done_ = 0;       // sequence of the last call that ended well, plus 1
    std::uint32_t from_ = 0;       // sequence of the first call under this grant
    bool suspect_ = false;         // from some call on: reports at once
    std::uint32_t suspect_from_ = 0;
    bool off_ = true;
    bool polling_ = false;
    Counts counts_;
    std::vector<std::unique_ptr<Drain>> drains_;
    std::vector<std::uint8_t> buffer_;               // kBatch datagrams
    std::array<std::size_t, kBatch> sizes_{};        // theirs
    std::size_t unsent_first_ = 0, unsent_end_ = 0;  // of those in it
};

}  // namespace weft::communicator
