#include "communicator/innet_reports.h"

#include <cstring>

#include "communicator/communicator.h"

namespace weft::communicator {

using datapath::Transfer;

void Report::write(std::string& bytes) const {
    std::memcpy(bytes.data(), &state, std::min(sizeof state, bytes.size()));
}

InnetRun::Reports::Reports(InnetRun& run, const Report& own, const std::vector<std::uint16_t>& have)
    : run_(run), chunks_(have.size()) {
    const auto size = static_cast<std::size_t>(run.group().size());
    reports_.assign(size, std::string(Report::size(chunks_), '\0'));
    sends_.resize(size);
    receives_.resize(size);
    std::string& mine = reports_[static_cast<std::size_t>(run.group().rank())];
    own.write(mine);
    for (std::size_t chunk = 0; chunk < chunks_; ++chunk) {
        if (have[chunk] != 0) {
            char& byte = mine[8 + chunk / 8];
            byte = static_cast<char>(byte | 1 << chunk % 8);
        }
    }
}

InnetRun::Reports::~Reports() {
    for (std::int32_t rank = 0; rank < run_.group().size(); ++rank) {
        for (auto* transfers : {&sends_, &receives_}) {
            Transfer& transfer = (*transfers)[static_cast<std::size_t>(rank)];
            if (transfer.state == Transfer::State::kPending) {
                run_.group().peer(rank).channel().cancel(transfer);
            }
        }
    }
}

void InnetRun::Reports::post() {
    posting_ = true;
    const auto self = static_cast<std::size_t>(run_.group().rank());
    unsent_ = unheard_ = sends_.size() - 1;
    for (std::size_t rank = 0; rank < sends_.size() && !broken_; ++rank) {
        if (rank == self) {
            continue;
        }
        datapath::Channel& channel = run_.group().peer(static_cast<std::int32_t>(rank)).channel();
        for (Transfer* transfer : {&receives_[rank], &sends_[rank]}) {
            const bool sends = transfer == &sends_[rank];
            transfer->tag = {.group = run_.group().epoch(),
                             .message = message_number(run_.sequence(), Aggregation::kLane,
                                                       Aggregation::kReport)};
            transfer->signature = run_.signature();
            transfer->data = reinterpret_cast<std::byte*>(reports_[sends ? self : rank].data());
            transfer->size = reports_[self].size();
            transfer->observer = this;
            sends ? channel.send(*transfer) : channel.recv(*transfer);
        }
    }
    posting_ = false;
    conclude_if_known();
}

void InnetRun::Reports::transfer_done(Transfer& transfer) noexcept {
    const bool sent = &transfer >= sends_.data() && &transfer < sends_.data() + sends_.size();
    const auto rank = static_cast<std::int32_t>(&transfer - (sent ? sends_ : receives_).data());
    if (transfer.state == Transfer::State::kFailed) {
        broken_ = run_.explain(transfer, rank);
    } else if (sent) {
        --unsent_;
    } else {
        --unheard_;
        somebody_done_ |= state_of(rank) == Report::kDone;
    }
    if (!posting_) {
        conclude_if_known();
    }
}

// Nobody's report is cut short: who has not begun the call yet waits for it as well.
void InnetRun::Reports::conclude_if_known() {
    const auto keep = run_.shared_from_this();
    if (broken_) {
        run_.group().fail(broken_, true);
    } else if (unsent_ == 0 && (unheard_ == 0 || somebody_done_)) {
        all_complete_ = unheard_ == 0;
        for (std::int32_t rank = 0; rank < run_.group().size(); ++rank) {
            all_complete_ = all_complete_ && state_of(rank) >= Report::kComplete;
        }
        run_.aggregation_.conclude(run_);
    }
}

std::uint64_t InnetRun::Reports::state_of(std::int32_t rank) const noexcept {
    std::uint64_t state = 0;
    std::memcpy(&state, reports_[static_cast<std::size_t>(rank)].data(), sizeof state);
    return state;
}

std::vector<std::int32_t> InnetRun::Reports::missing() const {
    std::vector<std::int32_t> ranks;
    for (std::size_t rank = 0; rank < receives_.size(); ++rank) {
        if (receives_[rank].state == Transfer::State::kPending) {
            ranks.push_back(static_cast<std::int32_t>(rank));
        }
    }
    return ranks;
}

std::vector<std::int32_t> InnetRun::Reports::owners() const {
    std::vector<std::int32_t> owners(chunks_, WEFT_NO_RANK);
    for (std::size_t chunk = 0; chunk < chunks_; ++chunk) {
        for (std::size_t rank = 0; rank < reports_.size() && owners[chunk] == WEFT_NO_RANK;
             ++rank) {
            if ((reports_[rank][8 + chunk / 8] >> chunk % 8 & 1) != 0) {
                owners[chunk] = static_cast<std::int32_t>(rank);
            }
        }
    }
    return owners;
}

}  // namespace weft::communicator
