#include "communicator/innet_word.h"

#include "communicator/communicator.h"

namespace weft::communicator {

using datapath::Transfer;

InnetRun::Word::~Word() {
    if (transfer_.state == Transfer::State::kPending) {
        run_.group().peer(0).channel().cancel(transfer_);
    }
}

datapath::Tag InnetRun::Word::tag(const InnetRun& run) noexcept {
    return {.group = run.group().epoch(),
            .message = message_number(run.sequence(), Aggregation::kLane, Aggregation::kWord)};
}

void InnetRun::Word::post() {
    transfer_.tag = tag(run_);
    transfer_.signature = run_.signature();
    transfer_.data = reinterpret_cast<std::byte*>(&grant_);
    transfer_.size = sizeof grant_;
    transfer_.observer = this;
    run_.group().peer(0).channel().recv(transfer_);
}

void InnetRun::Word::transfer_done(Transfer& transfer) noexcept {
    const auto keep = run_.shared_from_this();
    if (transfer.state == Transfer::State::kFailed) {
        run_.group().fail(run_.explain(transfer, 0), true);
        return;
    }
    grant_.reason[sizeof grant_.reason - 1] = '\0';
    const InnetGrant word = grant_;
    run_.aggregation_.heard_word(run_, word);  // and we are gone
}

}  // namespace weft::communicator
