// What members tell each other about a call when the switch has failed one of them: innet.h says
// what follows from it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "communicator/innet.h"

namespace weft::communicator {

// On the wire: the state in 8 bytes, little-endian, then a bit per chunk whose sum is here.
struct Report {
    static constexpr std::uint64_t kPartial = 1;
    static constexpr std::uint64_t kComplete = 2;
    static constexpr std::uint64_t kDone = 3;

    std::uint64_t state = kPartial;

    void write(std::string& bytes) const;
    static std::size_t size(std::size_t chunks) noexcept { return 8 + (chunks + 7) / 8; }
};

class InnetRun::Reports final : datapath::TransferObserver {
  public:
    Reports(InnetRun& run, const Report& own, const std::vector<std::uint16_t>& have);
    ~Reports();  // takes back what is under way
    Reports(const Reports&) = delete;
    Reports& operator=(const Reports&) = delete;

    // Sends ours and waits for the others'; ends in Aggregation::conclude or the group's failure.
    void post();
    std::vector<std::int32_t> missing() const;

    // Once concluded.
    bool sums_stand() const noexcept { return somebody_done_ || all_complete_; }
    // [chunk] the lowest rank that has its sum, or WEFT_NO_RANK.
    std::vector<std::int32_t> owners() const;

  private:
    void transfer_done(datapath::Transfer& transfer) noexcept override;
    void conclude_if_known();
    std::uint64_t state_of(std::int32_t rank) const noexcept;

    InnetRun& run_;
    std::size_t chunks_;
    std::vector<std::string> reports_;  // [rank]
    std::vector<datapath::Transfer> sends_, receives_;
    std::size_t unsent_ = 0, unheard_ = 0;
    bool somebody_done_ = false;
    bool all_complete_ = false;
    bool posting_ = false;
    ErrorPtr broken_;
};

}  // namespace weft::communicator
