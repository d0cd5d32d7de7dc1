#include "collectives/cost.h"

#include <algorithm>
#include <functional>
#include <map>
#include <queue>
#include <tuple>

#include "datapath/error.h"

namespace weft::collectives {

namespace {

struct StepId {
    std::int32_t rank = 0;
    std::int32_t step = 0;
};

// Something that happens at a time; among simultaneous events the program order decides, so results
// do not depend on chance.
struct Event {
    enum class Kind : std::uint8_t {
        kIssue,    // all dependencies have ended
        kPosted,   // the processor has handed the message over
        kDepart,   // (send) allowed to leave
        kHead,     // (receive) the first byte is at the port
        kArrived,  // (receive) the last byte is there
        kEnd,
    };
    double time = 0;
    Kind kind = Kind::kIssue;
    StepId id;

    bool operator>(const Event& other) const noexcept {
        if (time != other.time) return time > other.time;
        return std::tuple(kind, id.step, id.rank) >
               std::tuple(other.kind, other.id.step, other.id.rank);
    }
};

class Simulation {
  public:
    Simulation(const Schedule& schedule, std::size_t bytes, const CostModel& model,
               const Hosts& hosts)
        : spec_(schedule.spec), model_(model), hosts_(hosts) {
        const auto size = static_cast<std::size_t>(spec_.size);
        if (hosts.size() != size)
            throw Error(WEFT_ERR_INVALID, "estimate: hosts must name one host for each rank");
        std::int32_t most_blocks = 1;
        for (Buffer buffer : {Buffer::kInput, Buffer::kOutput}) {
            most_blocks = std::max(most_blocks, blocks(spec_, spec_.root, buffer));
        }
        const std::size_t count = bytes / static_cast<std::size_t>(most_blocks);
        plans_.reserve(size);
        for (const Program& program : schedule.programs) {
            plans_.push_back(make_plan(spec_, program));
            // Equal blocks: the length of a chunk depends on its place only, which the uniform
            // layout gives for v-forms too.
            layouts_.emplace_back(plans_.back(), count);
            states_.emplace_back(program.steps.size());
        }
        for (Plan& plan : plans_) match(plan);
        rank_free_.resize(size, 0);
        port_out_.resize(size, 0);
        port_in_.resize(size, 0);
        set_up_processors();
    }

    Estimate run();

  private:
    struct State {
        std::uint32_t waits = 0;
        std::size_t bytes = 0;
        StepId other;  // of a message
        bool posted = false;
        bool arrived = false;  // a receive's message, which may come before it is posted
    };

    State& state(StepId id) {
        return states_[static_cast<std::size_t>(id.rank)][static_cast<std::size_t>(id.step)];
    }
    const Step& step(StepId id) const {
        return plans_[static_cast<std::size_t>(id.rank)].steps[static_cast<std::size_t>(id.step)];
    }
    const EdgeCost& edge(std::int32_t a, std::int32_t b) const {
        return hosts_[static_cast<std::size_t>(a)] == hosts_[static_cast<std::size_t>(b)]
                   ? model_.local
                   : model_.remote;
    }

    void match(const Plan& plan);
    void set_up_processors();
    double occupy(std::int32_t rank, double from, double duration);
    void issue(StepId id, double now);
    void post(StepId id, double now);
    void depart(StepId send, double now);
    void arrive(StepId recv, double now);
    void take(StepId recv, double now);
    void finish(StepId id, double now);
    void handle(const Event& event);

