#include "simulator/run.h"

#include <algorithm>
#include <utility>

#include "fabric/paths.h"
#include "simulator/ideal.h"

namespace weft::simulator {

// Writes down what one endpoint reports, but for single packets.
class Run::Tracer final : public transport::TraceSink {
  public:
    Tracer(Results& results, fabric::HostId host, fabric::HostId peer)
        : results_(&results), host_(host), peer_(peer) {}
    void trace(const transport::TraceEvent& event) override {
        using transport::TraceKind;
        const bool per_packet = event.kind == TraceKind::kPacketSent ||
                                event.kind == TraceKind::kPacketReceived ||
                                event.kind == TraceKind::kChunkAcked;
        if (!per_packet && event.now >= kEpoch)
            results_->trace.push_back({fabric_time(event.now), host_, peer_, event});
    }

  private:
    Results* results_;
    fabric::HostId host_;
    fabric::HostId peer_;
};

namespace {

// What a planner may know in advance.
std::vector<bool> links_down_from_the_start(const fabric::Topology& topology,
                                            const SimulationOptions& options) {
    std::vector<bool> down(topology.links.size(), false);
    for (const fabric::Cue& cue : options.cues) {
        if (cue.at != 0) continue;
        if (cue.kind == fabric::CueKind::kLinkDown) down.at(cue.target) = true;
        if (cue.kind != fabric::CueKind::kSwitchDown) continue;
        for (std::size_t link = 0; link < down.size(); ++link) {
            const fabric::NodeId node = topology.hosts + cue.target;
            if (topology.links[link].a == node || topology.links[link].b == node) down[link] = true;
        }
    }
    return down;
}

fabric::FabricOptions fabric_options(const SimulationOptions& options) {
    fabric::FabricOptions chosen = options.fabric;
    if (options.host_queue > 0) chosen.host_queue_capacity = options.host_queue;
    return chosen;
}

}  // namespace

Run::~Run() = default;

Run::Run(const fabric::Topology& topology, const Workload& workload,
         const SimulationOptions& options, const Progress& progress)
    : workload_(workload),
      options_(options),
      progress_(progress),
      successors_(workload),
      fabric_(topology, fabric_options(options), *this),
      random_(fabric::mix(options.fabric.seed ^ 0xC0'FFEEU)),
      hosts_(topology.hosts),
      waits_(workload.messages.size(), 0),
      frames_([this](const fabric::Packet& packet) {
          return endpoints_[cargo_.receiver(packet.cargo)].peer;
      }),
      lost_(workload.messages.size(), false) {
    for (const fabric::Cue& cue : options.cues) fabric_.schedule(cue);
    for (const P4Switch& at : options.programs) {
        programs_.push_back(
            std::make_unique<fabric::P4Program>(at.program, at.run, at.outputs, frames_));
        fabric_.run_program(at.node, *programs_.back());
    }
    if (options.plan) {
        failed_links_ = links_down_from_the_start(topology, options);
        planned_ = plan_messages(topology, workload,
                                 {*options.plan, options.plan_minimum, options.fabric.seed,
                                  options.transport.paths, failed_links_});
    }
    const double chunk = options.transport.chunk_size;
    const double payload = chunk / (chunk + wire::kDataHeaderSize + options.overhead);
    for (const fabric::Link& link : topology.links) {
        for (const fabric::NodeId end : {link.a, link.b}) {
            if (end < topology.hosts) hosts_[end].link_rate += payload * link.rate / 8;
        }
    }
    for (Host& host : hosts_) {
        host.credit_pacer = std::make_shared<transport::CreditPacer>(host.link_rate);
    }
    results_.messages.resize(workload.messages.size());
}

Results Run::execute() {
    const auto begin = std::chrono::steady_clock::now();
    reported_ = begin;
    for (std::uint32_t m = 0; m < waits_.size(); ++m) {
        if (!workload_.dependency_begin.empty())
            waits_[m] = workload_.dependency_begin[m + 1] - workload_.dependency_begin[m];
        if (waits_[m] == 0) begin_message(m);
    }
    fabric_.wake(kTick, kTickToken);
    if (options_.sample_interval > 0) fabric_.wake(0, kSampleToken);
    fabric_.run_until(options_.limit);
    Results results = collect();
    results.wall_seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return results;
}

// --- Messages

// All dependencies of the message have ended.
void Run::begin_message(std::uint32_t index) {
    const Message& message = workload_.messages[index];
    const fabric::Time start = std::max(message.start, fabric_.now() + message.delay);
    if (start > fabric_.now() || message.source == message.destination || fabric_.events() == 0) {
        fabric_.wake(start, kMessageToken | index);
    } else {
        start_message(index);
    }
}

void Run::start_message(std::uint32_t index) {
    const Message& message = workload_.messages[index];
    MessageTimes& times = results_.messages[index];
    times.started = fabric_.now();
    if (message.source == message.destination) {
        times.received = times.acknowledged = fabric_.now();
        end_message(index, false);
        return;
    }
    const std::uint32_t at = endpoint_for(message.source, message.destination);
    if (endpoints_[at].connection == nullptr) {  // who was called, and has not heard it yet
        endpoints_[at].early.push_back(index);
        return;
    }
    send(at, index);
    pump(message.source);
}

void Run::send(std::uint32_t at, std::uint32_t index) {
    const Message& message = workload_.messages[index];
    transport::SendRequest request;
    request.tag.message = index;
    request.size = message.size;
    request.priority = message.priority;
    request.cookie = index;
    if (options_.plan) request.shares = planned_.of(index);
    if (endpoints_[at].connection->send(transport_time(fabric_.now()), request) ==
        transport::kNoMessage) {
        lose(index);
        return;
    }
    line_up(at, kNormal);
}

void Run::end_message(std::uint32_t index, bool at_sender) {
    const Message& message = workload_.messages[index];
    const bool is_local = message.source == message.destination;
    if (at_sender || is_local) {
        results_.end = std::max(results_.end, fabric_.now());
        if (++settled_ == waits_.size()) fabric_.stop();
    }
    for (std::uint32_t s = successors_.begin[index]; s < successors_.begin[index + 1]; ++s) {
        const std::uint32_t next = successors_.messages[s];
        const bool hears_from_sender =
            !is_local && workload_.messages[next].source == message.source;
        if (hears_from_sender == at_sender) count_down(next);
    }
}

void Run::count_down(std::uint32_t message) {
    if (--waits_[message] == 0 && !lost_[message]) begin_message(message);
}

// The message, and all that waits for it, will never get through.
void Run::lose(std::uint32_t message) {
    std::vector<std::uint32_t> doomed{message};
    while (!doomed.empty()) {
        const std::uint32_t index = doomed.back();
        doomed.pop_back();
        if (lost_[index] || results_.messages[index].acknowledged != kNotYet) continue;
        lost_[index] = true;
        ++settled_;
        for (std::uint32_t s = successors_.begin[index]; s < successors_.begin[index + 1]; ++s)
            doomed.push_back(successors_.messages[s]);
    }
    if (settled_ == waits_.size()) fabric_.stop();
}

// --- Connections

std::uint32_t Run::endpoint_for(fabric::HostId source, fabric::HostId destination) {
    const fabric::HostId low = std::min(source, destination);
    const fabric::HostId high = std::max(source, destination);
    const auto [entry, is_new] = pairs_.try_emplace(std::uint64_t{low} << 32 | high,
                                                    static_cast<std::uint32_t>(endpoints_.size()));
    const std::uint32_t first = entry->second;
    if (is_new) {
        for (const auto& [host, peer] : {std::pair(low, high), std::pair(high, low)}) {
            Endpoint& endpoint = endpoints_.emplace_back();
            endpoint.host = host;
            endpoint.peer = peer;
            endpoint.other = first + (host == low ? 1 : 0);
            endpoint.flow_hash =
                fabric::mix(options_.fabric.seed ^ (std::uint64_t{host} << 32 | peer));
        }
        connect(first + (source == low ? 0 : 1), first + (source == low ? 1 : 0));
    }
    return first + (source == low ? 0 : 1);
}

transport::Config Run::host_config(fabric::HostId host) const {
    transport::Config config = options_.transport;
    config.peer_id = host + 1;
    config.link_rate = hosts_[host].link_rate;
    config.credit_pacer = hosts_[host].credit_pacer;
    return config;
}

void Run::connect(std::uint32_t client, std::uint32_t server) {
    const transport::RandomSource random = [this] { return random_.next(); };
    Endpoint& from = endpoints_[client];
    Endpoint& to = endpoints_[server];
    const transport::Time now = transport_time(fabric_.now());
    if (options_.warm) {
        const fabric::Time one_way =
            packet_latency(fabric_.topology(), fabric_.routing(), from.host, to.host, 200);
        const transport::Time round_trip =
            one_way == fabric::kNever ? transport::kMillisecond : 2 * one_way / fabric::kNanosecond;
        WarmPair pair =
            connect_warm(host_config(from.host), host_config(to.host), random, now, round_trip);
        from.connection = std::move(pair.client);
        to.connection = std::move(pair.server);
        deny_failed_paths(to);
    } else {
        from.connection = transport::Connection::client(host_config(from.host), random, now);
    }
    deny_failed_paths(from);
    if (pairs_.size() <= options_.traced_connections) {
        for (Endpoint* side : {&from, &to}) {
            tracers_.push_back(std::make_unique<Tracer>(results_, side->host, side->peer));
            if (side->connection != nullptr) side->connection->set_trace(tracers_.back().get());
        }
    }
}

// Whoever plans knows of the links that were down from the start, and keeps everything else that a
// connection sends off them, too.
void Run::deny_failed_paths(Endpoint& endpoint) {
    if (std::ranges::find(failed_links_, true) == failed_links_.end()) return;
    for (const fabric::FabricPath& path :
         fabric::paths_between(fabric_.topology(), fabric_.routing(), endpoint.host, endpoint.peer,
                               options_.transport.paths)) {
        const bool failed = std::ranges::any_of(
            path.ports, [&](fabric::PortId port) { return failed_links_[port / 2]; });
        if (failed && path.number < options_.transport.paths)
            endpoint.connection->deny_path(transport_time(fabric_.now()),
                                           static_cast<transport::PathId>(path.number), true);
    }
}

void Run::handle_events(std::uint32_t at) {
    const transport::Time now = transport_time(fabric_.now());
    transport::Event event;
    while (endpoints_[at].connection->poll_event(event)) {
        switch (event.kind) {
            case transport::EventKind::kMessageOpened:
                endpoints_[at].connection->accept(now, event.message, event.tag.message);
                break;
            case transport::EventKind::kMessageReceived:
                results_.messages[event.cookie].received = fabric_.now();
                end_message(static_cast<std::uint32_t>(event.cookie), false);
                break;
            case transport::EventKind::kMessageSent:
                results_.messages[event.cookie].acknowledged = fabric_.now();
                end_message(static_cast<std::uint32_t>(event.cookie), true);
                break;
            case transport::EventKind::kFailed:
                fail(at);
                break;
            default:
                break;
        }
    }
}

void Run::fail(std::uint32_t at) {
    const Endpoint& endpoint = endpoints_[at];
    results_.failures.push_back(
        {endpoint.host, endpoint.peer, fabric_.now(), endpoint.connection->failure().to_string()});
    for (std::uint32_t m = 0; m < waits_.size(); ++m) {
        const Message& message = workload_.messages[m];
        const bool ours = message.source == endpoint.host && message.destination == endpoint.peer;
        const bool theirs = message.source == endpoint.peer && message.destination == endpoint.host;
        if ((ours || theirs) && results_.messages[m].started != kNotYet) lose(m);
    }
}

// --- What the fabric says

void Run::deliver(fabric::HostId host, const fabric::Packet& packet, fabric::Time now) {
    const std::uint32_t at = cargo_.remove(packet.cargo, packet_);
    Endpoint& endpoint = endpoints_[at];
    const transport::Time when = transport_time(now);
    if ((packet.flags & fabric::kCorrupted) != 0) {
        if (endpoint.connection != nullptr)
            endpoint.connection->handle_undecodable(wire::DecodeStatus::kCorrupt);
        return;
    }
    if (endpoint.connection == nullptr) {  // a cold start: the first packet is the hello
        const transport::Config config = host_config(host);
        if (packet_.kind != wire::PacketKind::kHello || transport::check_hello(config, packet_))
            return;
        endpoint.connection =
            transport::Connection::server(config, [this] { return random_.next(); }, when, packet_);
        deny_failed_paths(endpoint);
        for (std::size_t t = 0; t < tracers_.size(); ++t) {
            if (t == at) endpoint.connection->set_trace(tracers_[t].get());
        }
        for (const std::uint32_t message : std::exchange(endpoint.early, {})) send(at, message);
    } else {
        const transport::Arrival arrival{(packet.flags & fabric::kMarked) != 0,
                                         (packet.flags & fabric::kTrimmed) != 0};
        endpoint.connection->handle_packet(when, packet_, arrival);
    }
    handle_events(at);
    line_up(at, packet_.kind == wire::PacketKind::kAck ? kNormal : kUrgent);
    pump(host);
}

void Run::dropped(const fabric::Packet& packet, fabric::DropReason reason, fabric::Time) {
    cargo_.remove(packet.cargo, packet_);
    ++results_.dropped[static_cast<std::size_t>(reason)];
}

void Run::egress_ready(fabric::HostId host, fabric::Time) {
    pump(host);
}

void Run::wake(std::uint32_t token, fabric::Time now) {
    if ((token & kMessageToken) != 0) {
        if (!lost_[token & ~kMessageToken]) start_message(token & ~kMessageToken);
    } else if (token == kSampleToken) {
        sample();
    } else if (token == kTickToken) {
        tick();
    } else {
        Endpoint& endpoint = endpoints_[token];
        if (endpoint.wake_at > now) return;  // an earlier one took its place
        endpoint.wake_at = fabric::kNever;
        if (endpoint.connection->next_timeout() <= transport_time(now)) {
            endpoint.connection->handle_timeout(transport_time(now));
            handle_events(token);
            line_up(token, kNormal);
            pump(endpoints_[token].host);
        }
        // While its host's interface is busy it was not asked what it has to send, and may be
        // overdue.
        const bool asked =
            !endpoints_[token].waiting[kNormal] && !endpoints_[token].waiting[kUrgent];
        // A timer that does not move on after its call may not stop the clock either.
        const bool stuck = endpoints_[token].connection->next_timeout() <= transport_time(now);
        arm(token, asked && !stuck ? now : now + kBusyRetry);
    }
}

void Run::sample() {
    results_.samples.times.push_back(fabric_.now());
    for (fabric::PortId port = 0; port < fabric_.ports(); ++port) {
        const fabric::PortStats stats = fabric_.stats(port);
        results_.samples.backlog.push_back(stats.backlog);
        results_.samples.bytes.push_back(stats.bytes);
    }
    fabric_.wake(fabric_.now() + options_.sample_interval, kSampleToken);
}

// Reports progress ten times a second of real time, and ends a run in which nothing more can
// happen.
void Run::tick() {
    const auto now = std::chrono::steady_clock::now();
    if (progress_ && now - reported_ > std::chrono::milliseconds(100)) {
        reported_ = now;
        if (!progress_(settled_, fabric_.now())) {
            fabric_.stop();
            return;
        }
    }
    const std::size_t our_own = options_.sample_interval > 0 ? 1 : 0;
    if (fabric_.pending_events() <= our_own) {
        fabric_.stop();
    } else {
        fabric_.wake(fabric_.now() + kTick, kTickToken);
    }
}

Results Run::collect() {
    Results results = std::move(results_);
    for (fabric::PortId port = 0; port < fabric_.ports(); ++port) {
        results.ports.push_back(fabric_.stats(port));
        const fabric::Link& link = fabric_.topology().links[port / 2];
        if ((port % 2 == 0 ? link.a : link.b) < fabric_.topology().hosts)
            results.packets += results.ports.back().packets;
    }
    TransportTotals& totals = results.transport;
    totals.connections = pairs_.size();
    for (const Endpoint& endpoint : endpoints_) {
        if (endpoint.connection == nullptr) continue;
        const transport::Stats stats = endpoint.connection->stats();
        totals.bytes_received += stats.bytes_received;
        totals.chunks_sent += stats.chunks_sent;
        totals.retransmitted += stats.retransmitted;
        totals.fast_retransmits += stats.fast_retransmits;
        totals.timeouts += stats.timeouts;
        totals.trims += stats.trims;
        totals.tail_probes += stats.tail_probes;
        totals.spurious += stats.spurious;
        totals.acks_sent += stats.acks_sent;
        totals.marks += stats.marks;
        totals.probes_sent += stats.probes_sent;
        for (std::size_t d = 0; d < totals.drops.size(); ++d) totals.drops[d] += stats.drops[d];
    }
    results.unfinished = static_cast<std::uint64_t>(
        std::count_if(results.messages.begin(), results.messages.end(),
                      [](const MessageTimes& times) { return times.acknowledged == kNotYet; }));
    results.events = fabric_.events();
    results.peak_packets = fabric_.peak_packets();
    return results;
}

}  // namespace weft::simulator
