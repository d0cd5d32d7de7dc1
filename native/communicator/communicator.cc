#include "communicator/communicator.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "collectives/algorithms/algorithm.h"
#include "collectives/verify.h"
#include "communicator/flat.h"
#include "communicator/innet.h"
#include "communicator/schedule_run.h"
#include "communicator/signature.h"

namespace weft::communicator {
namespace {

using datapath::Transfer;
using engine::Operation;
using engine::Time;

constexpr std::uint64_t kNoticeMessage = (std::uint64_t{1} << 62) | 2;
constexpr std::size_t kTypicalAllToAllV = 1 << 16;  // elements

// What a failing member tells the others.
struct NoticeBytes {
    std::int32_t status = 0;
    std::int32_t culprit = WEFT_NO_RANK;
    char text[504] = {};
};

ErrorPtr with_rank(const ErrorInfo& info, std::int32_t rank, std::string message) {
    return std::make_shared<const ErrorInfo>(
        ErrorInfo{info.status, std::move(message), info.peer_id, rank});
}

}  // namespace

// An incoming notice while its bytes arrive.
struct Communicator::Notice final : datapath::TransferObserver {
    Notice(Communicator& group, std::int32_t from) : group(group), from(from) {}
    void transfer_done(Transfer& transfer) noexcept override {
        ended = true;
        if (transfer.state != Transfer::State::kDone) {
            return;
        }
        bytes.text[sizeof bytes.text - 1] = '\0';
        ErrorInfo info{static_cast<weft_status>(bytes.status),
                       "rank " + std::to_string(from) + " reports: " + bytes.text, 0,
                       bytes.culprit};
        if (info.status >= WEFT_OK || info.status < WEFT_ERR_INTERNAL) {
            info.status = WEFT_ERR_INTERNAL;
        }
        if (bytes.culprit >= 0 && bytes.culprit < group.size()) {
            info.peer_id = group.members_[static_cast<std::size_t>(bytes.culprit)].peer;
        }
        group.fail(std::make_shared<const ErrorInfo>(std::move(info)), false);
    }
    Communicator& group;
    const std::int32_t from;
    NoticeBytes bytes;
    Transfer transfer;
    bool ended = false;
};

// ---------------------------------------------------------------- life

void CommunicatorOptions::choose_algorithms(std::string_view text) {
    while (!text.empty()) {
        const std::size_t comma = std::min(text.find(','), text.size());
        const std::string_view item = text.substr(0, comma);
        const std::size_t equals = item.find('=');
        if (equals == std::string_view::npos) {
            throw Error(WEFT_ERR_INVALID, "algorithms: \"" + std::string(item) +
                                              "\" is not of the form collective=algorithm");
        }
        const std::string_view name = item.substr(equals + 1);
        if (item.substr(0, equals) == "innet") {
            innet = name;
        } else if (item == "all_reduce=innet") {
            innet_asked = true;
        } else if (item.substr(0, equals) == "plan") {
            try {
                plan = planner::parse_strategy(name);
            } catch (const planner::PlanError& error) {
                throw Error(WEFT_ERR_INVALID, std::string("algorithms: ") + error.what());
            }
        } else {
            algorithms[collectives::collective_from_name(item.substr(0, equals))] = name;
        }
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
}

Communicator::Communicator(std::shared_ptr<engine::Context> context, std::uint64_t group,
                           std::int32_t rank, std::vector<engine::Address> members,
                           CommunicatorOptions options)
    : context_(std::move(context)),
      group_(group),
      rank_(rank),
      members_(std::move(members)),
      options_(std::move(options)),
      peers_(members_.size()),
      plans_(static_cast<std::int32_t>(members_.size()), rank) {
    if (options_.timeout <= 0) {
        options_.timeout = context_->options().timeout;
    }
    if (options_.connect_timeout <= 0) {
        options_.connect_timeout = context_->options().connect_timeout;
    }
}

void Communicator::close() {
    if (context_->engine().abandoned()) {
        return;
    }
    context_->engine().call([this] {
        fail(make_error(WEFT_ERR_ABORTED, "group \"" + options_.name + "\" was destroyed here"),
             false);
        if (!closed_) {
            closed_ = true;
            context_->mesh().remove_group(group_);
            for (auto& notice : notices_) {
                if (engine::Peer* peer = peers_[static_cast<std::size_t>(notice->from)]) {
                    peer->channel().cancel(notice->transfer);
                }
            }
            notices_.clear();
            flat_.reset();
            aggregation_.reset();
        }
    });
}

// The doors close before they let go; operations keep the group alive, so here nothing of it is
// under way.
Communicator::~Communicator() = default;

ErrorPtr Communicator::error() const {
    return context_->engine().call([this] { return failure_; });
}

bool Communicator::is_open(std::int32_t rank) const noexcept {
    const engine::Peer* peer = peers_[static_cast<std::size_t>(rank)];
    return peer != nullptr && peer->state() == engine::Peer::State::kOpen;
}

std::int32_t Communicator::rank_of(datapath::PeerId id) const noexcept {
    const auto it = std::find_if(members_.begin(), members_.end(),
                                 [id](const auto& member) { return member.peer == id; });
    return it == members_.end() ? WEFT_NO_RANK : static_cast<std::int32_t>(it - members_.begin());
}

// ---------------------------------------------------------------- failure

void Communicator::fail(const ErrorPtr& error, bool tell) {
    if (failure_) {
        return;
    }
    const auto keep = weak_from_this().lock();
    failure_ = error;
    if (tell) {
        NoticeBytes notice{.status = error->status, .culprit = error->peer_rank};
        error->message.copy(notice.text, sizeof notice.text - 1);
        const std::string bytes(reinterpret_cast<const char*>(&notice), sizeof notice);
        for (std::int32_t rank = 0; rank < size(); ++rank) {
            if (rank != rank_ && is_open(rank)) {
                context_->mesh().send_detached(peer(rank), {group_, kNoticeMessage}, 0, bytes);
            }
        }
    }
    while (!running_.empty()) {
        running_.back()->fail(error);  // takes itself off the list
    }
}

void Communicator::peer_failed(engine::Peer& peer, const ErrorPtr& error) {
    const std::int32_t rank = rank_of(peer.id());
    if (rank != WEFT_NO_RANK) {
        fail(with_rank(*error, rank,
                       "group \"" + options_.name + "\" lost rank " + std::to_string(rank) + ": " +
                           error->message),
             true);
    }
}

void Communicator::abort(const std::string& reason) {
    context_->engine().call([&] {
        fail(with_rank({WEFT_ERR_ABORTED, "", context_->mesh().self(), WEFT_NO_RANK}, rank_,
                       "group \"" + options_.name + "\" was aborted by rank " +
                           std::to_string(rank_) + (reason.empty() ? "" : ": " + reason)),
             true);
    });
}

void Communicator::message_unmatched(engine::Peer& peer, const datapath::Tag& tag,
                                     std::uint64_t signature, std::size_t size) {
    const std::int32_t from = rank_of(peer.id());
    if (from == WEFT_NO_RANK) {
        return;
    }
    if ((tag.message & kPointToPointBit) != 0) {
        p2p_.unmatched(from, tag.message);
    } else if (aggregation_ && Aggregation::is_report(tag.message)) {
        aggregation_->report_unmatched(from, tag, signature, size);
    } else if (tag.message == kNoticeMessage && size == sizeof(NoticeBytes)) {
        notices_.push_back(std::make_unique<Notice>(*this, from));
        Notice& notice = *notices_.back();
        notice.transfer.tag = tag;
        notice.transfer.data = reinterpret_cast<std::byte*>(&notice.bytes);
        notice.transfer.size = sizeof notice.bytes;
        notice.transfer.observer = &notice;
        peer.channel().recv(notice.transfer);
    }
}

// ---------------------------------------------------------------- operations

Time Communicator::deadline(Time timeout) const {
    return engine::deadline_after(engine::clock_now(), timeout > 0 ? timeout : options_.timeout);
}

bool Communicator::by_switch(const Arguments& arguments, const OperationOptions& options) const {
    if (options.algorithm == "innet") {
        if (arguments.collective != Collective::kAllReduce) {
            throw Error(WEFT_ERR_INVALID, "a switch sums all_reduce only, not " +
                                              std::string(collective_name(arguments.collective)));
        }
        if (options_.innet.empty()) {
            throw Error(WEFT_ERR_INVALID,
                        "algorithm innet: group \"" + options_.name +
                            "\" knows no aggregation switch; give WEFT_INNET=host:port of its "
                            "controller (or the option innet=host:port)");
        }
    }
    if (aggregation_ == nullptr || !Aggregation::suits(arguments)) {
        return false;
    }
    if (!options.algorithm.empty() || options_.algorithms.contains(arguments.collective)) {
        return options.algorithm == "innet";
    }
    const std::size_t element = weft_dtype_size(arguments.dtype);
    return tuner_->by_switch(arguments.count * element, element);
}

bool Communicator::fits_flat(const Arguments& arguments,
                             const OperationOptions& options) const noexcept {
    return flat_ != nullptr && options.algorithm.empty() &&
           !options_.algorithms.contains(arguments.collective) &&
           FlatBoard::fits(arguments, size());
}

std::shared_ptr<Operation> Communicator::start(Arguments arguments,
                                               const OperationOptions& options) {
    check(arguments, size(), rank_);
    const bool by_switch = this->by_switch(arguments, options);
    std::shared_ptr<GroupOperation> operation;
    if (fits_flat(arguments, options)) {
        operation = std::make_shared<FlatRun>(shared_from_this(), *flat_, deadline(options.timeout),
                                              std::move(arguments), FlatState{});
    } else {
        if (by_switch) {
            ask_for_switch();
        }
        const collectives::Tuner::Choice choice = choose(arguments, options);
        auto plan =
            plans_.get(choice.algorithm, arguments.collective, arguments.root, choice.slices);
        std::lock_guard order(order_);
        const std::uint64_t call = make_signature(arguments);
        const std::uint64_t signature = with_history(call, history_);
        history_ = (history_ ^ call) * 1099511628211u;  // FNV-1a
        const Time end = deadline(options.timeout);
        const std::uint32_t number = sequence_++;
        if (by_switch) {
            operation = std::make_shared<InnetRun>(shared_from_this(), end, std::move(plan),
                                                   std::move(arguments), number, signature,
                                                   options.priority, *aggregation_);
        } else {
            operation = std::make_shared<ScheduleRun>(shared_from_this(), end, std::move(plan),
                                                      std::move(arguments), number, signature,
                                                      options.priority);
        }
    }
    context_->engine().submit(operation, options.background);
    return operation;
}

// Rank 0 asks while the call takes its course.
void Communicator::ask_for_switch() {
    if (rank_ != 0 || !aggregation_->admission().ask_now()) {
        return;
    }
    engine::Engine& engine = context_->engine();
    const auto ask = aggregation_->admission().make_ask(shared_from_this());
    engine.call([&] { aggregation_->admission().asked(ask); });
    engine.submit(ask, true);
}

void Communicator::run(const Arguments& arguments, const OperationOptions& options) {
    engine::Engine& engine = context_->engine();
    std::shared_ptr<Operation> operation;
    if (fits_flat(arguments, options)) {
        check(arguments, size(), rank_);
        FlatState state;
        ErrorPtr error;
        bool busy = false;
        const bool done = engine.spin_on([&] {
            if (state.sequence == 0) {
                error = failure_;
                busy = !flat_->idle();
                if (error || busy) {
                    return true;
                }
                state = flat_->begin_foreground(arguments);
            }
            if (!flat_->advance(state, error)) {
                return false;
            }
            flat_->end_foreground();
            if (error) {
                fail(error, true);
            }
            return true;
        });
        if (done && error) {
            throw Error(error);
        }
        if (done && !busy) {
            return;
        }
        operation = std::make_shared<FlatRun>(shared_from_this(), *flat_, deadline(options.timeout),
                                              arguments, state);
        engine.submit(operation, false);
    } else {
        operation = start(arguments, options);
    }
    engine.wait(*operation, engine::deadline_after(operation->deadline(), engine::kSecond));
    if (operation->error()) {
        throw Error(operation->error());
    }
}

std::shared_ptr<Operation> Communicator::send(const void* data, std::size_t length, std::int32_t to,
                                              std::uint32_t tag, const OperationOptions& options) {
    return message(Message::Direction::kSend, static_cast<std::byte*>(const_cast<void*>(data)),
                   length, to, tag, options);
}

std::shared_ptr<Operation> Communicator::recv(void* data, std::size_t length, std::int32_t from,
                                              std::uint32_t tag, const OperationOptions& options) {
    return message(Message::Direction::kReceive, static_cast<std::byte*>(data), length, from, tag,
                   options);
}

std::shared_ptr<Operation> Communicator::message(Message::Direction direction, std::byte* data,
                                                 std::size_t length, std::int32_t rank,
                                                 std::uint32_t tag,
                                                 const OperationOptions& options) {
    const bool any = direction == Message::Direction::kReceive && rank == WEFT_ANY_SOURCE;
    if (!any && (rank < 0 || rank >= size() || rank == rank_)) {
        throw Error(WEFT_ERR_INVALID,
                    (direction == Message::Direction::kSend ? "send to rank " : "recv from rank ") +
                        std::to_string(rank) + ": the other ranks of group \"" + options_.name +
                        "\" are 0.." + std::to_string(size() - 1) + " except " +
                        std::to_string(rank_));
    }
    if (data == nullptr && length > 0) {
        throw Error(WEFT_ERR_INVALID,
                    "send/recv: the buffer is NULL but its length is " + std::to_string(length));
    }
    auto operation =
        std::make_shared<Message>(shared_from_this(), deadline(options.timeout), direction, data,
                                  length, rank, tag, options.priority);
    context_->engine().submit(operation, options.background);
    return operation;
}

collectives::Tuner::Choice Communicator::choose(const Arguments& a,
                                                const OperationOptions& options) const {
    std::size_t elements = a.count;
    switch (a.collective) {
        case Collective::kAllGatherV:
        case Collective::kReduceScatterV:
            elements = std::accumulate(a.send_counts.begin(), a.send_counts.end(), std::size_t{0});
            break;
        case Collective::kAllToAllV:
            elements = kTypicalAllToAllV;  // each rank has its own total, but all must choose alike
            break;
        case Collective::kAllReduce:
        case Collective::kReduce:
        case Collective::kBroadcast:
        case Collective::kBarrier:
            break;
        default:
            elements *= static_cast<std::size_t>(size());
    }
    collectives::Tuner::Choice choice =
        tuner_->choose(a.collective, elements * weft_dtype_size(a.dtype));
    if (!options.algorithm.empty() && options.algorithm != "innet" &&
        options.algorithm != choice.algorithm) {
        choice = {options.algorithm, 1};
    }
    return choice;
}

std::string Communicator::explain(Collective collective, std::size_t bytes) const {
    const bool sums = collective == Collective::kAllReduce && !options_.innet.empty();
    bool on = false;
    const std::string state = sums ? switch_state(on) + ", " : "";
    std::string schedules = collectives::to_json(tuner_->explain(collective, bytes, on));
    schedules.insert(1, state);
    const Arguments typical{.collective = collective,
                            .count = bytes / static_cast<std::size_t>(size())};
    if (!fits_flat(typical, {}) || bytes > FlatBoard::kCapacity) {
        return schedules;
    }
    return "{\"collective\":\"" + std::string(collective_name(collective)) +
           "\",\"size\":" + std::to_string(size()) + ",\"bytes\":" + std::to_string(bytes) +
           ",\"chosen\":\"boards\",\"slices\":1,\"reason\":\"all ranks are on this host and every "
           "contribution fits into a board of " +
           std::to_string(FlatBoard::kCapacity) +
           " bytes, so no message is needed\",\"candidates\":[],\"otherwise\":" + schedules + "}";
}

// What became of the group's switch, as members of a JSON object.
std::string Communicator::switch_state(bool& on) const {
    if (aggregation_ == nullptr) {
        on = false;
        return "\"innet\": \"refused: " + innet_refusal_ + "\"";
    }
    return context_->engine().call([&] {
        const Aggregation::Counts& counts = aggregation_->counts();
        on = !aggregation_->off();
        const InnetGrant& grant = aggregation_->grant();
        return "\"innet\": \"" +
               (on ? std::to_string(grant.slots) + " slots of " + std::to_string(grant.values) +
                         " values"
                   : aggregation_->admission().why()) +
               "\", \"innet_calls\": {\"by_switch\": " + std::to_string(counts.by_switch) +
               ", \"finished_without\": " + std::to_string(counts.finished) +
               ", \"without\": " + std::to_string(counts.without) +
               ", \"admissions\": " + std::to_string(counts.admissions) + "}";
    });
}

void Communicator::register_schedule(const collectives::Schedule& schedule) {
    collectives::verify(schedule);
    plans_.add(schedule);
}

}  // namespace weft::communicator
