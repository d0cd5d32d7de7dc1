#include "communicator/group_operation.h"

#include "communicator/communicator.h"
#include "communicator/signature.h"

namespace weft::communicator {
namespace {

std::string seconds(engine::Time time) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3g s", static_cast<double>(time) / 1e9);
    return text;
}

}  // namespace

GroupOperation::GroupOperation(std::shared_ptr<Communicator> group, engine::Time deadline)
    : Operation(deadline), group_(std::move(group)), started_(engine::clock_now()) {}

GroupOperation::~GroupOperation() = default;

void GroupOperation::enter() {
    group_->enter(*this);
    if (group_->failure()) {
        leave(group_->failure());
    }
}

void GroupOperation::leave(ErrorPtr error) {
    group_->leave(*this);
    finish(std::move(error));
}

ErrorPtr GroupOperation::timeout_error() const {
    std::string text = "rank " + std::to_string(group_->rank()) + ": " + describe() +
                       " in group \"" + group_->name() + "\" was not done after " +
                       seconds(deadline() - started_) + "; ";
    const std::vector<std::int32_t> ranks = waiting_for();
    if (ranks.empty()) {
        text += "nobody has sent what it waits for";
    } else {
        text += ranks.size() == 1 ? "waiting for rank " : "waiting for ranks ";
        for (std::size_t i = 0; i < ranks.size(); ++i) {
            text += (i > 0 ? ", " : "") + std::to_string(ranks[i]);
        }
    }
    text += ". Did every rank make the same calls? (a longer deadline: the `timeout` option)";
    ErrorInfo info{WEFT_ERR_TIMEOUT, std::move(text), 0, WEFT_NO_RANK};
    if (!ranks.empty()) {
        info.peer_rank = ranks.front();
        info.peer_id = group_->peer(ranks.front()).id();
    }
    return std::make_shared<const ErrorInfo>(std::move(info));
}

ErrorPtr GroupOperation::explain(const datapath::Transfer& transfer, std::int32_t peer_rank) const {
    const ErrorInfo& cause = *transfer.error;
    ErrorInfo info{cause.status, "", group_->peer(peer_rank).id(), peer_rank};
    const std::string here = "rank " + std::to_string(group_->rank());
    const std::string there = "rank " + std::to_string(peer_rank);
    if (cause.status == WEFT_ERR_MISMATCH) {
        info.message = "the ranks of group \"" + group_->name() + "\" do not agree: " + here +
                       " called " + describe() + ", " + there + " ";
        if (transfer.peer_signature != transfer.signature) {
            info.message += "called " + describe_signature(transfer.peer_signature);
            if (same_call(transfer.peer_signature, transfer.signature)) {
                info.message += "; an earlier call differed between them, perhaps in its root";
            }
        } else {
            info.message += "sent " + std::to_string(transfer.peer_size) + " bytes where " +
                            std::to_string(transfer.size) + " were expected";
        }
    } else {
        info.message = here + ": " + describe() + " in group \"" + group_->name() +
                       "\" failed with " + there + ": " + cause.message;
    }
    return std::make_shared<const ErrorInfo>(std::move(info));
}

}  // namespace weft::communicator
