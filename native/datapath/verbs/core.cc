// The loop: completions find their edge, what edges have to say leaves, and how it all ends.
#include "datapath/verbs/core.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "transport/handshake.h"

namespace weft::datapath::verbs {
namespace {

constexpr std::size_t kPolls = 64;        // completions of one rail in one round
constexpr Time kDeviceLook = 10'000'000;  // between looks at the devices' events, while awake

}  // namespace

// ---------------------------------------------------------------- opening edges

bool Core::reaches(std::string_view peer_address) const {
    const Card remote = decode_card(peer_address);
    return remote.kind == card_.kind && std::ranges::any_of(remote.rails, [&](const RailCard& r) {
               return std::ranges::any_of(
                   card_.rails, [&](const RailCard& l) { return l.ethernet == r.ethernet; });
           });
}

std::unique_ptr<Channel> Core::connect(PeerId peer, std::string_view peer_address,
                                       ChannelOwner& owner, Time deadline) {
    return make_channel(edges_.call(
        std::make_unique<Edge>(*this, peer, decode_card(peer_address), owner, deadline)));
}

void Core::on_hello(Time now, std::size_t rail, std::span<const std::uint8_t> bytes,
                    const Prefix& prefix, const Card& card) {
    wire::Packet hello;
    std::span<const std::uint8_t> payload;
    if (wire::decode(bytes, hello, payload) != wire::DecodeStatus::kOk ||
        prefix.rail >= card.rails.size()) {
        ++counters_.malformed;
        return;
    }
    if (Edge* known = edges_.called(hello)) {
        known->on_control(now, bytes, {.rail = prefix.rail});
        return;
    }
    if (const auto reason = edges_.rejected(config(identity_.id, 0), hello)) {
        const wire::Packet reject = transport::make_reject(hello, *reason);
        answer(rail, card.rails[prefix.rail],
               [&](std::span<std::uint8_t> room) { return wire::encode(reject, room); });
        return;
    }
    const bool same_kind = card.kind == card_.kind;
    if (edges_.takes_call(hello.handshake.peer_id, same_kind ? acceptor_ : nullptr)) {
        edges_.take(hello, std::make_unique<Edge>(*this, hello, card, rail, prefix.rail));
    }
}

void Core::on_note(Time now, std::size_t rail, const Note& note, const Card* card) {
    switch (note.kind) {
        case NoteKind::kCheck:
            if (note.id != identity_.id || card == nullptr ||
                note.from_rail >= card->rails.size() ||
                card->rails[note.from_rail].ethernet != card_.rails[rail].ethernet) {
                ++counters_.misdirected_checks;
                return;
            }
            answer(rail, card->rails[note.from_rail], [&](std::span<std::uint8_t> room) {
                const Note checked{.kind = NoteKind::kChecked,
                                   .from_rail = static_cast<std::uint8_t>(rail),
                                   .to_rail = note.from_rail,
                                   .id = identity_.id,
                                   .word = note.word};
                std::ranges::copy(encode(checked), room.begin());
                return kNoteSize;
            });
            return;
        case NoteKind::kChecked:
            for (const auto& edge : edges_) {
                if (edge->calls() && edge->opening()) {
                    edge->on_note(now, note);
                }
            }
            return;
        case NoteKind::kLane:
        case NoteKind::kFence:
        case NoteKind::kMarker:
        case NoteKind::kKnock:
        case NoteKind::kHeard:
            if (Edge* edge = edges_.find(note.id)) {
                edge->on_note(now, note);
            } else {
                ++counters_.unknown_connection;
            }
            return;
    }
}

// ---------------------------------------------------------------- the loop

bool Core::progress(Time now) {
    if (closed_) {
        return false;
    }
    bool moved = pump(now);
    moved = receive(now) || moved;
    if (now >= next_device_look_) {
        look_at_devices(now);
    }
    edges_.run_timers(now, moved);
    moved = pump(moved ? clock_now() : now) || moved;
    if (edges_.sweep()) {
        registry_->trim();
    }
    return moved;
}

bool Core::receive(Time now) {
    bool any = false;
    bool room = false;
    std::array<Completion, kPolls> done;
    for (std::size_t i = 0; i < rails_.size(); ++i) {
        const std::size_t count = rails_[i]->completions().poll(done);
        any = any || count > 0;
        for (std::size_t k = 0; k < count; ++k) {
            room = room || (done[k].id & kReceiveBit) == 0;
            on_completion(now, i, done[k]);
        }
        rails_[i]->post_recycled();
        counters_.completions += count;
    }
    for (const auto& edge : edges_) {
        if (room && edge->stalled()) {
            edges_.mark_dirty(*edge);
        }
    }
    return any;
}

void Core::on_completion(Time now, std::size_t rail, const Completion& done) {
    const auto found = by_pair_.find(std::uint64_t{rail} << 32 | done.queue_pair);
    const bool known = found != by_pair_.end();
    const PairOwner owner = known ? found->second : PairOwner{};
    if ((done.id & kReceiveBit) != 0) {
        if (done.status == WorkStatus::kSuccess) {
            if ((done.id & kControlBit) != 0) {
                on_control(now, rail, rails_[rail]->received(done));
            } else if (owner.edge == nullptr) {
                ++counters_.stale_completions;
            } else if (done.kind == Completion::Kind::kWritten) {
                owner.edge->on_written(now, owner.index, done);
            } else {
                owner.edge->on_received(now, owner.index, rails_[rail]->received(done));
            }
        }
        rails_[rail]->recycle(done);
        return;
    }
    counters_.failed_works += done.status == WorkStatus::kSuccess ? 0 : 1;
    if (!known) {
        ++counters_.stale_completions;
    } else if (owner.edge == nullptr) {
        on_control_sent(rail, owner.index, done);
    } else if (owner.control) {
        owner.edge->on_way_sent(now, owner.index, done);
    } else {
        owner.edge->on_sent(now, owner.index, done);
    }
}

void Core::on_control_sent(std::size_t rail, std::size_t control, const Completion& done) {
    SendQueue& sends = controls_[rail][control];
    complete(rail, sends, done.id, [](std::uint64_t) {});
    if (done.status != WorkStatus::kSuccess && sends.posted.empty()) {
        ++counters_.control_failures;
        try {
            sends.pair->open();  // again, under the same number
        } catch (const Error&) {
            rails_[rail]->up = false;
        }
    }
}

void Core::on_control(Time now, std::size_t rail, std::span<const std::uint8_t> bytes) {
    const auto prefix = decode_prefix(bytes);
    if (!prefix) {
        ++counters_.malformed;
        return;
    }
    bytes = bytes.subspan(kPrefixSize);
    std::optional<Card> card;
    if (prefix->card) {
        try {
            std::size_t used = 0;
            card = decode_card({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, &used);
            bytes = bytes.subspan(used);
        } catch (const Error&) {
            ++counters_.malformed;
            return;
        }
    }
    if (const auto note = decode_note(bytes)) {
        on_note(now, rail, *note, card ? &*card : nullptr);
        return;
    }
    const auto route = wire::peek_route(bytes);
    if (!route) {
        ++counters_.malformed;
    } else if (route->kind == wire::PacketKind::kHello) {
        if (card) {
            on_hello(now, rail, bytes, *prefix, *card);
        } else {
            ++counters_.malformed;
        }
    } else if (Edge* edge = edges_.find(route->connection)) {
        edge->on_control(now, bytes, *prefix);
    } else {
        ++counters_.unknown_connection;
    }
}

void Core::look_at_devices(Time now) {
    next_device_look_ = now + kDeviceLook;
    for (std::size_t i = 0; i < rails_.size(); ++i) {
        while (const auto event = rails_[i]->device().next_event()) {
            ++counters_.port_events;
            using Kind = DeviceEvent::Kind;
            const bool ours = event->port == 0 || event->port == rails_[i]->port().number;
            if (event->kind == Kind::kQueuePair) {
                const auto found = by_pair_.find(std::uint64_t{i} << 32 | event->queue_pair);
                if (found != by_pair_.end() && !found->second.control) {
                    found->second.edge->on_broken(now, found->second.index);
                }
            } else if (ours && event->kind != Kind::kAddressChange) {
                rails_[i]->up = event->kind == Kind::kPortUp;
                for (const auto& edge : edges_) {
                    edge->on_rail(now, i, rails_[i]->up);
                }
            }
        }
    }
}

bool Core::pump(Time now) {
    const bool moved = edges_.pump(now);
    ring();
    return moved;
}

Time Core::next_wakeup() const noexcept {
    return closed_ ? kNever : edges_.dirty() || !to_ring_.empty() ? 0 : edges_.earliest();
}

bool Core::arm() {
    if (closed_ || edges_.dirty() || !to_ring_.empty()) {
        return closed_;
    }
    look_at_devices(clock_now());
    for (const auto& rail : rails_) {
        rail->completions().clear();
        rail->completions().arm();
    }
    // What came before the queues were armed gives no sign.
    return !receive(clock_now()) && !edges_.dirty();
}

// ---------------------------------------------------------------- doorbells

bool Core::has_room(std::size_t rail, const SendQueue& sends, std::uint32_t depth) const {
    return sends.pair != nullptr && sends.outstanding() < depth && rails_[rail]->sends_left > 0;
}

void Core::queue(std::size_t rail, SendQueue& sends, const SendWork& work, const Posted& posted) {
    Posted entry = posted;
    entry.id = next_work();
    sends.batch.push_back(work);
    sends.batch.back().id = entry.id;
    sends.posted.push(entry);
    --rails_[rail]->sends_left;
    if (!sends.in_dirty_list) {
        sends.in_dirty_list = true;
        to_ring_.emplace_back(rail, &sends);
    }
}

void Core::ring() {
    while (!to_ring_.empty()) {
        const auto [rail, sends] = to_ring_.back();
        to_ring_.pop_back();
        sends->in_dirty_list = false;
        if (sends->batch.empty() || sends->pair == nullptr) {
            continue;
        }
        sends->batch.back().signaled = true;
        const std::size_t taken = sends->pair->post(sends->batch);
        ++counters_.doorbells;
        counters_.works += taken;
        const bool refused = taken < sends->batch.size();
        sends->batch.clear();
        const auto found = by_pair_.find(std::uint64_t{rail} << 32 | sends->pair->number());
        if (refused && found != by_pair_.end() && !found->second.control) {
            found->second.edge->on_broken(clock_now(), found->second.index);
        } else if (refused) {
            sends->pair->error();  // its flushed completions reopen it
        }
    }
}

void Core::forget_queue(SendQueue& sends) noexcept {
    std::erase_if(to_ring_, [&](const auto& entry) { return entry.second == &sends; });
    sends.in_dirty_list = false;
}

// ---------------------------------------------------------------- ending

void Core::shut_down() {
    if (closed_) {
        return;
    }
    acceptor_ = nullptr;
    edges_.depart([this](Time now) { return progress(now); }, [this] { return next_wakeup(); },
                  [this](Time wait) {
                      if (arm()) {
                          pollfd ready{poll_fd_, POLLIN, 0};
                          ::poll(&ready, 1, static_cast<int>((wait + 999'999) / 1'000'000));
                      }
                  });
    close();
}

// After fork() the child has the parent's device descriptors and mappings; nothing is said to the
// device, whose objects are the parent's.
void Core::abandon() noexcept {
    for (const auto& edge : edges_) {
        edge->disown();
    }
    close();
}

void Core::close() noexcept {
    closed_ = true;
    acceptor_ = nullptr;
    edges_.drop();
    to_ring_.clear();
    if (poll_fd_ >= 0) {
        ::close(poll_fd_);
        poll_fd_ = -1;
    }
}

}  // namespace weft::datapath::verbs
