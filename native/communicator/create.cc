// How groups come to life, and beget others.
#include <algorithm>
#include <array>
#include <cstring>
#include <thread>

#include "collectives/algorithms/algorithm.h"
#include "collectives/cost_file.h"
#include "communicator/communicator.h"
#include "communicator/establish.h"
#include "communicator/flat.h"
#include "communicator/innet.h"
#include "communicator/measure.h"
#include "wire/siphash.h"

namespace weft::communicator {
namespace {

using engine::Time;

constexpr int kSumsMeasured = 3;            // the least of their times counts: noise only adds
constexpr std::size_t kRoundsMeasured = 4;  // of all slots, in a long one

std::uint64_t fingerprint(const std::string& text) {
    return wire::siphash({}, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

}  // namespace

std::shared_ptr<Communicator> Communicator::create(std::shared_ptr<engine::Context> context,
                                                   std::uint64_t group, std::int32_t rank,
                                                   std::vector<engine::Address> members,
                                                   CommunicatorOptions options) {
    const auto size = static_cast<std::int32_t>(members.size());
    if (size < 1 || rank < 0 || rank >= size) {
        throw Error(WEFT_ERR_INVALID,
                    "rank " + std::to_string(rank) + " is not in 0.." + std::to_string(size - 1));
    }
    if (group < engine::kFirstGroup) {
        throw Error(WEFT_ERR_INVALID,
                    "the group number must not be below 2^40: draw a random one and give it to all "
                    "members");
    }
    if (members[static_cast<std::size_t>(rank)].peer != context->mesh().self()) {
        throw Error(WEFT_ERR_INVALID, "the address at rank " + std::to_string(rank) +
                                          " is not this process's: is the rank right?");
    }
    std::string ids;
    for (const engine::Address& member : members) {
        if (std::count_if(members.begin(), members.end(),
                          [&](const auto& other) { return other.peer == member.peer; }) != 1) {
            throw Error(WEFT_ERR_INVALID, "the same process stands in the list of addresses twice");
        }
        ids += std::to_string(member.peer) + " ";
    }
    std::string tuning;
    for (const auto& [collective, algorithm] : options.algorithms) {
        tuning += std::string(collectives::collective_name(collective)) + "=" + algorithm + ",";
        collectives::find_algorithm(algorithm, collective);
    }

    if (options.innet_asked && options.innet.empty()) {
        throw Error(WEFT_ERR_INVALID,
                    "all_reduce=innet: give WEFT_INNET=host:port of an aggregation switch's "
                    "controller (or the option innet=host:port)");
    }
    tuning += "innet=" + options.innet;
    if (!options.innet.empty()) {
        static_cast<void>(InnetController::parse(options.innet));
    }

    std::shared_ptr<Communicator> self(
        new Communicator(std::move(context), group, rank, std::move(members), std::move(options)));
    engine::Engine& engine = self->context_->engine();
    datapath::ShmDatapath* shm = self->context_->shm();
    if (shm != nullptr && size > 1) {
        self->flat_ = engine.call([&] { return std::make_unique<FlatBoard>(*self, *shm); });
    }
    Greeting own{
        .rank = rank, .size = size, .members = fingerprint(ids), .tuning = fingerprint(tuning)};
    own.processors = static_cast<std::int32_t>(std::max(1U, std::thread::hardware_concurrency()));
    own.board = self->flat_ ? self->flat_->offset() : 0;
    own.board_bytes = self->flat_ ? self->flat_->bytes() : 0;
    const Time deadline =
        engine::deadline_after(engine::clock_now(), self->options_.connect_timeout);
    const auto establish = std::make_shared<Establish>(self, deadline, own);
    self->complete(establish);
    std::int32_t processors = own.processors;
    for (std::int32_t r = 0; r < size; ++r) {
        processors = std::min(processors, establish->greeting(r).processors);
    }
    self->make_tuner(processors, deadline);
    engine.call([&] {
        bool everywhere = self->flat_ != nullptr;
        for (std::int32_t r = 0; r < size && everywhere; ++r) {
            const Greeting& greeting = establish->greeting(r);
            everywhere = greeting.board_bytes > 0 &&
                         (r == rank || (self->peer(r).channel().datapath() == "shm" &&
                                        self->flat_->attach(r, self->peer(r).id(), greeting.board,
                                                            greeting.board_bytes)));
        }
        if (!everywhere) {
            self->flat_.reset();
        }
    });
    if (!self->options_.innet.empty() && size > 1) {
        self->join_switch(deadline);
    }
    return self;
}

// Every rank tells where its packets come from, rank 0 asks for slots, and tells all what it got:
// all of them use the switch, or none.
void Communicator::join_switch(Time deadline) {
    const InnetController controller = InnetController::parse(options_.innet);
    InnetPlace mine;
    InnetSocket socket = controller.open_socket(mine);
    std::vector<InnetPlace> places(members_.size());
    OperationOptions patience;
    patience.timeout = std::max<Time>(deadline - engine::clock_now(), 1);
    try {
        run({.collective = Collective::kAllGather,
             .input = reinterpret_cast<const std::byte*>(&mine),
             .output = reinterpret_cast<std::byte*>(places.data()),
             .count = sizeof mine},
            patience);
        const auto lost = std::ranges::find(places, 0U, &InnetPlace::ip);
        if (lost != places.end()) {
            innet_refusal_ = "rank " + std::to_string(lost - places.begin()) + " has no way to " +
                             controller.host;
        } else if (places.size() > innet::kMaxWorkers) {
            innet_refusal_ = std::to_string(places.size()) + " ranks are more than the " +
                             std::to_string(innet::kMaxWorkers) + " of a switch";
        } else {
            begin_aggregation(controller, std::move(places), std::move(socket), patience);
        }
    } catch (...) {
        close();
        throw;
    }
}

void Communicator::begin_aggregation(const InnetController& controller,
                                     std::vector<InnetPlace> places, InnetSocket socket,
                                     const OperationOptions& patience) {
    auto made =
        std::make_unique<Aggregation>(*this, controller, std::move(places), std::move(socket));
    InnetAdmission& admission = made->admission();
    InnetGrant grant;
    if (rank_ == 0) {
        const Time enough = std::min(patience.timeout / 2, InnetAdmission::kPatience);
        const auto ask = admission.make_ask(shared_from_this(), enough);
        complete(ask);
        admission.asked(ask);
        grant = admission.word(engine::clock_now());
    }
    tell_all(grant, patience);
    grant.reason[sizeof grant.reason - 1] = '\0';
    context_->engine().call([&] {
        made->admit(grant, sequence_);
        aggregation_ = std::move(made);
    });
    learn_switch_cost(patience);
}

template <typename Value>
void Communicator::tell_all(Value& value, const OperationOptions& patience) {
    run({.collective = Collective::kBroadcast,
         .input = reinterpret_cast<const std::byte*>(&value),
         .output = reinterpret_cast<std::byte*>(&value),
         .count = sizeof value},
        patience);
}

// Measured once, like edges (measure.h), by sums of one packet and of many; rank 0's clock counts.
void Communicator::learn_switch_cost(const OperationOptions& patience) {
    collectives::CostModel model = tuner_->model();
    collectives::SwitchCost& cost = model.innet.emplace();
    collectives::CostFile file;
    std::int32_t measures = 0;
    const bool on = context_->engine().call([this] { return !aggregation_->off(); });
    if (rank_ == 0) {
        file = collectives::CostFile::open();
        collectives::CostModel kept;
        file.apply(kept);
        cost = kept.innet.value_or(cost);
        measures = on && file.measures() && !file.knows("innet") ? 1 : 0;
    }
    if (on) {
        cost.slots = aggregation_->grant().slots;
        cost.values = aggregation_->grant().values;
    }
    tell_all(measures, patience);
    if (measures != 0) {
        const std::size_t packets = kRoundsMeasured * cost.slots;
        std::vector<float> data(packets * cost.values);
        const auto best_of = [&](std::size_t count) {
            Time best = INT64_MAX;
            for (int i = 0; i < kSumsMeasured; ++i) {
                const Time began = engine::clock_now();
                OperationOptions by_switch = patience;
                by_switch.algorithm = "innet";
                run({.collective = Collective::kAllReduce,
                     .input = reinterpret_cast<const std::byte*>(data.data()),
                     .output = reinterpret_cast<std::byte*>(data.data()),
                     .count = count,
                     .dtype = WEFT_F32},
                    by_switch);
                best = std::min(best, engine::clock_now() - began);
            }
            return static_cast<double>(best) * 1e-9;
        };
        const double brief = best_of(1);
        const double lengthy = best_of(data.size());
        if (rank_ == 0 && context_->engine().call([this] { return !aggregation_->off(); })) {
            cost.measured(brief, lengthy, packets);
            file.set("innet", {cost.round_trip, cost.per_packet});
            file.save();
        }
    }
    tell_all(cost, patience);
    tuner_ = std::make_unique<const collectives::Tuner>(model, tuner_->hosts(), options_.algorithms,
                                                        options_.innet_asked);
}

// All ranks must choose alike, so only what all of them know may count: the members' addresses, the
// fewest processors, and the costs that rank 0 tells.
void Communicator::make_tuner(std::int32_t processors, Time deadline) {
    collectives::Hosts hosts;
    std::map<std::string, std::int32_t> numbers;
    for (std::int32_t r = 0; r < size(); ++r) {
        const std::string* shm = members_[static_cast<std::size_t>(r)].find("shm");
        const std::string host =
            shm != nullptr ? datapath::ShmDatapath::host_of(*shm) : "rank " + std::to_string(r);
        hosts.push_back(numbers.emplace(host, r).first->second);
    }
    collectives::CostFile costs;
    if (rank_ == 0) {
        try {
            costs = collectives::CostFile::open();
        } catch (const Error& bad_file) {
            context_->engine().call([&] { fail(bad_file.info(), true); });
            close();
            throw;
        }
    }
    const auto measure =
        std::make_shared<Measure>(shared_from_this(), deadline, std::move(costs), hosts);
    complete(measure);
    collectives::CostModel model = measure->model();
    model.innet.reset();  // learnt when there is a switch
    model.processors = processors;
    tuner_ =
        std::make_unique<const collectives::Tuner>(model, std::move(hosts), options_.algorithms);
}

// Runs one of the operations that bring the group to life.
void Communicator::complete(const std::shared_ptr<GroupOperation>& operation) {
    engine::Engine& engine = context_->engine();
    engine.submit(operation, false);
    engine.wait(*operation, engine::deadline_after(operation->deadline(), engine::kSecond));
    if (operation->error()) {
        close();
        throw Error(operation->error());
    }
}

std::shared_ptr<Communicator> Communicator::split(std::int32_t color, std::int32_t key,
                                                  CommunicatorOptions options) {
    struct Wish {
        std::int32_t color, key;
    };
    const Wish mine{color, key};
    std::vector<Wish> wishes(members_.size());
    run({.collective = Collective::kAllGather,
         .input = reinterpret_cast<const std::byte*>(&mine),
         .output = reinterpret_cast<std::byte*>(wishes.data()),
         .count = 2,
         .dtype = WEFT_I32},
        {});
    const std::uint64_t serial = splits_++;
    if (color < 0) {
        return nullptr;
    }
    std::vector<std::int32_t> ranks;
    for (std::int32_t r = 0; r < size(); ++r) {
        if (wishes[static_cast<std::size_t>(r)].color == color) {
            ranks.push_back(r);
        }
    }
    std::stable_sort(ranks.begin(), ranks.end(), [&](std::int32_t a, std::int32_t b) {
        return wishes[static_cast<std::size_t>(a)].key < wishes[static_cast<std::size_t>(b)].key;
    });
    std::vector<engine::Address> members;
    for (std::int32_t r : ranks) {
        members.push_back(members_[static_cast<std::size_t>(r)]);
    }
    // As unguessable as the parent's number, equal on all members, different for each split and
    // colour.
    std::array<std::uint8_t, 16> parent{};
    std::memcpy(parent.data(), &group_, sizeof group_);
    const std::array what = {serial, static_cast<std::uint64_t>(color)};
    const std::uint64_t group =
        wire::siphash(parent, {reinterpret_cast<const std::uint8_t*>(what.data()), sizeof what}) |
        engine::kFirstGroup;
    const auto rank =
        static_cast<std::int32_t>(std::find(ranks.begin(), ranks.end(), rank_) - ranks.begin());
    return create(context_, group, rank, std::move(members), std::move(options));
}

}  // namespace weft::communicator
