// Rank 0's word on whether the group has a switch again, awaited by the others (innet_admission.h).
#pragma once

#include "communicator/innet.h"

namespace weft::communicator {

class InnetRun::Word final : datapath::TransferObserver {
  public:
    explicit Word(InnetRun& run) : run_(run) {}
    ~Word();  // takes back what is under way
    Word(const Word&) = delete;
    Word& operator=(const Word&) = delete;

    static datapath::Tag tag(const InnetRun& run) noexcept;
    // Ends in Aggregation::heard_word or the group's failure.
    void post();

  private:
    void transfer_done(datapath::Transfer& transfer) noexcept override;

    InnetRun& run_;
    InnetGrant grant_;
    datapath::Transfer transfer_;
};

}  // namespace weft::communicator