    const Spec& spec_;
    const CostModel& model_;
    const Hosts& hosts_;
    std::vector<Plan> plans_;
    std::vector<Layout> layouts_;
    std::vector<std::vector<State>> states_;
    std::map<std::tuple<std::int32_t, std::int32_t, std::uint8_t, std::uint32_t>, StepId>
        unmatched_;
    std::vector<double> rank_free_;  // when the rank's thread is done with what it was given
    std::vector<double> port_out_;
    std::vector<double> port_in_;
    struct Processor {
        double free = 0;         // from then on
        std::int32_t rank = -1;  // that it served last
    };
    std::map<std::int32_t, std::vector<Processor>> processors_;  // [host]; empty: no contention
    std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
    std::size_t unfinished_ = 0;
    double last_ = 0;
};

void Simulation::match(const Plan& plan) {
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
        const Step& each = plan.steps[i];
        const StepId id{plan.rank, static_cast<std::int32_t>(i)};
        const Slice& moved = each.target.count > 0 ? each.target : each.source;
        state(id).bytes = layouts_[static_cast<std::size_t>(plan.rank)].extent(moved).length;
        state(id).waits = plan.dependencies[i];
        ++unfinished_;
        if (each.peer == kNoPeer) continue;
        const bool sends = each.kind == StepKind::kSend;
        const auto key = std::tuple(sends ? plan.rank : each.peer, sends ? each.peer : plan.rank,
                                    each.lane, plan.messages[i]);
        const auto [entry, is_first] = unmatched_.try_emplace(key, id);
        if (is_first) continue;
        state(id).other = entry->second;
        state(entry->second).other = id;
        unmatched_.erase(entry);
    }
}

void Simulation::set_up_processors() {
    if (model_.processors <= 0) return;
    std::map<std::int32_t, std::int32_t> ranks_of;
    for (const std::int32_t host : hosts_) ++ranks_of[host];
    for (const auto& [host, ranks] : ranks_of) {
        if (ranks > model_.processors)
            processors_[host].resize(static_cast<std::size_t>(model_.processors));
    }
}

// The rank's thread works for `duration`, at the earliest at `from`; returns when it is done.
double Simulation::occupy(std::int32_t rank, double from, double duration) {
    double& thread = rank_free_[static_cast<std::size_t>(rank)];
    double begin = std::max(from, thread);
    const auto shared = processors_.find(hosts_[static_cast<std::size_t>(rank)]);
    if (shared != processors_.end()) {
        Processor& processor = *std::min_element(
            shared->second.begin(), shared->second.end(),
            [](const Processor& a, const Processor& b) { return a.free < b.free; });
        begin = std::max(begin, processor.free);
        if (processor.rank != rank) {
            begin += model_.context_switch;
            processor.rank = rank;
        }
        processor.free = begin + duration;
    }
    return thread = begin + duration;
}

void Simulation::issue(StepId id, double now) {
    const Step& each = step(id);
    if (each.peer != kNoPeer) {
        const double work = model_.step + edge(id.rank, each.peer).overhead;
        events_.push({occupy(id.rank, now, work), Event::Kind::kPosted, id});
        return;
    }
    const double per_byte =
        each.kind == StepKind::kCopy ? model_.copy_per_byte : model_.reduce_per_byte;
    const double work = model_.step + static_cast<double>(state(id).bytes) * per_byte;
    events_.push({occupy(id.rank, now, work), Event::Kind::kEnd, id});
}

void Simulation::post(StepId id, double now) {
    State& own = state(id);
    own.posted = true;
    const bool sends = step(id).kind == StepKind::kSend;
    const EdgeCost& cost = edge(id.rank, own.other.rank);
    if (own.bytes <= cost.eager_bytes) {
        if (sends) {
            events_.push({now, Event::Kind::kDepart, id});
        } else if (own.arrived) {
            take(id, now);
        }
    } else if (state(own.other).posted) {  // rendezvous: the sender asked, the receiver answers
        const StepId send = sends ? id : own.other;
        events_.push({now + cost.latency * (sends ? 2 : 1), Event::Kind::kDepart, send});
    }
}

void Simulation::depart(StepId send, double now) {
    const StepId recv = state(send).other;
    const EdgeCost& cost = edge(send.rank, recv.rank);
    if (cost.uses_processor) {
        if (state(send).bytes <= cost.eager_bytes)
            events_.push({now, Event::Kind::kEnd, send});  // otherwise with its receive
        events_.push({now + cost.latency, Event::Kind::kArrived, recv});
        return;
    }
    double& port = port_out_[static_cast<std::size_t>(send.rank)];
    const double begin = std::max(now, port);
    port = begin + static_cast<double>(state(send).bytes) * cost.per_byte;
    events_.push({port, Event::Kind::kEnd, send});
    events_.push({begin + cost.latency, Event::Kind::kHead, recv});
}

void Simulation::arrive(StepId recv, double now) {
    state(recv).arrived = true;
    if (state(recv).posted) take(recv, now);
}

// The processor's part of a receive.
void Simulation::take(StepId recv, double now) {
    const StepId send = state(recv).other;
    const EdgeCost& cost = edge(send.rank, recv.rank);
    const auto bytes = static_cast<double>(state(recv).bytes);
    double work = cost.uses_processor ? bytes * cost.per_byte : 0;
    if (step(recv).kind == StepKind::kRecvReduce) work += bytes * model_.reduce_per_byte;
    const double done = occupy(recv.rank, now, work);
    events_.push({done, Event::Kind::kEnd, recv});
    if (cost.uses_processor && state(send).bytes > cost.eager_bytes)
        events_.push({done, Event::Kind::kEnd, send});
}

void Simulation::handle(const Event& event) {
    switch (event.kind) {
        case Event::Kind::kIssue:
            return issue(event.id, event.time);
        case Event::Kind::kPosted:
            return post(event.id, event.time);
        case Event::Kind::kDepart:
            return depart(event.id, event.time);
        case Event::Kind::kHead: {
            double& port = port_in_[static_cast<std::size_t>(event.id.rank)];
            const EdgeCost& cost = edge(event.id.rank, state(event.id).other.rank);
            port = std::max(event.time, port) +
                   static_cast<double>(state(event.id).bytes) * cost.per_byte;
            return events_.push({port, Event::Kind::kArrived, event.id});
        }
        case Event::Kind::kArrived:
            return arrive(event.id, event.time);
        case Event::Kind::kEnd:
            return finish(event.id, event.time);
    }
}

void Simulation::finish(StepId id, double now) {
    --unfinished_;
    last_ = std::max(last_, now);
    for (const std::uint32_t next : plans_[static_cast<std::size_t>(id.rank)].successors_of(
             static_cast<std::uint32_t>(id.step))) {
        const StepId waiting{id.rank, static_cast<std::int32_t>(next)};
        if (--state(waiting).waits == 0) events_.push({now, Event::Kind::kIssue, waiting});
    }
}

Estimate Simulation::run() {
    if (!unmatched_.empty())
        throw Error(WEFT_ERR_SCHEDULE,
                    "estimate: a message has no counterpart; verify the schedule first");
    Estimate result;
    for (const Plan& plan : plans_) {
        std::size_t messages = 0;
        std::size_t sent = 0;
        for (const std::uint32_t first : plan.ready) {
            events_.push({0, Event::Kind::kIssue, {plan.rank, static_cast<std::int32_t>(first)}});
        }
        for (std::size_t i = 0; i < plan.steps.size(); ++i) {
            if (plan.steps[i].kind != StepKind::kSend) continue;
            ++messages;
            sent += state({plan.rank, static_cast<std::int32_t>(i)}).bytes;
        }
        result.messages = std::max(result.messages, messages);
        result.sent_bytes = std::max(result.sent_bytes, sent);
    }
    while (!events_.empty()) {
        const Event event = events_.top();
        events_.pop();
        handle(event);
    }
    if (unfinished_ > 0)
        throw Error(WEFT_ERR_SCHEDULE, "estimate: the schedule deadlocks; verify it first");
    result.seconds = last_;
    return result;
}

}  // namespace

Estimate estimate(const Schedule& schedule, std::size_t bytes, const CostModel& model,
                  const Hosts& hosts) {
    return Simulation(schedule, bytes, model, hosts).run();
}

}  // namespace weft::collectives
