#include "communicator/establish.h"

#include "communicator/communicator.h"

namespace weft::communicator {
namespace {

using datapath::Transfer;

constexpr std::uint64_t kGreetingMessage = (std::uint64_t{1} << 62) | 1;

}  // namespace

Establish::Establish(std::shared_ptr<Communicator> group, engine::Time deadline, Greeting own)
    : GroupOperation(std::move(group), deadline), own_(own) {
    const auto size = static_cast<std::size_t>(this->group().size());
    heard_.resize(size);
    sends_.resize(size);
    receives_.resize(size);
    heard_[static_cast<std::size_t>(own.rank)] = own;
}

Establish::~Establish() = default;

std::string Establish::describe() const {
    return "making the group";
}

void Establish::start(engine::Engine&) {
    enter();
    engine::Mesh& mesh = group().context().mesh();
    mesh.add_group(group().epoch(), group());
    for (std::int32_t rank = 0; rank < group().size(); ++rank) {
        if (rank != group().rank()) {
            group().peers_[static_cast<std::size_t>(rank)] =
                &mesh.want(group().members_[static_cast<std::size_t>(rank)], deadline(), false);
        }
    }
    pending_ = 2 * static_cast<std::size_t>(group().size() - 1);
    mesh.watch_changes(this, [this] { look(); });
    look();
}

// Greets whoever has opened meanwhile.
void Establish::look() {
    const auto keep = shared_from_this();
    for (std::int32_t rank = 0; rank < group().size() && !finished(); ++rank) {
        const auto index = static_cast<std::size_t>(rank);
        if (rank == group().rank() || sends_[index].observer != nullptr) {
            continue;
        }
        const engine::Peer& peer = group().peer(rank);
        if (peer.state() == engine::Peer::State::kFailed) {
            ErrorInfo info = *peer.error();
            info.peer_rank = rank;
            info.message = "rank " + std::to_string(group().rank()) + ": group \"" +
                           group().name() + "\" cannot be made, rank " + std::to_string(rank) +
                           " is out of reach: " + info.message;
            group().fail(std::make_shared<const ErrorInfo>(std::move(info)), true);
            return;
        }
        if (peer.state() != engine::Peer::State::kOpen) {
            continue;
        }
        for (Transfer* transfer : {&sends_[index], &receives_[index]}) {
            const bool send = transfer == &sends_[index];
            transfer->tag = {.group = group().epoch(), .message = kGreetingMessage};
            transfer->data = reinterpret_cast<std::byte*>(send ? &own_ : &heard_[index]);
            transfer->size = sizeof(Greeting);
            transfer->observer = this;
        }
        peer.channel().watch(true);
        peer.channel().recv(receives_[index]);
        if (!finished()) {
            peer.channel().send(sends_[index]);
        }
    }
    if (pending_ == 0 && !finished()) {
        end(nullptr);
    }
}

void Establish::transfer_done(Transfer& transfer) noexcept {
    const bool received =
        &transfer >= receives_.data() && &transfer < receives_.data() + receives_.size();
    const auto rank =
        static_cast<std::int32_t>(&transfer - (received ? receives_.data() : sends_.data()));
    const auto keep = shared_from_this();
    if (transfer.state == Transfer::State::kFailed) {
        group().fail(explain(transfer, rank), true);
        return;
    }
    --pending_;
    const Greeting& theirs = heard_[static_cast<std::size_t>(rank)];
    if (received && (theirs.size != own_.size || theirs.rank != rank ||
                     theirs.members != own_.members || theirs.tuning != own_.tuning)) {
        const std::string what =
            theirs.tuning != own_.tuning && theirs.members == own_.members
                ? "other tuning options (WEFT_ALGORITHMS and the like must be equal everywhere)"
                : "another list of members";
        group().fail(
            make_error(WEFT_ERR_MISMATCH,
                       "group \"" + group().name() + "\": rank " + std::to_string(rank) +
                           " was given " + what + " than rank " + std::to_string(group().rank()),
                       group().peer(rank).id()),
            true);
        return;
    }
    if (pending_ == 0) {
        end(nullptr);
    }
}

void Establish::end(ErrorPtr error) {
    group().context().mesh().unwatch_changes(this);
    for (std::int32_t rank = 0; rank < group().size(); ++rank) {
        const auto index = static_cast<std::size_t>(rank);
        if (rank == group().rank() || group().peers_[index] == nullptr) {
            continue;
        }
        engine::Peer& peer = group().peer(rank);
        if (sends_[index].observer != nullptr) {
            peer.channel().cancel(sends_[index]);
            peer.channel().cancel(receives_[index]);
            peer.channel().watch(false);
        } else if (error && peer.state() == engine::Peer::State::kConnecting) {
            group().context().mesh().give_up(peer);
            group().peers_[index] = nullptr;
        }
    }
    leave(std::move(error));
}

void Establish::fail(const ErrorPtr& error) {
    end(error);
}

std::vector<std::int32_t> Establish::waiting_for() const {
    std::vector<std::int32_t> ranks;
    for (std::int32_t rank = 0; rank < group().size(); ++rank) {
        const auto index = static_cast<std::size_t>(rank);
        if (rank != group().rank() && receives_[index].state != Transfer::State::kDone) {
            ranks.push_back(rank);
        }
    }
    return ranks;
}

ErrorPtr Establish::timeout_error() const {
    const std::vector<std::int32_t> ranks = waiting_for();
    std::string names;
    for (std::int32_t rank : ranks) {
        names += (names.empty() ? "" : ", ") + std::to_string(rank);
    }
    ErrorInfo info{WEFT_ERR_UNREACHABLE,
                   "rank " + std::to_string(group().rank()) + ": group \"" + group().name() +
                       "\" cannot be made: rank" + (ranks.size() == 1 ? " " : "s ") + names +
                       " never came. Was it started, does it know the same secret, do firewalls "
                       "let UDP through?",
                   0, ranks.empty() ? WEFT_NO_RANK : ranks.front()};
    if (!ranks.empty()) {
        info.peer_id = group().members_[static_cast<std::size_t>(ranks.front())].peer;
    }
    return std::make_shared<const ErrorInfo>(std::move(info));
}

}  // namespace weft::communicator
